"""Files that can't be written: what is said of them, by the commands and by the cloud."""

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
    """Let an OSError name the file: those of a write name none."""
    try:
        yield
    except OSError as error:
        if error.filename is None:
            error.filename = str(path)
        raise


def write_whole(path: Path, text: str) -> None:
    """Write the file so that a crash leaves either the former content or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(path.name + ".new")
    try:
        with named(path):
            fresh.write_text(text, encoding="utf-8")
            fresh.replace(path)
    except OSError:
        fresh.unlink(missing_ok=True)
        raise


def explained(error: OSError) -> str:
    """Say in a sentence what the system refused, of which file, and what to do where that is known."""
    names = " and ".join(str(name) for name in (error.filename, error.filename2) if name is not None)
    reason = ": ".join(filter(None, [error.strerror or str(error), names]))
    return f"{reason}; free some space and run again." if error.errno in FULL else f"{reason}."


def shortage(place: Path, little: int = LITTLE) -> str:
    """Say how much is free where files are written, when it is less than so many bytes."""
    try:
        free = shutil.disk_usage(place).free
    except OSError as error:
        return f" ({explained(error)})"
    return f" (only {free // 1000} kB are free in {place}: free some space)" if free < little else ""
