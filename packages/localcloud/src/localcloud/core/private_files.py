"""Folders and files that only their owner's processes can read, from the first byte."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from localcloud.core.disk_errors import named
from localcloud.core.errors import CloudError

if TYPE_CHECKING:
    from pathlib import Path

FOLDER, FILE = 0o700, 0o600
OTHERS = 0o077


def folder(state: Path, name: str = "") -> Path:
    """Make a project's `.local`, or a folder in it, and close both to the machine's other users.

    Raises:
        CloudError: another user owns one of them.
    """
    for each in (state, state / name):
        try:
            each.mkdir(FOLDER, exist_ok=True)
            if each.stat().st_mode & OTHERS:
                each.chmod(FOLDER)
        except PermissionError as error:
            raise CloudError(f"{each} can't be closed to the machine's other users: {error}") from None
    return state / name


def write_whole(path: Path, text: str, *, durable: bool = False) -> None:
    """Write a file in `.local` so that a crash leaves either the former content or the new one.

    With `durable` that holds for a crash of the machine as well.

    Raises:
        OSError: it can't be written; the error names the file.
    """
    fresh = folder(path.parent) / f"{path.name}.new"
    fresh.unlink(missing_ok=True)
    try:
        with named(path):
            _write(fresh, text, durable=durable)
            fresh.replace(path)
    except OSError:
        fresh.unlink(missing_ok=True)
        raise


def _write(fresh: Path, text: str, *, durable: bool) -> None:
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, FILE)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
        if durable:
            file.flush()
            os.fsync(file.fileno())
