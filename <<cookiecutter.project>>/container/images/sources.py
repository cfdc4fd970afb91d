"""Where pictures and their labels come from: zips and folders, each with `.lst` files or labelled folders.

A line of a `.lst` is an index, a label and a path, separated by tabs, as for SageMaker's image algorithm.
Nothing is unpacked to disk.
"""

import stat
import zipfile
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath

from container.images.decode import PictureError
from container.runtime.errors import UserError

SUFFIXES = (".png", ".jpg", ".jpeg")
LIST, ARCHIVE = ".lst", ".zip"
MAX_BYTES = 33_554_432  # of a picture's file, or of a list
MAX_MEMBERS = 1_000_000
FIELDS = 3  # of a list's line

Read = Callable[[], bytes]


@dataclass(frozen=True)
class Labelled:
    """Hold one picture's file: how messages call it, its label, and how it is read.

    Reading raises `PictureError` for one that cannot be read.
    """

    name: str
    label: str
    read: Read


@dataclass(frozen=True)
class Source:
    """Hold the files of one archive, or of the folder, by path."""

    name: str
    files: dict[str, Read]

    def called(self, path: str) -> str:
        """Return a path as messages have it."""
        return f"{self.name}/{path}" if self.name else path


def find(directory: Path) -> list[Labelled]:
    """Return every labelled picture below a directory, sorted by name; refuse what has no label."""
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
    found = [picture for source in [Source("", loose), *sources] for picture in _labelled(source)]
    if not found:
        raise UserError(
            f"no picture in {directory}: the data must be a zip or a folder of PNG or JPEG files, with a "
            ".lst (index, label, path; separated by tabs) or in a folder a label"
        )
    return sorted(found, key=lambda picture: picture.name)


def _labelled(source: Source) -> list[Labelled]:
    lists = [path for path in source.files if path.lower().endswith(LIST)]
    if lists:
        return [picture for path in lists for picture in _listed(source, path)]
    pictures = [path for path in source.files if path.lower().endswith(SUFFIXES)]
    return [Labelled(source.called(path), _folder(source, path), source.files[path]) for path in pictures]


def _folder(source: Source, path: str) -> str:
    folder = PurePosixPath(path).parent.name
    if not folder:
        raise UserError(
            f"{source.called(path)} has no label: put it into a folder that is called like its label, or add "
            "a .lst (index, label, path; separated by tabs)"
        )
    return folder


def _listed(source: Source, path: str) -> Iterable[Labelled]:
    name, folder = source.called(path), PurePosixPath(path).parent
    try:
        lines = source.files[path]().decode("utf-8-sig").splitlines()
    except (UnicodeDecodeError, PictureError) as error:
        raise UserError(f"{name} cannot be read as UTF-8 text: {error}") from error
    ends = _ends(source)
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        fields = [field.strip() for field in line.split("\t")]
        if len(fields) != FIELDS or not all(fields):
            raise UserError(
                f"{name}: line {number} has {len(fields)} fields, and must have an index, a label and a "
                "path, separated by tabs"
            )
        yield _found(source, fields, folder, ends, f"{name}: line {number}")


def _found(
    source: Source, fields: list[str], folder: PurePosixPath, ends: dict[str, list[str]], where: str
) -> Labelled:
    _, label, path = fields
    _check_inside(path, where)
    near = [each for each in ((folder / path).as_posix(), path) if each in source.files]
    places = near or [each for each in ends[PurePosixPath(path).name] if each.endswith(f"/{path}")]
    if not near and len(places) > 1:
        raise UserError(f"{where}: '{path}' may be {places[0]} or {places[1]}: write the whole path")
    name = source.called(places[0] if places else path)
    return Labelled(name, _plain(label), source.files[places[0]] if places else partial(_missing, where))


def _ends(source: Source) -> dict[str, list[str]]:
    ends = defaultdict(list)
    for path in source.files:
        ends[PurePosixPath(path).name].append(path)
    return ends


def _plain(label: str) -> str:
    """Return a label as it is called; tools write whole numbers as 1.000000."""
    whole, dot, rest = label.partition(".")
    return whole if dot and whole.isdecimal() and rest.strip("0") == "" else label


def _members(path: Path, name: str) -> dict[str, Read]:
    """Return how to read each file of a zip; refuse one that would lead elsewhere if unpacked."""
    try:
        archive = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, OSError, ValueError) as error:
        raise UserError(f"{name} is no zip, or is damaged: {error}") from error
    members = archive.infolist()
    if len(members) > MAX_MEMBERS:
        raise UserError(f"{name} holds {len(members)} files, and at most {MAX_MEMBERS} are taken: split it")
    found: dict[str, Read] = {}
    for member in members:
        _check_inside(member.filename, name)
        if stat.S_ISLNK(member.external_attr >> 16):
            raise UserError(f"{name} holds the link '{member.filename}': pack the file itself")
        if member.flag_bits & 1:
            raise UserError(f"{name} is encrypted: pack it without a password")
        if not member.is_dir() and not _is_hidden(member.filename):
            found[member.filename] = partial(_read_member, archive, member)
    return found


def _check_inside(path: str, where: str) -> None:
    parts = PurePosixPath(path.replace("\\", "/"))
    if parts.is_absolute() or ".." in parts.parts or ":" in parts.parts[0]:
        raise UserError(f"{where}: '{path}' points outside: paths must be relative, without ..")


def _is_hidden(path: str) -> bool:
    """Tell what file managers leave behind: .DS_Store, __MACOSX/."""
    return any(part.startswith((".", "__MACOSX")) for part in PurePosixPath(path).parts)


def _read_file(path: Path) -> bytes:
    with path.open("rb") as file:
        return _bounded(file.read(MAX_BYTES + 1))


def _read_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
    try:
        with archive.open(member) as file:
            return _bounded(file.read(MAX_BYTES + 1))
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError, ValueError) as error:
        raise PictureError("corrupt", f"it cannot be unpacked: {error}") from error


def _bounded(content: bytes) -> bytes:
    if len(content) > MAX_BYTES:
        raise PictureError("too-large", f"its file has more than {MAX_BYTES} bytes")
    return content


def _missing(where: str) -> bytes:
    raise PictureError("missing", f"{where} names it, and it is not there")
