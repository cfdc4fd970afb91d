"""The command `prepare`: turn tables, or images, into a schema, reproducible splits and a baseline.

The stages are inspect, infer, split and write, with a frozen value between each two.
"""

import json
import os
import zlib
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from container.data import infer, split, tables
from container.data.infer import Column, InferredTable, InspectedTable, RowCounts, Source
from container.data.reading import ReadingSettings
from container.data.schema import IMAGE, TABULAR
from container.data.split import SplitSettings
from container.images import MISSING as MISSING_IMAGES
from container.runtime import environment
from container.runtime.environment import Variable
from container.runtime.errors import UserError
from container.runtime.log import log
from container.runtime.paths import ContainerPaths


@dataclass(frozen=True)
class Settings:
    """Hold what a job that prepares tables is asked for by its environment."""

    target: Annotated[str, Variable("TARGET", hint="name the column to predict")]
    task: Annotated[str, Variable("TASK", choices=infer.TASKS)] = "auto"
    split: SplitSettings = field(default_factory=SplitSettings)
    reading: ReadingSettings = field(default_factory=ReadingSettings)


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
        _prepare_images(paths)
        return
    if len(paths.resources().hosts) > 1:
        raise UserError("tables are prepared by one instance: set instance_count of [stages.prepare] to 1")
    settings = environment.read(Settings, os.environ)
    prepare(settings, paths.processing_input / "data", paths.processing_output)


def _prepare_images(paths: ContainerPaths) -> None:
    try:
        import container.images.prepare as images  # noqa: PLC0415 - tables need no image libraries
    except ModuleNotFoundError as error:
        if error.name != "container.images.prepare":
            raise
        raise UserError(MISSING_IMAGES) from error
    images.run(os.environ, paths)


def prepare(settings: Settings, directory: Path, output: Path) -> None:
    """Read every CSV and Parquet file of a directory, and write the splits, the schema and the report.

    Raises:
        UserError: the data can't be used.
    """
    table = inspect(directory, settings.target)
    inferred = infer.infer(table, settings.task)
    splits = assign_splits(table, inferred, settings.split)
    write(table, inferred, splits, output)


def inspect(directory: Path, target: str) -> InspectedTable:
    """Read every file of a directory once, and return its rows' counts and its columns' statistics.

    Raises:
        UserError: a file is not a table, or the target is missing in the table or in too many rows.
    """
    files = tables.find(directory, tables.CSV, tables.PARQUET)
    source = infer.concat([tables.inspect(path, directory) for path in files])
    log("read", files=len(source.tables), rows=sum(table.rows for table in source.tables))
    position = infer.find_target(source, target)
    rows = _count_rows(source, position)
    _check_rows(source, position, rows)
    without_stats = InspectedTable(source, position, rows, {})
    positions = [str(number) for number in range(len(source.columns))]
    return replace(without_stats, stats=infer.profile(without_stats.kept, positions))


def _count_rows(source: Source, target: str) -> RowCounts:
    missing = tables.missing(pl.col(target))
    counted = source.scan().select(
        infer.blank().sum().alias("blank"),
        (missing & ~infer.blank()).sum().alias("without_target"),
        pl.len().alias("read"),
    )
    return RowCounts(**counted.collect(engine="streaming").row(0, named=True))


def _check_rows(source: Source, target: str, counts: RowCounts) -> None:
    rows, without = counts.read - counts.blank, counts.without_target
    if rows == 0:
        raise UserError(f"{source.tables[0].name}: there are no rows below the header")
    if without > rows * infer.MAX_WITHOUT_TARGET:
        where, _ = source.first(target, tables.missing(pl.col(target)) & ~_blank_line())
        raise UserError(
            f"{where}: '{source.name(target)}' is missing, as in {without} of {rows} rows: "
            f"more than {infer.MAX_WITHOUT_TARGET:.0%} of the rows have no target"
        )
    if rows - without < infer.MIN_ROWS:
        raise UserError(
            f"{source.tables[0].name}: {rows - without} rows have a target, "
            f"and at least {infer.MIN_ROWS} are needed"
        )


def _blank_line() -> pl.Expr:
    """Return whether a row is a blank line, in a frame that has its number too."""
    return pl.all_horizontal(pl.exclude(tables.ROW) == "")


def assign_splits(table: InspectedTable, inferred: InferredTable, settings: SplitSettings) -> pl.Series:
    """Return the number of each kept row's split, which depends on its class and on a hash of its cells.

    Raises:
        UserError: a split would be empty.
    """
    classes, hashes = _classes_and_hashes(table, inferred.target)
    result = split.assign(classes, hashes, settings.validation, settings.test, settings.seed)
    for number, name in enumerate(split.NAMES):
        if not (result == number).any():
            raise UserError(f"{len(result)} rows are too few: none is left for {name}")
    return pl.Series("split", result)


