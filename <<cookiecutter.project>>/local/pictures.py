"""Images as tables of one column: reading them, and the ways in which production's images may differ."""

from __future__ import annotations

import base64
import io
import zipfile
from functools import partial
from typing import TYPE_CHECKING

from delivery.inference.rows import Pictures
from localcloud.files import named
from PIL import Image, ImageDraw, ImageFilter

from container.images.decode import NAMES, ImageError, decode
from container.images.labelled_file import LabelledFile
from container.images.sources import LIST, SUFFIXES, Found, find, is_hidden
from container.runtime.errors import UserError
from local.project import LocalError
from local.sample import Sample, whole
from local.scenarios import Scenario, by_name

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from random import Random

PICTURE = "Picture"  # the type of an image's column
ARCHIVE, TABLE = ".zip", ".parquet"
DIGIT_SIDE = 32  # of the sample
EPOCH = (1980, 1, 1, 0, 0, 0)  # the same files make the same zip


def read_file(path: Path, target: str = "") -> Pictures:
    """Read an image, or the images of a folder, a zip or a Parquet file, as `prepare` reads them.

    Images of a folder or zip that are in no folder of a class, with no list, have no labels. The table's
    remarks say what is left out, and which folders or which column the labels are.
    """
    try:
        if path.is_file() and path.suffix.lower() not in {ARCHIVE, TABLE}:
            body = path.read_bytes()
            decode(body)
            return Pictures.of({path.name: body})
        unlabelled = _unlabelled(path)
        found = Found(unlabelled, (), "") if unlabelled else find(path, target)
    except (ImageError, OSError, UserError, zipfile.BadZipFile) as error:
        raise LocalError(f"{path} can't be read as a picture, or as several: {error}.") from None
    bodies, labels, skipped = {}, [], [f"{each.name}: {each.words}" for each in found.skipped]
    for file in found.files:
        try:
            body = file.read()
            decode(body)  # the endpoint would refuse a damaged image, and all others of its request
            bodies[file.name] = body
            labels.append(file.label)
        except ImageError as error:
            skipped.append(f"{file.name}: {error}")
    if not bodies:
        raise LocalError(f"{path} has no image that can be read: {skipped[0]}.")
    remarks = [f"{len(skipped)} files are left out, such as {skipped[0]}"] if skipped else []
    known = None if unlabelled else tuple(labels)
    return Pictures.of(bodies, known, *filter(None, [found.labels]), *remarks)


def _unlabelled(path: Path) -> list[LabelledFile]:
    """Return the images of a folder or zip where all are in no further folder, and no list names them."""
    if path.is_dir():
        readers = {
            each.relative_to(path).as_posix(): each.read_bytes for each in path.rglob("*") if each.is_file()
        }
    elif path.suffix.lower() == ARCHIVE:
        archive = zipfile.ZipFile(path)  # is read in place, as long as the readers are
        readers = {name: partial(archive.read, name) for name in archive.namelist()}
    else:
        return []
    shown = {name: read for name, read in sorted(readers.items()) if not is_hidden(name)}
    images = {name for name in shown if name.lower().endswith(SUFFIXES)}
    others = {name for name in shown if name.lower().endswith((LIST, ARCHIVE, TABLE)) or "/" in name}
    return [] if others or not images else [LabelledFile(name, "", shown[name]) for name in sorted(images)]


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
    with whole(path) as fresh, zipfile.ZipFile(fresh, "w") as archive:
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
