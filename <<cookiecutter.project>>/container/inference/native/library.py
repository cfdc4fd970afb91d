"""The C library of this folder's sources, loaded only when nobody else could have written it.

Each build has a directory of its own, named by a digest of the sources, the compiler's options and the
machine's type, so that a library of older sources or of another machine is never loaded. A record beside the
library holds the library's own digest.
"""

from __future__ import annotations

import ctypes
import hashlib
import json
import os
import stat
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SOURCE = Path(__file__).parent
BUILT = SOURCE / "built"
LIBRARY, RECORD = "library.so", "library.json"
# Without contraction: a multiplication that is fused with a sum rounds differently than scikit-learn does.
FLAGS = ("-std=c11", "-O2", "-g0", "-fPIC", "-shared", "-ffp-contract=off", "-fno-fast-math")
WRITABLE_BY_OTHERS = stat.S_IWGRP | stat.S_IWOTH


class UnavailableError(Exception):
    """The library is not available on this machine; the text says why, and what would help, in one line."""


@dataclass(frozen=True)
class Library:
    """Hold the loaded library, once for each way to call it, and the name of the compiler that built it."""

    releasing_gil: ctypes.CDLL
    holding_gil: ctypes.PyDLL
    compiler: str

    def function(self, name: str, *, releases_gil: bool) -> Any:
        """Return a function of the library.

        A call that takes less time than releasing Python's lock and getting it back should keep the lock.
        """
        return getattr(self.releasing_gil if releases_gil else self.holding_gil, name)


def read(built: Path) -> Library:
    """Load the library from the directory `built`.

    Raises:
        UnavailableError: it is missing or damaged, or somebody else may write it.
    """
    directory = built / key()
    for path in (built, directory, directory / LIBRARY, directory / RECORD):
        _check_owner(path)
    if not is_intact(directory):
        raise UnavailableError(f"{directory / LIBRARY} is not the library that was built: remove {directory}")
    try:
        name = str(directory / LIBRARY)
        return Library(ctypes.CDLL(name), ctypes.PyDLL(name), str(_record(directory)["compiler"]))
    except OSError as error:
        raise UnavailableError(f"the library cannot be loaded: {error}") from error


def key() -> str:
    """Return the name of the directory for these sources, on this type of machine."""
    digest = hashlib.sha256(" ".join((*FLAGS, sys.platform, os.uname().machine)).encode())
    for path in sources():
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def sources() -> list[Path]:
    """Return the files that the library is built from."""
    return sorted(SOURCE.glob("*.c"))


def is_intact(directory: Path) -> bool:
    """Return whether a directory's library has the digest that its record names."""
    try:
        content = (directory / LIBRARY).read_bytes()
        return bool(_record(directory)["sha256"] == hashlib.sha256(content).hexdigest())
    except (OSError, ValueError, KeyError):
        return False


def _check_owner(path: Path) -> None:
    try:
        status = path.lstat()
    except OSError:
        raise UnavailableError(f"{path} is missing: python -m container.inference.native builds it") from None
    is_foreign = stat.S_ISLNK(status.st_mode) or status.st_uid not in {0, os.geteuid()}
    if is_foreign or status.st_mode & WRITABLE_BY_OTHERS:
        raise UnavailableError(f"others may write {path}, so it is not loaded: remove it")


def _record(directory: Path) -> dict[str, str]:
    content = json.loads((directory / RECORD).read_bytes())
    return content if isinstance(content, dict) else {}
