"""Turn labelled pictures into train, validation and test lists, and say what was left out and why."""

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
from container.images.decode import PictureError
from container.images.inspection import Look, Seen
from container.images.sources import Labelled
from container.runtime.environment import Variable, read
from container.runtime.errors import UserError
from container.runtime.log import log
from container.runtime.paths import Layout

SIDES = (16, 256)  # of the square that a model sees; a multiple of STEP
STEP = 8
MAX_FAULTY = 0.1  # share of the files that may be no pictures
MAX_REPEATED = 0.5  # share that may be there already: deliveries overlap
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
class Judged:
    """Hold a picture that is taken: its file, and what it shows."""

    file: Labelled
    look: Look


@dataclass(frozen=True)
class LeftOut:
    """Hold a file that is left out, and why."""

    name: str
    reason: str
    words: str


def run(environment: Mapping[str, str], place: Layout) -> None:
    """Prepare the pictures of a processing job, or, as one of its instances, look at some of them."""
    settings = read(Settings, environment)
    directory, output, resources = place.processing_input / "data", place.processing_output, place.resources()
    if len(resources.hosts) > 1:
        files = sources.find(directory)
        seen = {
            number: inspection.look(files[number], settings.side) for number in shards.share(files, resources)
        }
        shards.write(output / "partial" / f"{resources.current_host}.json", files, seen)
        log("looked", pictures=len(seen), of=len(files))
        return
    prepare(settings, directory, output, place.moved(settings.partials) if settings.partials else None)


def prepare(settings: Settings, directory: Path, output: Path, partials: Path | None = None) -> None:
    """Judge every picture of a directory, and write the splits, the schema, the baseline and the report.

    With `partials` the pictures are not looked at again: several instances have left there what they saw.
    """
    files = sources.find(directory)
    seen = (
        shards.read(partials, files) if partials else (inspection.look(file, settings.side) for file in files)
    )
    taken, left_out = _judge(files, seen)
    _check(len(files), len(taken), left_out)
    classes = _classes(taken)
    codes = np.array([classes.index(each.file.label) for each in taken], dtype=np.int64)
    splits = _assign(taken, codes, settings.split)
    chosen = {
        name: [taken[place] for place in np.flatnonzero(splits == number)]
        for number, name in enumerate(split.NAMES)
    }
    for name, pictures in chosen.items():
        _write_split(output / name, name, pictures)
        _write_list(
            output / "report" / f"{name}.lst", [(each.file.label, each.file.name) for each in pictures]
        )
    _write_baseline(output / "baseline" / "baseline.csv", chosen["train"])
    target = Target(LABEL, "binary" if len(classes) == 2 else "multiclass", classes)  # noqa: PLR2004
    schema = Schema(target, (), settings.side)
    schema.write(output / "schema" / "schema.json")
    _report(output / "report" / "report.json", schema, chosen, left_out)


def _judge(files: list[Labelled], seen: Iterable[Seen]) -> tuple[list[Judged], list[LeftOut]]:
    """Of equal pictures take the first, and none when their labels differ."""
    first: dict[bytes, Judged] = {}
    left_out, torn = [], set()
    for file, look in zip(files, seen, strict=True):
        if isinstance(look, PictureError):
            left_out.append(LeftOut(file.name, look.reason, str(look)))
            continue
        found = Judged(file, look)
        known = first.setdefault(look.digest, found)
        if known.file.label != file.label:
            torn.add(look.digest)
            words = f"it shows what {known.file.name} shows, which has the label {known.file.label}"
            left_out.append(LeftOut(file.name, CONFLICT, words))
        elif known is not found:
            left_out.append(LeftOut(file.name, DUPLICATE, f"it shows what {known.file.name} shows"))
    words = "the same picture has another label elsewhere"
    left_out += [LeftOut(first[digest].file.name, CONFLICT, words) for digest in sorted(torn)]
    return [found for digest, found in first.items() if digest not in torn], left_out


