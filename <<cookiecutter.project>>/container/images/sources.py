"""The files of labelled images, in zips, folders and Parquet, with labels from lists, folders or a column.

A line of a `.lst` is an index, a label and a path, separated by tabs, as SageMaker's image
classification takes it. Zips are read in place and never extracted.
"""

import lzma
import re
import stat
import zipfile
import zlib
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath

from container.images import folders
from container.images.decode import NAMES, ImageError
from container.images.labelled_file import LabelledFile, Read, normalise_label, read_bounded, refuse
from container.runtime.errors import UserError

SUFFIXES = (".png", ".apng", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".bmp", ".tif", ".tiff", ".gif")
# Images that are not read, whose folders are classes none the less.
_OTHER = re.compile(r"\.(heic|heif|avif|jp2|jxl|svg|eps|psd|tga|p[bgnp]m|dng)$", re.IGNORECASE)
# How files of these formats begin, whatever their names.
_STARTS = re.compile(
    rb"\x89PNG|\xff\xd8\xff|RIFF....WEBP|BM....\0\0\0\0|II[*+]\0|MM\0[*+]|GIF8[79]a", re.DOTALL
)
LIST, ARCHIVE, TABLE = ".lst", ".zip", ".parquet"
MAX_MEMBERS = 1_000_000
FIELDS = 3  # of a line of a list
HIDDEN, NOT_LISTED, OTHER_FORMAT = "hidden", "not-listed", "other-format"
_DAMAGE = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, OSError, ValueError, NotImplementedError)
_NOT_READ = f"it is not a {NAMES}"
_SYSTEM = ("thumbs.db", "ehthumbs.db", "desktop.ini", "_success")


@dataclass(frozen=True)
class Source:
    """Hold the files of one archive, or of the folder outside of archives, by path."""

    name: str
    files: dict[str, Read]

    def display_name(self, path: str) -> str:
        """Return a path with the name of its archive, for messages."""
        return f"{self.name}/{path}" if self.name else path


@dataclass(frozen=True)
class SkippedFile:
    """Hold a file that is left out, the reason in a word, and as a sentence."""

    name: str
    reason: str
    words: str


@dataclass(frozen=True)
class Found:
    """Hold the labelled images of a directory, other files, and a sentence on the labels."""

    files: list[LabelledFile]
    skipped: tuple[SkippedFile, ...]
    labels: str


def find(directory: Path, target: str = "") -> Found:
    """Return the labelled images of a file or below a directory, sorted by name.

    `target` is the column of labels in Parquet files.

    Raises:
        UserError: no image is found, an image has no label, or a list, an archive or a table is damaged.
    """
    loose: dict[str, Read] = {}
    sources, tables, skipped = [Source("", loose)], [], []
    is_folder = directory.is_dir()
    for path in sorted(each for each in directory.rglob("*") if each.is_file()) if is_folder else [directory]:
        name = path.relative_to(directory).as_posix() if is_folder else path.name
        if is_hidden(name):
            skipped.append(_hidden(name))
        elif path.suffix.lower() == ARCHIVE:
            sources.append(Source(name, _members(path, name, skipped)))
        elif path.suffix.lower() == TABLE:
            tables.append((path, name))
        else:
            loose[_slashes(name)] = partial(_read_file, path)
    result, labels = _labelled(sources, skipped)
    if tables:
        from container.images import parquet_images  # noqa: PLC0415 - the server needs no tables

        images, column = parquet_images.find(tables, target)
        result += images
        labels = "; ".join(filter(None, [labels, column]))
    if not result:
        among = f" among {len(skipped)} files such as {skipped[-1].name}" if skipped else ""
        raise UserError(
            f"no image in {directory}{among}: the data must be a zip or a folder of {NAMES} "
            "files, with a .lst (index, label, path; separated by tabs) or one folder for each label, or "
            "Parquet files with a column of encoded images and one of labels"
        )
    return Found(sorted(result, key=lambda image: image.name), tuple(skipped), labels)


def _labelled(sources: Iterable[Source], skipped: list[SkippedFile]) -> tuple[list[LabelledFile], str]:
    """Return the images that lists name, and of sources without a list those in folders."""
    result, paths, readers = [], {}, {}
    for source in sources:
        lists = [path for path in source.files if path.lower().endswith(LIST)]
        images = [image for path in lists for image in _listed(source, path)]
        result += images
        named = {image.name for image in images}
        for path, reader in source.files.items():
            name = source.display_name(path)
            if not lists:
                paths[name], readers[name] = PurePosixPath(path).parent.parts, reader
            elif path not in lists and name not in named:
                skipped.append(SkippedFile(name, NOT_LISTED, "no list names it"))
    readable = {name: paths[name] for name, reader in readers.items() if _is_image(name, reader)}
    if not readable:
        skipped += [SkippedFile(name, OTHER_FORMAT, _NOT_READ) for name in paths]
        return result, ""
    pictures = readable | {name: parts for name, parts in paths.items() if _OTHER.search(name)}
    level = folders.level(pictures)
    above = {parts[:level] for parts in pictures.values()}
    classes = {parts[level] for parts in pictures.values()}
    for name, parts in paths.items():
        if len(parts) <= level or parts[:level] not in above:
            skipped.append(SkippedFile(name, OTHER_FORMAT, _NOT_READ))
        elif parts[level] not in classes:
            words = f"the folder '{parts[level]}' holds no image, so it is not a class"
            skipped.append(SkippedFile(name, OTHER_FORMAT, words))
        else:
            read = readers[name] if name in readable else partial(refuse, OTHER_FORMAT, _NOT_READ)
            result.append(LabelledFile(name, normalise_label(parts[level]), read))
    return result, folders.described(pictures, level)