def _classes_and_hashes(
    table: InspectedTable, target: Column
) -> tuple[NDArray[np.uint8], NDArray[np.uint32]]:
    """Return the (n,) class codes, zero for a regression, and the (n,) hashes of the rows, batch by batch.

    The hash is that of a row's cells in their canonical spelling and in the order of their columns' names, so
    that it depends neither on the program that wrote the file nor on the order of rows and columns.
    """
    source, stats = table.source, table.stats
    count = stats[table.target].present
    classes, hashes = np.zeros(count, dtype=np.uint8), np.zeros(count, dtype=np.uint32)
    positions = [source.position(name) for name in sorted(filter(None, source.columns))]
    cells = [tables.canonicalize(pl.col(at), text=not stats[at].is_numeric) for at in positions]
    joined = pl.concat_str(cells, separator="\x1f").cast(pl.Binary)
    frame, done = table.kept.select(_class_code(table.target, target), joined.alias("cells")), 0
    for batch in frame.collect_batches(maintain_order=True):
        rows = slice(done, done + batch.height)
        classes[rows] = batch["class"].to_numpy()
        hashes[rows] = np.fromiter(map(zlib.crc32, batch["cells"]), dtype=np.uint32, count=batch.height)
        done += batch.height
    return classes, hashes


def _class_code(position: str, target: Column) -> pl.Expr:
    """Return the code of a row's class, in a column named "class"."""
    classes = target.feature.categories
    if classes is None:
        return pl.lit(0, dtype=pl.UInt8).alias("class")
    codes = pl.Series(range(len(classes)), dtype=pl.UInt8)
    return _written(position, target).replace_strict(pl.Series(classes), codes).alias("class")


def _written(position: str, column: Column) -> pl.Expr:
    """Return a column as it is written: numbers in their shortest form, text stripped, missing as null."""
    cell = pl.col(position)
    if column.whole:
        number = tables.whole(cell)
        return number.cast(pl.String) if column.feature.categories else number
    if column.feature.kind == "numeric":
        return tables.number(cell)
    text = cell.str.to_lowercase() if column.fold else cell
    return pl.when(~tables.missing(cell)).then(text)


def write(table: InspectedTable, inferred: InferredTable, splits: pl.Series, output: Path) -> None:
    """Write the splits and the baseline as CSV, the schema and the report."""
    _write_tables(table, inferred, splits, output)
    inferred.schema.write(output / "schema" / "schema.json")
    counts = {name: int((splits == number).sum()) for number, name in enumerate(split.NAMES)}
    _log_result(table, inferred, counts)
    _write_report(_report(table, inferred, counts), output / "report" / "report.json")


def _write_tables(table: InspectedTable, inferred: InferredTable, splits: pl.Series, output: Path) -> None:
    """Write the four tables in one pass over the rows, batch by batch."""
    columns = [inferred.target, *inferred.columns]
    names = [column.feature.name for column in columns]
    written = [_written(table.source.position(column.feature.name), column) for column in columns]
    frame = table.kept.select(cell.alias(str(index)) for index, cell in enumerate(written))
    files = [_create(output / name / f"{name}.csv", names) for name in split.NAMES]
    baseline = _create(output / "baseline" / "baseline.csv", names[1:])
    done = 0
    for batch in frame.collect_batches(maintain_order=True):
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


def _log_result(table: InspectedTable, inferred: InferredTable, counts: dict[str, int]) -> None:
    for dropped in inferred.dropped_columns:
        log("left_out", **dropped)
    for invalid in inferred.invalid_cells:
        log("taken_as_missing", **invalid)
    schema = inferred.schema
    log("prepared", task=schema.target.task, features=len(schema.features), **vars(table.rows), **counts)


def _report(table: InspectedTable, inferred: InferredTable, counts: dict[str, int]) -> dict[str, Any]:
    schema, rows = inferred.schema, table.rows
    return {
        "files": [{"name": file.name, "rows": file.rows} for file in table.source.tables],
        "rows": {"read": rows.read, "kept": sum(counts.values())},
        "dropped": {"blank": rows.blank, "without_target": rows.without_target},
        "splits": counts,
        "target": schema.to_json()["target"],
        "features": {feature.name: feature.kind for feature in schema.features},
        "left_out": inferred.dropped_columns,
        "taken_as_missing": inferred.invalid_cells,
    }


def _write_report(report: dict[str, Any], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(report, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
