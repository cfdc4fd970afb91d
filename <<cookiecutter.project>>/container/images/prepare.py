"""The preparation of labelled images: train, validation and test splits, a schema, a baseline and a report.

The stages are inspect, infer, split and write, with a frozen value between each two.
"""

import csv
import json
import zipfile
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import numpy as np

from container.data import infer, split
from container.data.schema import Schema, Target
from container.data.split import SplitSettings
from container.images import STATISTICS, inspection, shards, sources
from container.images.dataset import LABEL
from container.images.decode import ImageError
from container.images.inspection import ImageInfo
from container.images.sources import LabelledFile
from container.runtime.environment import Variable, read
from container.runtime.errors import UserError
from container.runtime.log import log
from container.runtime.paths import ContainerPaths

SIDES = (16, 256)  # pixels of the square that a model sees; a multiple of STEP
STEP = 8
MAX_FAULTY = 0.1  # share of the files that may be unusable
MAX_DROPPED = 0.5  # share of the files that may be unusable or duplicates: deliveries overlap
DUPLICATE, CONFLICT = "duplicate", "conflicting-labels"
MAX_CLASSES = 1000
_SIDE = Variable("IMAGE_SIZE", least=SIDES[0], most=SIDES[1], multiple_of=STEP, refuse_blank=True)


@dataclass(frozen=True)
class Settings:
    """Hold what a job that prepares images is asked for by its environment.

    `side` is that of the square that the model sees, in pixels. With `partials`, a path as in the image
    /opt/ml, the results of several instances are merged.
    """

    side: Annotated[int, _SIDE] = 32
    split: SplitSettings = field(default_factory=SplitSettings)
    partials: Annotated[str, Variable("PARTIAL_SOURCE")] = ""


@dataclass(frozen=True)
class InspectedImage:
    """Hold the file of an image that is kept, and what its pixels show."""

    file: LabelledFile
    info: ImageInfo


@dataclass(frozen=True)
class DroppedFile:
    """Hold a file that is left out, the reason in a word, and as a sentence."""

    name: str
    reason: str
    words: str


@dataclass(frozen=True)
class Inspection:
    """Hold the images that are kept, in the order of their files, and the files that are left out."""

    kept: tuple[InspectedImage, ...]
    dropped: tuple[DroppedFile, ...]


Splits = Mapping[str, tuple[InspectedImage, ...]]  # the images of each split


def run(environment: Mapping[str, str], paths: ContainerPaths) -> None:
    """Prepare the images of a processing job; of several instances, each only inspects its share.

    Raises:
        UserError: the settings or the images can't be used.
    """
    settings = read(Settings, environment)
    directory, output, resources = paths.processing_input / "data", paths.processing_output, paths.resources()
    if len(resources.hosts) > 1:
        files = sources.find(directory)
        inspected = {
            index: inspection.inspect(files[index], settings.side) for index in shards.share(files, resources)
        }
        shards.write(output / "partial" / f"{resources.current_host}.json", files, inspected)
        log("looked", pictures=len(inspected), of=len(files))
        return
    prepare(settings, directory, output, paths.rebase(settings.partials) if settings.partials else None)


def prepare(settings: Settings, directory: Path, output: Path, partials: Path | None = None) -> None:
    """Read the images of a directory, and write the splits, the schema, the baseline and the report.

    With `partials`, a directory with the results of several instances, the images are not inspected again.

    Raises:
        UserError: the images can't be used.
    """
    inspected = inspect(directory, settings.side, partials)
    schema = infer_schema(inspected, settings.side)
    splits = assign_splits(inspected, schema, settings.split)
    write(inspected, schema, splits, output)


def inspect(directory: Path, side: int, partials: Path | None = None) -> Inspection:
    """Inspect each image of a directory, and drop those that can't be used and those that repeat another.

    Raises:
        UserError: too many files are dropped, or too few images are left.
    """
    files = sources.find(directory)
    infos = shards.read(partials, files) if partials else (inspection.inspect(file, side) for file in files)
    inspected = _drop_repeated(files, infos)
    _check_dropped(len(files), inspected)
    return inspected


def _drop_repeated(files: list[LabelledFile], infos: Iterable[ImageInfo | ImageError]) -> Inspection:
    """Keep the first of equal images, and none of them when their labels differ."""
    first: dict[bytes, InspectedImage] = {}
    dropped: list[DroppedFile] = []
    conflicting: set[bytes] = set()
    for file, info in zip(files, infos, strict=True):
        if isinstance(info, ImageError):
            dropped.append(DroppedFile(file.name, info.reason, str(info)))
            continue
        image = InspectedImage(file, info)
        original = first.setdefault(info.digest, image)
        if original.file.label != file.label:
            conflicting.add(info.digest)
            words = f"it shows what {original.file.name} shows, which has the label {original.file.label}"
            dropped.append(DroppedFile(file.name, CONFLICT, words))
        elif original is not image:
            dropped.append(DroppedFile(file.name, DUPLICATE, f"it shows what {original.file.name} shows"))
    words = "the same image has another label elsewhere"
    dropped += [DroppedFile(first[digest].file.name, CONFLICT, words) for digest in sorted(conflicting)]
    kept = (image for digest, image in first.items() if digest not in conflicting)
    return Inspection(tuple(kept), tuple(dropped))


