"""Errors of files: which file an error is about, and what a person reads about it."""

from __future__ import annotations

import errno
import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FULL = (errno.ENOSPC, errno.EDQUOT)
LITTLE = 8_000_000  # bytes; a delivery takes several MB


@contextmanager
def named(path: Path) -> Iterator[None]:
    """Let an OSError of the body name the file, which those of a write leave out.

    Raises:
        OSError: the body has raised it.
    """
    try:
        yield
    except OSError as error:
        if error.filename is None:
            error.filename = str(path)
        raise


def explained(error: Exception) -> str:
    """Return an error as a sentence: an OSError with its file, and a full disk with the way out."""
    if not isinstance(error, OSError):
        return str(error)
    names = " and ".join(str(name) for name in (error.filename, error.filename2) if name is not None)
    reason = ": ".join(filter(None, [error.strerror or str(error), names]))
    return f"{reason}; free some space and run again." if error.errno in FULL else f"{reason}."


def shortage(path: Path, little: int = LITTLE) -> str:
    """Return a remark on the free space at the path, when it is less than `little` bytes, else nothing."""
    try:
        free = shutil.disk_usage(path).free
    except OSError as error:
        return f" ({explained(error)})"
    return f" (only {free // 1000} kB are free in {path}: free some space)" if free < little else ""
