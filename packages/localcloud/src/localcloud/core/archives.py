"""Zips of files, which the actions of pipelines take and give."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

# Artifacts are written and read on one machine, where better compression is not worth its time.
LEVEL = 1
PERMISSIONS = 0o777


class ArchiveError(Exception):
    """An archive can't be read; the text says why."""


def pack(files: Iterable[tuple[str, Path]]) -> bytes:
    """Return a zip of files, each under its name within the archive, with its permissions."""
    sink = io.BytesIO()
    with zipfile.ZipFile(
        sink, "w", zipfile.ZIP_DEFLATED, compresslevel=LEVEL, strict_timestamps=False
    ) as archive:
        for name, path in files:
            archive.write(path, name)
    return sink.getvalue()


def pack_text(name: str, text: str) -> bytes:
    """Return a zip of one file with a text."""
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, text)
    return sink.getvalue()


def unpack(content: bytes, into: Path) -> None:
    """Write a zip's files below a directory, never outside it, with their permissions.

    Raises:
        ArchiveError: the content is not a zip.
    """
    into.mkdir(parents=True, exist_ok=True)
    with _open(content) as archive:
        for member in archive.infolist():
            # extract() leaves out what would lead outside, and writes links as plain files.
            written = Path(archive.extract(member, into))
            mode = member.external_attr >> 16 & PERMISSIONS
            if mode and written.is_file():
                written.chmod(mode | 0o600)


def read_member(content: bytes, name: str) -> bytes | None:
    """Return a file of a zip, or None when it holds no such file.

    Raises:
        ArchiveError: the content is not a zip.
    """
    with _open(content) as archive:
        return archive.read(name) if name in archive.namelist() else None


def _open(content: bytes) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(io.BytesIO(content))
    except (zipfile.BadZipFile, OSError) as error:
        raise ArchiveError(f"it is not a readable zip archive: {error}") from None