def _check_dropped(count: int, inspected: Inspection) -> None:
    faulty = [file for file in inspected.dropped if file.reason != DUPLICATE]
    for dropped, limit, remedy in (
        (faulty, MAX_FAULTY, "mend or remove such files"),
        (inspected.dropped, MAX_DROPPED, "remove such files"),
    ):
        if len(dropped) > count * limit:
            example = dropped[0]
            reasons = Counter(file.reason for file in dropped).most_common()
            counts = ", ".join(f"{number} {reason}" for reason, number in reasons)
            raise UserError(
                f"{example.name} is left out ({example.reason}: {example.words}), and in all {len(dropped)} "
                f"of {count} files, more than {limit:.0%} ({counts}): {remedy}, or set image_size "
                "lower for small ones"
            )
    if len(inspected.kept) < infer.MIN_ROWS:
        raise UserError(f"{len(inspected.kept)} images can be used, and at least {infer.MIN_ROWS} are needed")


def infer_schema(inspected: Inspection, side: int) -> Schema:
    """Return the schema of images: their labels, and the side of the square that a model sees, in pixels.

    Raises:
        UserError: the images have one label, or too many.
    """
    labels = {image.file.label for image in inspected.kept}
    if not 2 <= len(labels) <= MAX_CLASSES:  # noqa: PLR2004 - a classification needs two
        raise UserError(f"the images have {len(labels)} labels, and must have from 2 to {MAX_CLASSES}")
    numeric = all(label.isdecimal() for label in labels)
    classes = tuple(sorted(labels, key=(lambda label: (int(label), label)) if numeric else None))
    return Schema(Target.of_classes(LABEL, classes), (), side)


def assign_splits(inspected: Inspection, schema: Schema, settings: SplitSettings) -> Splits:
    """Return the images of each split, chosen by the digests of their pixels.

    Raises:
        UserError: a split would be empty.
    """
    kept = inspected.kept
    codes = np.array([schema.target.codes[image.file.label] for image in kept], dtype=np.int64)
    hashes = np.array([int.from_bytes(image.info.digest[:8]) for image in kept], dtype=np.uint64)
    assigned = split.assign(codes, hashes, settings.validation, settings.test, settings.seed)
    for number, name in enumerate(split.NAMES):
        if not (assigned == number).any():
            raise UserError(f"no image is left for {name}: {split.why_empty(hashes, 'images')}")
    return {
        name: tuple(kept[index] for index in np.flatnonzero(assigned == number))
        for number, name in enumerate(split.NAMES)
    }


def write(inspected: Inspection, schema: Schema, splits: Splits, output: Path) -> None:
    """Write the splits, their lists, the baseline, the schema and the report.

    Raises:
        UserError: an image has changed since it was inspected.
    """
    for name, images in splits.items():
        _write_split(output / name, name, images)
        _write_list(
            output / "report" / f"{name}.lst", [(image.file.label, image.file.name) for image in images]
        )
    _write_baseline(output / "baseline" / "baseline.csv", splits["train"])
    schema.write(output / "schema" / "schema.json")
    _write_report(output / "report" / "report.json", schema, splits, inspected.dropped)


def _write_split(folder: Path, name: str, images: Iterable[InspectedImage]) -> None:
    """Write a zip of the images' files, named by the digests of their pixels, and of their list."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = []
    with zipfile.ZipFile(folder / f"{name}.zip", "w", zipfile.ZIP_STORED) as archive:
        for image in images:
            suffix = Path(image.file.name).suffix.lower()
            path = f"{image.info.digest.hex()[:32]}{suffix if suffix in sources.SUFFIXES else '.png'}"
            archive.writestr(zipfile.ZipInfo(path), shards.read_body(image.file, image.info))
            lines.append((image.file.label, path))
        archive.writestr(zipfile.ZipInfo(f"{name}.lst"), _list(lines))


def _write_list(path: Path, lines: list[tuple[str, str]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(_list(lines), encoding="utf-8")


def _list(lines: list[tuple[str, str]]) -> str:
    return "".join(f"{index}\t{label}\t{path}\n" for index, (label, path) in enumerate(lines))


def _write_baseline(path: Path, images: Iterable[InspectedImage]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(STATISTICS)
        writer.writerows(image.info.statistics for image in images)


def _write_report(path: Path, schema: Schema, splits: Splits, dropped: Iterable[DroppedFile]) -> None:
    dropped = list(dropped)
    for file in dropped:
        log("left_out", name=file.name, reason=file.reason, words=file.words)
    counts = {name: len(images) for name, images in splits.items()}
    reasons = dict(Counter(file.reason for file in dropped))
    log("prepared", task=schema.target.task, left_out=len(dropped), **counts)
    classes = Counter(image.file.label for images in splits.values() for image in images)
    content = {
        "pictures": {"read": sum(counts.values()) + len(dropped), "kept": sum(counts.values())},
        "splits": counts,
        "target": schema.to_json()["target"],
        "classes": {label: classes[label] for label in schema.target.classes or ()},
        "left_out": {"counts": reasons, "files": [vars(file) for file in dropped]},
    }
    path.write_text(json.dumps(content, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
