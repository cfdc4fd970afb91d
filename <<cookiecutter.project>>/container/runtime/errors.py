"""The faults that a user can mend, told in one line without a traceback."""

import errno


class UserError(Exception):
    """Name what is wrong, the rule that it breaks and the way out, in one line."""


class UsageError(UserError):
    """Say that the container was called wrongly; the process ends with exit code 2."""


def is_full(error: Exception) -> bool:
    """Say whether an error means that no space is left where a file is written."""
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
