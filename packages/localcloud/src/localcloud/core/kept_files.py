"""The disk space of what a cloud keeps, in sentences, and its deletion."""

from __future__ import annotations

import contextlib
import hashlib
import shutil
from typing import TYPE_CHECKING

from localcloud.core import kept, lock
from localcloud.core.clock import iso
from localcloud.core.errors import CloudError

if TYPE_CHECKING:
    from pathlib import Path

    from localcloud.core.project import Project

# The files of processes, which are of no use without the cloud; the next start deletes them as well.
WORKING = ("jobs", "builds", "endpoints", "tmp", "kept.deleted")
WORTH_SHARING = 65_536  # bytes; smaller files are many and save little
UNITS = ("kB", "MB", "GB", "TB")


def describe(project: Project) -> list[str]:
    """Return sentences about what an ended cloud has kept: its size, what it is, and how to delete it."""
    root = kept.folder(project)
    if not root.is_dir():
        return ["Nothing is kept: no cloud has run here since the last deletion."]
    objects = _size(root / "s3")
    state = _size(root) - objects
    total, own, rest = map(readable, (objects + state, objects, state))
    sentences = [f"{root} keeps what the cloud held, {total}: {own} of objects in S3, {rest} of the rest."]
    try:
        sentences += _about(project)
    except CloudError as error:
        return [*sentences, f"warning: {error}."]
    if lost := missing_state(project):
        return [*sentences, f"warning: {lost}."]
    start, stop = project.commands.start, project.commands.stop
    return [*sentences, f"'{start}' continues from there; '{stop} --delete' deletes it."]


def _about(project: Project) -> list[str]:
    found = kept.read(project)  # the whole file, because its first line says nothing of a damaged rest
    if found is None:
        return []
    header, sentences = found[0], []
    if header.counts:
        counted = ", ".join(f"{noun} ({count})" for noun, count in header.counts.items())
        sentences.append(f"In it are: {counted}.")
    if header.dropped:
        counted = ", ".join(f"{noun} ({count})" for noun, count in header.dropped.items())
        sentences.append(f"Not kept, because it is secret: {counted}.")
    if (kept.folder(project) / kept.UNSAVED).exists():
        sentences.append(
            f"warning: the cloud ended without saving its end: what it kept is of {iso(header.saved)}; "
            f"{project.log} may say why."
        )
    return sentences


def missing_state(project: Project) -> str:
    """Return what is lost where S3's objects are kept without the file of everything else; else nothing."""
    root = kept.folder(project)
    if (root / kept.NAME).exists() or not any(path.is_file() for path in (root / "s3").rglob("*")):
        return ""
    return (
        f"{root / kept.NAME} is missing: of what the cloud held only S3's buckets are left, without stacks, "
        f"jobs and models; '{project.commands.start}' starts with the buckets alone, and "
        f"'{project.commands.stop} --delete' deletes them"
    )


def delete(project: Project) -> list[str]:
    """Delete what an ended cloud has kept, with the files of its processes; say how much was freed.

    Raises:
        CloudError: the cloud runs.
    """
    if lock.is_held(project.lock):
        raise CloudError(f"the local cloud runs; '{project.commands.stop}' stops it")
    root = kept.folder(project)
    if root.is_dir():
        # A crash in the middle leaves no part of the folder under its name.
        shutil.rmtree(root.with_name("kept.deleted"), ignore_errors=True)
        root.rename(root.with_name("kept.deleted"))
    folders = [project.state / name for name in WORKING]
    freed = sum(_size(each) for each in folders)
    for each in folders:
        if each.is_dir():
            shutil.rmtree(each)
    if not freed:
        return ["The cloud held nothing. Logs and report stay."]
    return [f"What the cloud held is deleted; {readable(freed)} are free again. Logs and report stay."]


def share_equal(project: Project) -> None:
    """Let objects with equal content share their bytes on disk: sources, data and outputs of equal runs.

    The cloud must have ended; S3 replaces a file and never changes it, so the others stay as they are.
    """
    by_size: dict[int, dict[int, Path]] = {}
    for path in (kept.folder(project) / "s3").rglob("*"):
        if path.is_file() and (stat := path.stat()).st_size >= WORTH_SHARING:
            by_size.setdefault(stat.st_size, {}).setdefault(stat.st_ino, path)
    for paths in by_size.values():
        first: dict[bytes, Path] = {}
        for path in paths.values() if len(paths) > 1 else ():
            same = first.setdefault(_digest(path), path)
            if same is not path:
                _share(same, path)


def _share(same: Path, path: Path) -> None:
    link = path.with_name(f"{path.name}.tmp")  # S3 overlooks this ending
    with contextlib.suppress(OSError):
        link.unlink(missing_ok=True)
        link.hardlink_to(same)
        link.replace(path)


def _digest(path: Path) -> bytes:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


def readable(size: int) -> str:
    """Return a number of bytes as a person reads it."""
    value, unit = size / 1000, UNITS[0]
    for unit in UNITS:
        if value < 1000 or unit == UNITS[-1]:  # noqa: PLR2004 - units are a thousand apart
            break
        value /= 1000
    return f"{value:.1f} {unit}"


def _size(folder: Path) -> int:
    """Return the bytes of all files; files that share theirs count once."""
    stats = (path.lstat() for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    return sum({(each.st_dev, each.st_ino): each.st_size for each in stats}.values())