def _check(count: int, taken: int, left_out: list[LeftOut]) -> None:
    faulty = [each for each in left_out if each.reason != DUPLICATE]
    for found, most, way in (
        (faulty, MAX_FAULTY, "mend or remove such files"),
        (left_out, MAX_REPEATED, "remove such files"),
    ):
        if len(found) > count * most:
            example = found[0]
            raise UserError(
                f"{example.name} is left out ({example.reason}: {example.words}), and in all {len(found)} "
                f"of {count} files, more than {most:.0%} ({_counted(found)}): {way}, or set image_size "
                "lower for small ones"
            )
    if taken < infer.MIN_ROWS:
        raise UserError(f"{taken} pictures can be taken, and at least {infer.MIN_ROWS} are needed")


def _counted(left_out: list[LeftOut]) -> str:
    counts = Counter(each.reason for each in left_out)
    return ", ".join(f"{count} {reason}" for reason, count in counts.most_common())


def _classes(taken: list[Judged]) -> tuple[str, ...]:
    labels = {each.file.label for each in taken}
    if not 2 <= len(labels) <= MAX_CLASSES:  # noqa: PLR2004
        raise UserError(f"the pictures have {len(labels)} labels, and must have from 2 to {MAX_CLASSES}")
    whole = all(label.isdecimal() for label in labels)
    return tuple(sorted(labels, key=(lambda label: (int(label), label)) if whole else None))


def _assign(taken: list[Judged], codes: np.ndarray, settings: SplitSettings) -> np.ndarray:
    """Let what a picture shows decide where it goes."""
    numbers = np.array([int.from_bytes(each.look.digest[:8]) for each in taken], dtype=np.uint64)
    splits = split.assign(codes, numbers, settings.validation, settings.test, settings.seed)
    for number, name in enumerate(split.NAMES):
        if not (splits == number).any():
            raise UserError(f"{len(taken)} pictures are too few: none is left for {name}")
    return splits


def _write_split(folder: Path, name: str, pictures: list[Judged]) -> None:
    """Write a zip of the pictures as they came, called by what they show, with their list."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = []
    with zipfile.ZipFile(folder / f"{name}.zip", "w", zipfile.ZIP_STORED) as archive:
        for picture in pictures:
            suffix = Path(picture.file.name).suffix.lower()
            path = f"{picture.look.digest.hex()[:32]}{suffix if suffix in sources.SUFFIXES else '.png'}"
            archive.writestr(zipfile.ZipInfo(path), shards.body(picture.file, picture.look))
            lines.append((picture.file.label, path))
        archive.writestr(zipfile.ZipInfo(f"{name}.lst"), _list(lines))


def _write_list(path: Path, lines: list[tuple[str, str]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(_list(lines), encoding="utf-8")


def _list(lines: list[tuple[str, str]]) -> str:
    return "".join(f"{index}\t{label}\t{path}\n" for index, (label, path) in enumerate(lines))


def _write_baseline(path: Path, pictures: list[Judged]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(STATISTICS)
        writer.writerows(picture.look.numbers for picture in pictures)


def _report(path: Path, schema: Schema, chosen: dict[str, list[Judged]], left_out: list[LeftOut]) -> None:
    for each in left_out:
        log("left_out", name=each.name, reason=each.reason, words=each.words)
    counts = {name: len(pictures) for name, pictures in chosen.items()}
    reasons = dict(Counter(each.reason for each in left_out))
    log("prepared", task=schema.target.task, left_out=len(left_out), **counts)
    classes = Counter(picture.file.label for pictures in chosen.values() for picture in pictures)
    content = {
        "pictures": {"read": sum(counts.values()) + len(left_out), "kept": sum(counts.values())},
        "splits": counts,
        "target": schema.to_json()["target"],
        "classes": {label: classes[label] for label in schema.target.classes or ()},
        "left_out": {"counts": reasons, "files": [vars(each) for each in left_out]},
    }
    path.write_text(json.dumps(content, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
