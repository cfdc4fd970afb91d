"""The faults that a user can mend, told in one line without a traceback."""


class UserError(Exception):
    """Name what is wrong, the rule that it breaks and the way out, in one line."""


class UsageError(UserError):
    """Say that the container was called wrongly; the process ends with exit code 2."""
