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

from container.data import infer, split, values
from container.data.reading import ReadingSettings
from container.data.schema import Schema, Target
from container.data.split import SplitSettings
from container.images import STATISTICS, inspection, shards, sources
from container.images.dataset import LABEL
from container.images.decode import ImageError
from container.images.inspection import ImageInfo
from container.images.labelled_file import LabelledFile
from container.images.sources import Found, SkippedFile
from container.runtime.environment import Variable, read
from container.runtime.errors import UserError
from container.runtime.log import log
from container.runtime.paths import ContainerPaths

SIDES = (16, 256)  # pixels of the square that a model sees; a multiple of STEP
STEP = 8
MAX_DROPPED = 0.5  # share of the files that may be unusable or duplicates: deliveries overlap
MAX_LISTED = 100  # files that the report names for each reason
DUPLICATE, CONFLICT = "duplicate", "conflicting-labels"
_NOT_CHOSEN = (sources.HIDDEN, sources.NOT_LISTED)  # files that nobody means to be read
MAX_CLASSES = 1000
_SIDE = Variable("IMAGE_SIZE", least=SIDES[0], most=SIDES[1], multiple_of=STEP, refuse_blank=True)


@dataclass(frozen=True)
class Settings:
    """Hold what a job that prepares images is asked for by its environment.

    `side` is that of the square that the model sees, in pixels. With `partials`, a path as in the image
    /opt/ml, the results of several instances are merged. `target` is the column of labels in Parquet files.
    """

    side: Annotated[int, _SIDE] = 32
    split: SplitSettings = field(default_factory=SplitSettings)
    partials: Annotated[str, Variable("PARTIAL_SOURCE")] = ""
    target: Annotated[str, Variable("TARGET")] = ""
    reading: ReadingSettings = field(default_factory=ReadingSettings)


@dataclass(frozen=True)
class InspectedImage:
    """Hold the file of an image that is kept, and what its pixels show."""

    file: LabelledFile
    info: ImageInfo


@dataclass(frozen=True)
class Inspection:
    """Hold the images that are kept, in the order of their files, and the files that are left out.

    `labels` is a sentence on which folders are labels, or empty.
    """

    kept: tuple[InspectedImage, ...]
    dropped: tuple[SkippedFile, ...]
    labels: str = ""


Splits = Mapping[str, tuple[InspectedImage, ...]]  # the images of each split


def run(environment: Mapping[str, str], paths: ContainerPaths) -> None:
    """Prepare the images of a processing job; of several instances, each only inspects its share.

    Raises:
        UserError: the settings or the images can't be used.
    """
    settings = read(Settings, environment)
    directory, output, resources = paths.processing_input / "data", paths.processing_output, paths.resources()
    if len(resources.hosts) > 1:
        files = sources.find(directory, settings.target).files
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
    inspected = inspect(directory, settings, partials)
    schema = infer_schema(inspected, settings.side)
    splits = assign_splits(inspected, schema, settings.split)
    write(inspected, schema, splits, output)


def inspect(directory: Path, settings: Settings, partials: Path | None = None) -> Inspection:
    """Inspect each image of a directory, and drop those that can't be used and those that repeat another.

    Raises:
        UserError: too many files are dropped, or all of a class, or too few images are left.
    """
    found = sources.find(directory, settings.target)
    side = settings.side
    infos = (
        shards.read(partials, found.files)
        if partials
        else (inspection.inspect(file, side) for file in found.files)
    )
    inspected = _drop_repeated(found, infos)
    _check_dropped(inspected, settings.reading.max_skipped)
    _check_classes(found.files, inspected)
    return inspected


def _drop_repeated(found: Found, infos: Iterable[ImageInfo | ImageError]) -> Inspection:
    """Keep the first of equal images, and none of them when their labels differ."""
    files = found.files
    first: dict[bytes, InspectedImage] = {}
    dropped: list[SkippedFile] = []
    conflicting: set[bytes] = set()
    for file, info in zip(files, infos, strict=True):
        if isinstance(info, ImageError):
            dropped.append(SkippedFile(file.name, info.reason, str(info)))
            continue
        image = InspectedImage(file, info)
        original = first.setdefault(info.digest, image)
        if original.file.label != file.label:
            conflicting.add(info.digest)
            words = f"it shows what {original.file.name} shows, which has the label {original.file.label}"
            dropped.append(SkippedFile(file.name, CONFLICT, words))
        elif original is not image:
            dropped.append(SkippedFile(file.name, DUPLICATE, f"it shows what {original.file.name} shows"))
    words = "the same image has another label elsewhere"
    dropped += [SkippedFile(first[digest].file.name, CONFLICT, words) for digest in sorted(conflicting)]
    kept = (image for digest, image in first.items() if digest not in conflicting)
    return Inspection(tuple(kept), (*dropped, *found.skipped), found.labels)


