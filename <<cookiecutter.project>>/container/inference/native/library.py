"""The C library of this folder's sources: only what was built, where nobody else can write, is loaded.

Each build has a directory of its own, named by what went into it, so that neither older sources' nor another
kind of machine's library is loaded. The library's own digest stands beside it.
"""

from __future__ import annotations

import ctypes
import hashlib
import json
import os
import stat
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path

SOURCE = Path(__file__).parent
BUILT = SOURCE / "built"
LIBRARY, RECORD = "library.so", "library.json"
# A sum's last bit is scikit-learn's only when no multiplication is fused with it.
FLAGS = ("-std=c11", "-O2", "-g0", "-fPIC", "-shared", "-ffp-contract=off", "-fno-fast-math")
OTHERS = stat.S_IWGRP | stat.S_IWOTH


class UnavailableError(Exception):
    """Say in one line why there is no library on this machine, and what would help."""


@dataclass(frozen=True)
class Library:
    """Hold the loaded library and the name of the compiler that built it.

    `quick` calls keep Python's lock, for what takes less time than to give it up and to get it back.
    """

    calls: ctypes.CDLL
    quick: ctypes.PyDLL
    compiler: str


@cache
def load() -> Library:
    """Return the library; build it where it is missing and there is a compiler. Raises `UnavailableError`."""
    try:
        return read(BUILT)
    except UnavailableError:
        from container.inference.native import build  # noqa: PLC0415  an image's server never needs it

        build.build(BUILT, os.environ)
    return read(BUILT)


def read(built: Path) -> Library:
    """Load what was built into a directory. Raises `UnavailableError`."""
    directory = built / key()
    for path in (built, directory, directory / LIBRARY, directory / RECORD):
        _check_owner(path)
    if not is_whole(directory):
        raise UnavailableError(f"{directory / LIBRARY} is not the library that was built: remove {directory}")
    try:
        calls, quick = ctypes.CDLL(str(directory / LIBRARY)), ctypes.PyDLL(str(directory / LIBRARY))
    except OSError as error:
        raise UnavailableError(f"the library cannot be loaded: {error}") from error
    return Library(calls, quick, str(_record(directory)["compiler"]))


def key() -> str:
    """Return a name for what these sources make on this kind of machine."""
    digest = hashlib.sha256(" ".join((*FLAGS, sys.platform, os.uname().machine)).encode())
    for path in sources():
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def sources() -> list[Path]:
    """Return the files that the library is built from."""
    return sorted(SOURCE.glob("*.c"))


def is_whole(directory: Path) -> bool:
    """Tell whether a directory's library has the digest that stands beside it."""
    try:
        content = (directory / LIBRARY).read_bytes()
        return bool(_record(directory)["sha256"] == hashlib.sha256(content).hexdigest())
    except (OSError, ValueError, KeyError):
        return False


def _check_owner(path: Path) -> None:
    try:
        found = path.lstat()
    except OSError:
        raise UnavailableError(f"{path} is missing: python -m container.inference.native builds it") from None
    if stat.S_ISLNK(found.st_mode) or found.st_uid not in {0, os.geteuid()} or found.st_mode & OTHERS:
        raise UnavailableError(f"others may write {path}, so it is not loaded: remove it")


def _record(directory: Path) -> dict[str, str]:
    content = json.loads((directory / RECORD).read_bytes())
    return content if isinstance(content, dict) else {}
