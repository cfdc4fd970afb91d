"""Turn tables, or images, into a schema and reproducible train, validation, test and baseline data."""

import json
import os
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from container.data import infer, split, tables
from container.data.infer import Column, Facts, Source, Verdict
from container.data.schema import IMAGE, TABULAR, Schema
from container.data.split import SplitSettings
from container.runtime import environment
from container.runtime.environment import Variable
from container.runtime.errors import UserError
from container.runtime.log import log
from container.runtime.paths import ContainerPaths

SPLIT = "split"


@dataclass(frozen=True)
class Settings:
    """Hold what a job that prepares tables is asked for by its environment."""

    target: Annotated[str, Variable("TARGET", hint="name the column to predict")]
    task: Annotated[str, Variable("TASK", choices=infer.TASKS)] = "auto"
    split: SplitSettings = field(default_factory=SplitSettings)


@dataclass(frozen=True)
class Workload:
    """Hold the kind of data that a job prepares: tabular or image."""

    name: Annotated[str, Variable("WORKLOAD", choices=(TABULAR, IMAGE))] = TABULAR


def main() -> None:
    """Prepare the data of a processing job.

    Raises:
        UserError: the settings or the data can't be used.
    """
    paths = ContainerPaths.current()
    if environment.read(Workload, os.environ).name == IMAGE:
        from container.images import prepare as images  # noqa: PLC0415 - tables need no image libraries

        images.run(os.environ, paths)
        return
    if len(paths.resources().hosts) > 1:
        raise UserError("tables are prepared by one instance: set instance_count of [stages.prepare] to 1")
    settings = environment.read(Settings, os.environ)
    prepare(settings, paths.processing_input / "data", paths.processing_output)


def prepare(settings: Settings, directory: Path, output: Path) -> None:
    """Read every CSV and Parquet file of a directory, and write the splits, the schema and the report."""
    files = tables.find(directory, tables.CSV, tables.PARQUET)
    source = infer.join([tables.judge(path, directory) for path in files])
    log("read", files=len(source.tables), rows=sum(table.rows for table in source.tables))
    place = infer.find_target(source, settings.target)
    dropped = _count(source, place)
    _check_dropped(source, place, dropped)
    kept = source.scan().filter(~infer.blank(), ~tables.missing(pl.col(place)))
    facts = infer.gather(kept, [str(number) for number in range(len(source.columns))])
    target = infer.target(source, place, facts[place], kept, settings.task)
    others = [other for other in facts if other != place]
    verdict = infer.features(source, others, facts, kept)
    schema = Schema(infer.as_target(target), tuple(column.feature for column in verdict.columns))
    splits = _assign(_keyed(kept, source, target, facts), settings.split)
    _write_tables(source, kept, [target, *verdict.columns], splits, output)
    schema.write(output / "schema" / "schema.json")
    report = _report(source, schema, verdict, dropped, splits)
    _write_report(report, output / "report" / "report.json")


def _count(source: Source, place: str) -> dict[str, int]:
    missing = tables.missing(pl.col(place))
    counted = source.scan().select(
        infer.blank().sum().alias("blank"),
        (missing & ~infer.blank()).sum().alias("without_target"),
        pl.len().alias("read"),
    )
    return dict(counted.collect(engine="streaming").row(0, named=True))


def _check_dropped(source: Source, place: str, dropped: dict[str, int]) -> None:
    rows = dropped["read"] - dropped["blank"]
    without, name = dropped["without_target"], source.columns[int(place)]
    if rows == 0:
        raise UserError(f"{source.tables[0].name}: there are no rows below the header")
    if without > rows * infer.MAX_WITHOUT_TARGET:
        where, _ = source.first(place, tables.missing(pl.col(place)) & ~_blank_line())
        raise UserError(
            f"{where}: '{name}' is missing, as in {without} of {rows} rows: "
            f"more than {infer.MAX_WITHOUT_TARGET:.0%} of the rows have no target"
        )
    if rows - without < infer.MIN_ROWS:
        raise UserError(
            f"{source.tables[0].name}: {rows - without} rows have a target, "
            f"and at least {infer.MIN_ROWS} are needed"
        )


def _blank_line() -> pl.Expr:
    return pl.all_horizontal(pl.exclude(tables.ROW) == "")


@dataclass(frozen=True)
class _Keys:
    """Hold what decides a row's split: its class, and a number that depends on its cells alone."""

    classes: NDArray[np.uint8]  # (n,) zero for a regression
    cells: NDArray[np.uint32]  # (n,) the same in whichever order rows and columns stand


