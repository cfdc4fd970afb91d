"""Extraction of model archives inside one directory, as by tarfile's data filter, on any Python.

Debian 12's Python 3.11.2 lacks that filter, so each member is checked here. Where it exists, it runs too.
Only the standard library is imported, since the local cloud has a copy of this module.
"""

import copy
import errno
import os
import tarfile
import zlib
from lzma import LZMAError
from pathlib import Path, PurePosixPath
from typing import IO

CHUNK = 65_536
# An archive's own faults: members in each other's way, a name that is too long, and what gzip finds (None).
FAULTS = (
    None,
    errno.EEXIST,
    errno.EINVAL,
    errno.EISDIR,
    errno.ELOOP,
    errno.ENAMETOOLONG,
    errno.ENOTDIR,
)
# What tarfile and the decompressors raise for an archive that breaks the rules; OverflowError for a time.
DAMAGED = (
    tarfile.TarError,
    EOFError,
    ValueError,
    OverflowError,
    RecursionError,
    LZMAError,
    zlib.error,
)
FOLDER_MODE = 0o755
FILE_MODE = 0o755  # what may be kept of a file's mode
READ_AND_WRITE, EXECUTE, EXECUTE_BY_OWNER = 0o600, 0o111, 0o100


class ArchiveError(Exception):
    """An archive can't be unpacked; the text says why."""


def unpack(source: IO[bytes], into: Path) -> None:
    """Unpack a tar archive, compressed or not, inside a directory, which is made.

    Raises:
        ArchiveError: it is not a tar archive, is damaged, or has a member that is refused.
        OSError: a file can't be written.
    """
    into.mkdir(parents=True, exist_ok=True)
    try:
        with tarfile.open(fileobj=source, mode="r:*") as opened:
            opened.extraction_filter = getattr(tarfile, "data_filter", None)
            for member in opened:
                opened.extract(_checked(member, into), into)
            while opened.fileobj and opened.fileobj.read(CHUNK):
                pass  # gzip's checksum comes after what tar reads
    except DAMAGED as error:
        raise ArchiveError(
            " ".join(str(error).split())
        ) from error  # tarfile writes a line for each compression
    except OSError as error:
        if error.errno not in FAULTS:
            raise
        raise ArchiveError(str(error)) from error


def _checked(member: tarfile.TarInfo, into: Path) -> tarfile.TarInfo:
    """Return a member as it may be extracted, without its owner, or refuse what may lead out."""
    name = PurePosixPath(member.name)
    if name.is_absolute():
        raise ArchiveError(f"the member {member.name!r} has an absolute path")
    if ".." in name.parts:
        raise ArchiveError(f"the member {member.name!r} has '..' in its path")
    if any((into / parent).is_symlink() for parent in name.parents):
        raise ArchiveError(f"the member {member.name!r} has a link in its path")
    if member.issym():
        _check_symbolic_link(member, name)
    elif member.islnk():
        _check_hard_link(member, into)
    elif not (member.isreg() or member.isdir()):
        raise ArchiveError(f"the member {member.name!r} is neither a file, a directory nor a link")
    checked = copy.copy(member)
    checked.mode = _mode(member)
    checked.uid, checked.gid, checked.uname, checked.gname = os.geteuid(), os.getegid(), "", ""
    return checked


def _check_symbolic_link(member: tarfile.TarInfo, name: PurePosixPath) -> None:
    """Refuse a target that may lie outside.

    A link's own directories are not links, so '..' at the start of its target climbs as written.
    After a name, which may be another link, '..' would climb from wherever that link leads.
    """
    target = PurePosixPath(member.linkname)
    parts = list(target.parts)
    climbs = 0
    while parts and parts[0] == "..":
        climbs += 1
        del parts[0]
    if target.is_absolute() or ".." in parts or climbs >= len(name.parts):
        raise ArchiveError(f"the link {member.name!r} may lead out of the directory, to {member.linkname!r}")


def _check_hard_link(member: tarfile.TarInfo, into: Path) -> None:
    """Refuse a target that is not a file extracted before."""
    target = PurePosixPath(member.linkname)
    place = into / target
    linked = any((into / each).is_symlink() for each in (target, *target.parents))
    if target.is_absolute() or ".." in target.parts or linked or not place.is_file():
        raise ArchiveError(
            f"the link {member.name!r} is to {member.linkname!r}, which is not a file before it"
        )


def _mode(member: tarfile.TarInfo) -> int:
    """Return a mode without special bits, and by which nobody but the owner may write."""
    if not (member.isreg() or member.islnk()):
        return FOLDER_MODE
    mode = member.mode & FILE_MODE | READ_AND_WRITE
    return mode if mode & EXECUTE_BY_OWNER else mode & ~EXECUTE
