"""The files of labelled images, in zips and folders, with labels from `.lst` files or from folders' names.

A line of a `.lst` is an index, a label and a path, separated by tabs, as SageMaker's image
classification takes it. Zips are read in place and never extracted.
"""

import stat
import zipfile
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath

from container.images.decode import ImageError
from container.runtime.errors import UserError

SUFFIXES = (".png", ".jpg", ".jpeg")
LIST, ARCHIVE = ".lst", ".zip"
MAX_BYTES = 33_554_432  # size of an image's file, or of a list
MAX_MEMBERS = 1_000_000
FIELDS = 3  # of a line of a list

Read = Callable[[], bytes]


@dataclass(frozen=True)
class LabelledFile:
    """Hold the name of an image's file in messages, its label, and the function that reads it.

    The function raises `ImageError` for a file that cannot be read.
    """

    name: str
    label: str
    read: Read


@dataclass(frozen=True)
class Source:
    """Hold the files of one archive, or of the folder outside of archives, by path."""

    name: str
    files: dict[str, Read]

    def display_name(self, path: str) -> str:
        """Return a path with the name of its archive, for messages."""
        return f"{self.name}/{path}" if self.name else path


def find(directory: Path) -> list[LabelledFile]:
    """Return the labelled images below a directory, sorted by name.

    Raises:
        UserError: no image is found, an image has no label, or a list or an archive is damaged.
    """
    loose: dict[str, Read] = {}
    sources = []
    for path in sorted(directory.rglob("*")):
        if not path.is_file():
            continue
        name = path.relative_to(directory).as_posix()
        if path.suffix.lower() == ARCHIVE:
            sources.append(Source(name, _members(path, name)))
        elif not _is_hidden(name):
            loose[name] = partial(_read_file, path)
    result = [image for source in [Source("", loose), *sources] for image in _labelled(source)]
    if not result:
        raise UserError(
            f"no image in {directory}: the data must be a zip or a folder of PNG or JPEG files, with a "
            ".lst (index, label, path; separated by tabs) or one folder for each label"
        )
    return sorted(result, key=lambda image: image.name)


def _labelled(source: Source) -> list[LabelledFile]:
    lists = [path for path in source.files if path.lower().endswith(LIST)]
    if lists:
        return [image for path in lists for image in _listed(source, path)]
    images = [path for path in source.files if path.lower().endswith(SUFFIXES)]
    return [
        LabelledFile(source.display_name(path), _folder(source, path), source.files[path]) for path in images
    ]


def _folder(source: Source, path: str) -> str:
    folder = PurePosixPath(path).parent.name
    if not folder:
        raise UserError(
            f"{source.display_name(path)} has no label: put it into a folder named like its label, or add "
            "a .lst (index, label, path; separated by tabs)"
        )
    return folder


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
    _, label, path = fields
    _check_inside(path, where)
    near = [each for each in ((folder / path).as_posix(), path) if each in source.files]
    candidates = near or [each for each in by_name[PurePosixPath(path).name] if each.endswith(f"/{path}")]
    if not near and len(candidates) > 1:
        raise UserError(f"{where}: '{path}' may be {candidates[0]} or {candidates[1]}: write the whole path")
    name = source.display_name(candidates[0] if candidates else path)
    return LabelledFile(
        name, _normalise_label(label), source.files[candidates[0]] if candidates else partial(_missing, where)
    )


def _index_by_name(source: Source) -> dict[str, list[str]]:
    by_name = defaultdict(list)
    for path in source.files:
        by_name[PurePosixPath(path).name].append(path)
    return by_name


def _normalise_label(label: str) -> str:
    """Return a label without a zero fraction, since tools write whole numbers as 1.000000."""
    whole, dot, rest = label.partition(".")
    return whole if dot and whole.isdecimal() and rest.strip("0") == "" else label


def _members(path: Path, name: str) -> dict[str, Read]:
    """Return a reader of each file of a zip by its path; refuse a path that leads outside, and links."""
    try:
        archive = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, OSError, ValueError) as error:
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
        if not member.is_dir() and not _is_hidden(member.filename):
            result[member.filename] = partial(_read_member, archive, member)
    return result


def _check_inside(path: str, where: str) -> None:
    parts = PurePosixPath(path.replace("\\", "/"))
    if parts.is_absolute() or ".." in parts.parts or ":" in parts.parts[0]:
        raise UserError(f"{where}: '{path}' points outside: paths must be relative, without ..")


def _is_hidden(path: str) -> bool:
    """Return whether a path is a hidden file or one that macOS adds: .DS_Store, __MACOSX/."""
    return any(part.startswith((".", "__MACOSX")) for part in PurePosixPath(path).parts)


def _read_file(path: Path) -> bytes:
    with path.open("rb") as file:
        return _check_size(file.read(MAX_BYTES + 1))


def _read_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
    try:
        with archive.open(member) as file:
            return _check_size(file.read(MAX_BYTES + 1))
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError, ValueError) as error:
        raise ImageError("corrupt", f"it cannot be unpacked: {error}") from error


def _check_size(content: bytes) -> bytes:
    if len(content) > MAX_BYTES:
        raise ImageError("too-large", f"its file has more than {MAX_BYTES} bytes")
    return content


def _missing(where: str) -> bytes:
    raise ImageError("missing", f"{where} names it, and it is not there")