def _is_image(name: str, read: Read) -> bool:
    """Return whether a file is an image by its name, or else by how it begins."""
    if name.lower().endswith(SUFFIXES):
        return True
    try:
        return _STARTS.match(read()) is not None
    except ImageError:
        return False


def _hidden(name: str) -> SkippedFile:
    return SkippedFile(name, HIDDEN, "it is a hidden file, or one that a system adds")


def _listed(source: Source, path: str) -> Iterable[LabelledFile]:
    name, folder = source.display_name(path), PurePosixPath(path).parent
    try:
        lines = source.files[path]().decode("utf-8-sig").splitlines()
    except (UnicodeDecodeError, ImageError) as error:
        raise UserError(f"{name} cannot be read as UTF-8 text: {error}") from error
    by_name = _index_by_name(source)
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        fields = [field.strip() for field in line.split("\t")]
        if len(fields) != FIELDS or not all(fields):
            raise UserError(
                f"{name}: line {number} has {len(fields)} fields, and must have an index, a label and a "
                "path, separated by tabs"
            )
        yield _resolve(source, fields, folder, by_name, f"{name}: line {number}")


def _resolve(
    source: Source, fields: list[str], folder: PurePosixPath, by_name: dict[str, list[str]], where: str
) -> LabelledFile:
    label, path = fields[1], _slashes(fields[2]).removeprefix("./")
    _check_inside(path, where)
    near = [each for each in ((folder / path).as_posix(), path) if each in source.files]
    candidates = near or [each for each in by_name[PurePosixPath(path).name] if each.endswith(f"/{path}")]
    if not near and len(candidates) > 1:
        raise UserError(f"{where}: '{path}' may be {candidates[0]} or {candidates[1]}: write the whole path")
    name = source.display_name(candidates[0] if candidates else path)
    missing = partial(refuse, "missing", f"{where} names it, and it is hidden or not there")
    return LabelledFile(name, normalise_label(label), source.files[candidates[0]] if candidates else missing)


def _index_by_name(source: Source) -> dict[str, list[str]]:
    by_name = defaultdict(list)
    for path in source.files:
        by_name[PurePosixPath(path).name].append(path)
    return by_name


def _members(path: Path, name: str, skipped: list[SkippedFile]) -> dict[str, Read]:
    """Return a reader of each file of a zip by its path; refuse a path that leads outside, and links."""
    try:
        archive = zipfile.ZipFile(path)
    except _DAMAGE as error:
        raise UserError(f"{name} is not a zip, or is damaged: {error}") from error
    members = archive.infolist()
    if len(members) > MAX_MEMBERS:
        raise UserError(f"{name} holds {len(members)} files, and at most {MAX_MEMBERS} are taken: split it")
    result: dict[str, Read] = {}
    for member in members:
        _check_inside(member.filename, name)
        if stat.S_ISLNK(member.external_attr >> 16):
            raise UserError(f"{name} holds the link '{member.filename}': pack the file itself")
        if member.flag_bits & 1:
            raise UserError(f"{name} is encrypted: pack it without a password")
        inside = PurePosixPath(_slashes(member.filename)).as_posix()
        if _slashes(member.filename).endswith("/"):
            continue
        if is_hidden(inside):
            skipped.append(_hidden(f"{name}/{inside}"))
        elif inside in result:
            raise UserError(f"{name} holds two files named '{inside}': give each its own name")
        elif inside.lower().endswith((ARCHIVE, TABLE)):
            raise UserError(f"{name} holds '{inside}', and files in it are not read: put it beside the zip")
        else:
            result[inside] = partial(_read_member, archive, member)
    return result


def _check_inside(path: str, where: str) -> None:
    parts = PurePosixPath(_slashes(path))
    if parts.is_absolute() or ".." in parts.parts or ":" in "".join(parts.parts[:1]):
        raise UserError(f"{where}: '{path}' points outside: paths must be relative, without ..")


def is_hidden(path: str) -> bool:
    """Return whether a file is hidden, in a hidden folder, or one that a system adds: Thumbs.db."""
    *above, name = PurePosixPath(_slashes(path)).parts or ("",)
    return any(part.startswith((".", "__MACOSX")) for part in (*above, name)) or name.lower() in _SYSTEM


def _slashes(path: str) -> str:
    """Return a path as Windows may have written it, with slashes."""
    return path.replace("\\", "/")


def _read_file(path: Path) -> bytes:
    with path.open("rb") as file:
        return read_bounded(file)


def _read_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
    try:
        with archive.open(member) as file:
            return read_bounded(file)
    except _DAMAGE as error:
        raise ImageError("corrupt", f"it cannot be unpacked: {error}") from error