def _check_dropped(inspected: Inspection, max_skipped: float) -> None:
    chosen = [file for file in inspected.dropped if file.reason not in _NOT_CHOSEN]
    count = len(inspected.kept) + len(chosen)
    faulty = [file for file in chosen if file.reason != DUPLICATE]
    for dropped, limit, remedy in (
        (faulty, max_skipped, "mend or remove such files, or set [data] max_skipped in project.toml higher"),
        (chosen, MAX_DROPPED, "remove such files"),
    ):
        if len(dropped) > count * limit:
            example = dropped[0]
            reasons = Counter(file.reason for file in dropped)
            counts = ", ".join(f"{number} {reason}" for reason, number in reasons.most_common())
            if inspection.UNDERSIZED in reasons:
                remedy += ", or image_size lower for small images"  # noqa: PLW2901 - the same sentence
            raise UserError(
                f"{example.name} is left out ({example.reason}: {example.words}), and in all {len(dropped)} "
                f"of {count} files, more than {limit:.0%} ({counts}): {remedy}"
            )
    if len(inspected.kept) < infer.MIN_ROWS:
        raise UserError(f"{len(inspected.kept)} images can be used, and at least {infer.MIN_ROWS} are needed")


def _check_classes(files: Iterable[LabelledFile], inspected: Inspection) -> None:
    lost = {file.name: file.label for file in files if file.label}
    kept = {image.file.label for image in inspected.kept}
    for file in inspected.dropped:
        label = lost.get(file.name, "")
        if label and label not in kept:
            raise UserError(
                f"no image of the class '{label}' can be used ({file.name}: {file.reason}, {file.words}): "
                "mend the class's files, or remove all of them"
            )


def infer_schema(inspected: Inspection, side: int) -> Schema:
    """Return the schema of images: their labels, and the side of the square that a model sees, in pixels.

    Raises:
        UserError: the images have one label, or too many, or labels that no list can distinguish.
    """
    labels = sorted({image.file.label for image in inspected.kept})
    if not 2 <= len(labels) <= MAX_CLASSES:  # noqa: PLR2004 - a classification needs two
        found = f"{len(labels)} labels, such as {labels[0]},"
        raise UserError(f"the images have {found} and must have from 2 to {MAX_CLASSES}")
    names: dict[str, str] = {}
    for label in labels:
        if "\t" in label or label.splitlines() != [label]:
            raise UserError(f"the label {label!r} is blank, or has a tab or a line break: rename the class")
        if (other := names.setdefault(values.label_key(label), label)) != label:
            kind = "time" if values.is_moment(label) else "number"
            raise UserError(f"the labels {other} and {label} are the same {kind}: give one name to both")
    numeric = all(label.isdecimal() for label in labels)
    classes = tuple(sorted(labels, key=(lambda label: (int(label), label)) if numeric else None))
    return Schema(Target.of_classes(LABEL, classes), (), side)


def assign_splits(inspected: Inspection, schema: Schema, settings: SplitSettings) -> Splits:
    """Return the images of each split, chosen by the digests of their pixels.

    Raises:
        UserError: a split would be empty.
    """
    kept = inspected.kept
    codes = np.array([schema.target.labels.codes[image.file.label] for image in kept], dtype=np.int64)
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
    (output / "report").mkdir(parents=True, exist_ok=True)
    for name, images in splits.items():
        _write_split(output / name, name, images)
        lines = [(image.file.label, image.file.name) for image in images]
        (output / "report" / f"{name}.lst").write_text(_list(lines), encoding="utf-8")
    _write_baseline(output / "baseline" / "baseline.csv", splits["train"])
    schema.write(output / "schema" / "schema.json")
    _write_report(output / "report" / "report.json", schema, splits, inspected)


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


def _list(lines: list[tuple[str, str]]) -> str:
    return "".join(f"{index}\t{label}\t{path}\n" for index, (label, path) in enumerate(lines))


def _write_baseline(path: Path, images: Iterable[InspectedImage]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(STATISTICS)
        writer.writerows(image.info.statistics for image in images)


def _write_report(path: Path, schema: Schema, splits: Splits, inspected: Inspection) -> None:
    reasons: Counter[str] = Counter()
    listed = []
    for file in inspected.dropped:
        reasons[file.reason] += 1
        if reasons[file.reason] <= MAX_LISTED:
            listed.append(vars(file))
            log("left_out", **vars(file))
    counts = {name: len(images) for name, images in splits.items()}
    kept, left_out = sum(counts.values()), reasons.total()
    log("prepared", task=schema.target.task, left_out=left_out, labels=inspected.labels, **counts)
    classes = Counter(image.file.label for images in splits.values() for image in images)
    content = {
        "pictures": {"read": kept + left_out - sum(reasons[each] for each in _NOT_CHOSEN), "kept": kept},
        "splits": counts,
        "target": schema.to_json()["target"],
        "labels": inspected.labels,
        "classes": {label: classes[label] for label in schema.target.classes or ()},
        "left_out": {"counts": dict(reasons), "files": listed},
    }
    path.write_text(json.dumps(content, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
