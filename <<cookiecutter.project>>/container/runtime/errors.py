"""Errors whose cause is a user's input, reported in one line without a traceback."""

import errno


class UserError(Exception):
    """An error that a user can correct: its text has the cause, the rule and the remedy, in one line."""


class UsageError(UserError):
    """A wrong call of the container; the process exits with code 2."""


def is_full(error: BaseException) -> bool:
    """Return whether an error means that no space is left on the disk."""
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
