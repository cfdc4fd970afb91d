"""A file that one process holds at a time, for as long as the process lives."""

from __future__ import annotations

import fcntl
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from localcloud.core.disk_errors import named

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# `is_held` takes the lock for an instant, so one refusal does not mean that a cloud holds it.
TRIES, PAUSE_SECONDS = 20, 0.01


@contextmanager
def holding(path: Path, content: str) -> Iterator[bool]:
    """Hold the lock with `content` in its file; False when another process holds it."""
    # Unbuffered: on a full disk, closing would try once more to write what is left, and fail without a name.
    with path.open("ab", buffering=0) as lock:
        if held := _acquired(lock.fileno()):
            with named(path):
                lock.truncate(0)
                lock.write(content.encode(errors="backslashreplace"))
        yield held


def is_held(path: Path) -> bool:
    """Whether a process holds the lock."""
    try:
        with path.open("rb") as lock:
            fcntl.flock(lock.fileno(), fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def _acquired(descriptor: int) -> bool:
    for _ in range(TRIES):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(PAUSE_SECONDS)
        else:
            return True
    return False