def _keyed(kept: pl.LazyFrame, source: Source, target: Column, facts: dict[str, Facts]) -> _Keys:
    """Read the rows once for their keys, batch by batch."""
    place = source.place(target.feature.name)
    count = facts[place].present
    keys = _Keys(np.zeros(count, dtype=np.uint8), np.zeros(count, dtype=np.uint32))
    named = sorted((name, source.place(name)) for name in source.columns if name)
    cells = [tables.meaning(pl.col(at), text=facts[at].numbers < facts[at].present) for _, at in named]
    joined = pl.concat_str(cells, separator="\x1f").cast(pl.Binary)
    read, done = kept.select(_code(place, target), joined.alias("cells")), 0
    for batch in read.collect_batches(maintain_order=True):
        here = slice(done, done + batch.height)
        keys.classes[here] = batch["class"].to_numpy()
        keys.cells[here] = np.fromiter(map(zlib.crc32, batch["cells"]), dtype=np.uint32, count=batch.height)
        done += batch.height
    return keys


def _code(place: str, target: Column) -> pl.Expr:
    """Return the number of a row's class, called "class"."""
    classes = target.feature.categories
    if classes is None:
        return pl.lit(0, dtype=pl.UInt8).alias("class")
    numbers = pl.Series(range(len(classes)), dtype=pl.UInt8)
    return _written(place, target).replace_strict(pl.Series(classes), numbers).alias("class")


def _assign(keys: _Keys, settings: SplitSettings) -> pl.Series:
    result = split.assign(keys.classes, keys.cells, settings.validation, settings.test, settings.seed)
    for number, name in enumerate(split.NAMES):
        if not (result == number).any():
            raise UserError(f"{len(result)} rows are too few: none is left for {name}")
    return pl.Series(SPLIT, result)


def _written(place: str, column: Column) -> pl.Expr:
    """Return a column as it is written: numbers in their shortest form, text stripped, missing as null."""
    cell = pl.col(place)
    if column.whole:
        number = tables.whole(cell)
        return number.cast(pl.String) if column.feature.categories else number
    if column.feature.kind == "numeric":
        return tables.number(cell)
    text = cell.str.to_lowercase() if column.fold else cell
    return pl.when(~tables.missing(cell)).then(text)


def _write_tables(
    source: Source, kept: pl.LazyFrame, columns: list[Column], splits: pl.Series, output: Path
) -> None:
    """Write the four tables in one pass over the rows, batch by batch."""
    names = [column.feature.name for column in columns]
    written = {
        name: _written(source.place(name), column) for name, column in zip(names, columns, strict=True)
    }
    shaped = kept.select(cell.alias(str(place)) for place, cell in enumerate(written.values()))
    files = [_create(output / name / f"{name}.csv", names) for name in split.NAMES]
    baseline = _create(output / "baseline" / "baseline.csv", names[1:])
    done = 0
    for batch in shaped.collect_batches(maintain_order=True):
        chosen = splits.slice(done, batch.height)
        done += batch.height
        for number, path in enumerate(files):
            _append(path, batch.filter(chosen == number))
        _append(baseline, batch.filter(chosen == split.TRAIN).drop("0"))


def _create(path: Path, names: list[str]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pl.DataFrame(schema=dict.fromkeys(names, pl.String)).write_csv(path)
    return path


def _append(path: Path, batch: pl.DataFrame) -> None:
    with path.open("ab") as file:
        batch.write_csv(file, include_header=False)


def _report(
    source: Source, schema: Schema, verdict: Verdict, dropped: dict[str, int], splits: pl.Series
) -> dict[str, Any]:
    counts = {name: int((splits == number).sum()) for number, name in enumerate(split.NAMES)}
    for column in verdict.left_out:
        log("left_out", **column)
    for column in verdict.strays:
        log("taken_as_missing", **column)
    log("prepared", task=schema.target.task, features=len(schema.features), **dropped, **counts)
    return {
        "files": [{"name": table.name, "rows": table.rows} for table in source.tables],
        "rows": {"read": dropped["read"], "kept": len(splits)},
        "dropped": {"blank": dropped["blank"], "without_target": dropped["without_target"]},
        "splits": counts,
        "target": schema.to_json()["target"],
        "features": {feature.name: feature.kind for feature in schema.features},
        "left_out": verdict.left_out,
        "taken_as_missing": verdict.strays,
    }


def _write_report(report: dict[str, Any], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(report, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
