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

from container.images.decode import NAMES, ImageError, decode
from container.images.sources import find, is_hidden
from container.runtime.errors import UserError
from local.prediction import Table
from local.project import LocalError
from local.sample import Sample
from local.scenarios import Scenario, by_name

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from random import Random

COLUMN, PICTURE = "b64", "Picture"  # the name of an image in JSON, and its type
ARCHIVE, TABLE = ".zip", ".parquet"
DIGIT_SIDE = 32  # of the sample
EPOCH = (1980, 1, 1, 0, 0, 0)  # the same files make the same zip


@dataclass(frozen=True)
class Pictures(Table):
    """Hold pictures in base64, and labels when there are any."""

    at_once: ClassVar[int] = 10
    suffix: ClassVar[str] = ARCHIVE

    def body(self, start: int, stop: int) -> str:
        """Write the pictures from start to stop as JSON."""
        return json.dumps({"instances": [{COLUMN: text} for (text,) in self.rows[start:stop]]})

    def packed(self, target: str) -> bytes:  # noqa: ARG002 - a table names the column of its labels
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
        rows = tuple((base64.b64encode(archive.read(path)).decode(),) for _, _, path in lines)
    return Pictures((COLUMN,), rows, tuple(label for _, label, _ in lines))


def read_file(path: Path, target: str = "") -> Pictures:
    """Read an image, or the labelled images of a zip or a Parquet file, as `prepare` reads them.

    The table's remarks say what is left out, and which folders or which column the labels are.
    """
    try:
        if path.suffix.lower() not in {ARCHIVE, TABLE}:
            return Pictures((COLUMN,), ((base64.b64encode(path.read_bytes()).decode(),),), None)
        found = find(path, target)
    except (OSError, UserError) as error:
        raise LocalError(f"{path} can't be read as a picture, or as labelled ones: {error}.") from None
    rows, labels, skipped = [], [], [f"{each.name}: {each.words}" for each in found.skipped]
    for file in found.files:
        try:
            body = file.read()
            decode(body)  # the endpoint would refuse a damaged image, and all others of its request
            rows.append((base64.b64encode(body).decode(),))
            labels.append(file.label)
        except ImageError as error:
            skipped.append(f"{file.name}: {error}")
    if not rows:
        raise LocalError(f"{path} has no image that can be read: {skipped[0]}.")
    remarks = [f"{len(skipped)} files are left out, such as {skipped[0]}"] if skipped else []
    return Pictures((COLUMN,), tuple(rows), tuple(labels), remarks=(*filter(None, [found.labels]), *remarks))


def data_files(path: Path, folder: Path) -> tuple[tuple[Path, ...], str]:
    """Return the files to upload, and a sentence on those left out.

    They are a zip or a Parquet file, or those of a folder and a new zip of its other files.
    """
    if path.is_file() and path.suffix.lower() in {ARCHIVE, TABLE}:
        return (path,), ""
    everything = sorted(path.rglob("*")) if path.is_dir() else []
    if linked := [each for each in everything if each.is_symlink() and not each.is_file()]:
        raise LocalError(f"{linked[0]} is a link to a folder, or to nothing: copy the pictures themselves.")
    found = [each for each in everything if each.is_file()]
    chosen = [each for each in found if not is_hidden(each.relative_to(path).as_posix())]
    if not chosen:
        raise LocalError(
            f"{path} is neither a zip or Parquet file with images nor a folder of {NAMES} files, with a .lst "
            "or in a folder for each label."
        )
    whole = [each for each in chosen if each.suffix.lower() in {ARCHIVE, TABLE}]
    others = [each for each in chosen if each.suffix.lower() not in {ARCHIVE, TABLE}]
    files = (*whole, *([_packed(path, others, folder)] if others else []))
    if len({each.name for each in files}) < len(files):
        raise LocalError(
            f"{path} has zips or Parquet files of the same name, or one of the folder's name: rename them."
        )
    note = f"{len(chosen)} files are uploaded, and {len(found) - len(chosen)} hidden ones are not."
    return files, note


def _packed(path: Path, files: list[Path], folder: Path) -> Path:
    packed = folder / f"{path.resolve().name}{ARCHIVE}"
    with named(packed), zipfile.ZipFile(packed, "w") as archive:
        for each in files:
            archive.writestr(zipfile.ZipInfo(each.relative_to(path).as_posix(), EPOCH), each.read_bytes())
    return packed


def write_sample(folder: Path) -> Sample:
    """Write scikit-learn's handwritten digits as a zip of images with a list."""
    from sklearn.datasets import load_digits  # noqa: PLC0415 - only a first run without data needs it

    digits, path, lines = load_digits(), folder / "digits.zip", []
    with named(path), zipfile.ZipFile(path, "w") as archive:
        for number, (drawn, digit) in enumerate(zip(digits.images, digits.target.tolist(), strict=True)):
            picture, body = Image.fromarray((drawn * (255 / 16)).astype("uint8")), io.BytesIO()
            picture.resize((DIGIT_SIDE, DIGIT_SIDE), Image.Resampling.BICUBIC).save(body, "PNG")
            archive.writestr(zipfile.ZipInfo(f"{number:04}.png"), body.getvalue())
            lines.append(f"{number}\t{digit}\t{number:04}.png\n")
        archive.writestr(zipfile.ZipInfo("digits.lst"), "".join(lines))
    return Sample(path, "", "scikit-learn's handwritten digits, as pictures")


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
        change(decode(base64.b64decode(cell))).save(sink, "PNG")
        changed.append(base64.b64encode(sink.getvalue()).decode())
    return tuple(changed)


SCENARIOS = by_name(
    Scenario(
        "darker",
        "baseline_drift_check",
        0.6,
        "share of the light that pictures lack",
        (PICTURE,),
        darker,
        is_share=True,
    ),
    Scenario(
        "blurred",
        "baseline_drift_check",
        0.05,
        "share of a picture's side to blur it by",
        (PICTURE,),
        blurred,
        is_share=True,
    ),
    Scenario(
        "class",
        "baseline_drift_check",
        0.5,
        "share of images of another class",
        (PICTURE,),
        another_class,
        is_share=True,
    ),
)
