"""Images as tables of one column: reading, sending, and the ways in which production's images may differ."""

from __future__ import annotations

import base64
import io
import json
import zipfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from localcloud.files import named
from PIL import Image, ImageDraw, ImageFilter

from local.prediction import Table
from local.project import LocalError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from random import Random

COLUMN = "b64"  # what a picture in JSON is called
ARCHIVE = ".zip"
SUFFIXES = (".lst", ".png", ".jpg", ".jpeg")  # of what is data in a folder
EPOCH = (1980, 1, 1, 0, 0, 0)  # the same files make the same zip


@dataclass(frozen=True)
class Pictures(Table):
    """Hold pictures in base64, and labels when there are any."""

    at_once: ClassVar[int] = 10

    def body(self, start: int, stop: int) -> str:
        """Write the pictures from start to stop as JSON."""
        return json.dumps({"instances": [{COLUMN: text} for (text,) in self.rows[start:stop]]})

    def packed(self) -> bytes:
        """Write them with their labels as a zip of training data."""
        sink, lines = io.BytesIO(), []
        with zipfile.ZipFile(sink, "w") as archive:
            for number, ((text,), label) in enumerate(zip(self.rows, self.labels or (), strict=True)):
                archive.writestr(f"{number}.png", base64.b64decode(text))
                lines.append(f"{number}\t{label}\t{number}.png\n")
            archive.writestr("pictures.lst", "".join(lines))
        return sink.getvalue()


def read(content: bytes) -> Pictures:
    """Read a zip of images and their list, as `prepare` writes it."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        (listed,) = (name for name in archive.namelist() if name.endswith(".lst"))
        lines = [line.split("\t") for line in archive.read(listed).decode().splitlines()]
        names = archive.namelist()
        bodies = (archive.read(_named(names, path)) for _, _, path in lines)
        rows = tuple((base64.b64encode(body).decode(),) for body in bodies)
    return Pictures((COLUMN,), rows, tuple(label for _, label, _ in lines))


def _named(names: list[str], path: str) -> str:
    """Return the file that a list means: it may leave out the first folders of its path."""
    found = [name for name in names if name == path or name.endswith(f"/{path}")]
    if path not in found and len(found) != 1:
        raise LocalError(f"The list names {path}, which {len(found)} files of the zip may be.")
    return path if path in found else found[0]


def read_file(path: Path) -> Pictures:
    """Read an image, or a zip of images with a list that names them by their paths in the zip."""
    try:
        content = path.read_bytes()
        if path.suffix.lower() == ARCHIVE:
            return read(content)
    except (OSError, zipfile.BadZipFile, KeyError, ValueError) as error:
        raise LocalError(f"{path} can't be read as a picture, or as a zip of them: {error}.") from None
    return Pictures((COLUMN,), ((base64.b64encode(content).decode(),),), None)


def data_file(path: Path, folder: Path) -> Path:
    """Return a zip of images: the path itself, or a new zip of the folder's images."""
    if path.is_file() and path.suffix.lower() == ARCHIVE:
        return path
    found = (
        [each for each in sorted(path.rglob("*")) if each.suffix.lower() in SUFFIXES] if path.is_dir() else []
    )
    if not found:
        raise LocalError(
            f"{path} is neither a zip nor a folder of PNG or JPEG files, with a .lst or in a folder a label."
        )
    packed = folder / f"{path.resolve().name}{ARCHIVE}"
    with named(packed), zipfile.ZipFile(packed, "w") as archive:
        for each in found:
            archive.writestr(zipfile.ZipInfo(each.relative_to(path).as_posix(), EPOCH), each.read_bytes())
    return packed


def darker(cells: tuple[str, ...], strength: float, chance: Random) -> tuple[str, ...]:  # noqa: ARG001 - all scenarios are called alike
    """Take a share of its light away from each."""
    return _changed(cells, lambda picture: picture.point(lambda value: value * (1 - strength)))


def blurred(cells: tuple[str, ...], strength: float, chance: Random) -> tuple[str, ...]:  # noqa: ARG001 - all scenarios are called alike
    """Blur each by a share of its side."""
    return _changed(
        cells, lambda picture: picture.filter(ImageFilter.GaussianBlur(strength * min(picture.size)))
    )


def another_class(cells: tuple[str, ...], strength: float, chance: Random) -> tuple[str, ...]:
    """Put pictures of something else, discs on a plain ground, in place of a share."""

    def change(picture: Image.Image) -> Image.Image:
        return _discs(picture.size, chance) if chance.random() < strength else picture

    return _changed(cells, change)


def _discs(size: tuple[int, int], chance: Random) -> Image.Image:
    drawn = Image.new("RGB", size, _colour(chance))
    for _ in range(chance.randint(1, 4)):
        x, y, radius = (chance.uniform(0, side) for side in (*size, min(size) / 3))
        ImageDraw.Draw(drawn).ellipse((x - radius, y - radius, x + radius, y + radius), _colour(chance))
    return drawn


def _colour(chance: Random) -> tuple[int, int, int]:
    return (chance.randrange(256), chance.randrange(256), chance.randrange(256))


def _changed(cells: tuple[str, ...], change: Callable[[Image.Image], Image.Image]) -> tuple[str, ...]:
    changed = []
    for cell in cells:
        sink = io.BytesIO()
        change(Image.open(io.BytesIO(base64.b64decode(cell))).convert("RGB")).save(sink, "PNG")
        changed.append(base64.b64encode(sink.getvalue()).decode())
    return tuple(changed)
