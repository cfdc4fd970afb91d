"""The command `prepare`: turn tables, or images, into a schema, reproducible splits and a baseline.

The stages are inspect, infer, split and write, with a frozen value between each two.
"""

import json
import os
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

import polars as pl

from container.data import (
    assignment,
    columns,
    footers,
    infer,
    missing_cells,
    split,
    split_keys,
    table_files,
    tables,
)
from container.data.assignment import Assignment
from container.data.infer import ColumnStats, InferredTable, InspectedTable, RowCounts, Source
from container.data.reading import ReadingSettings
from container.data.schema import IMAGE, TABULAR
from container.data.split import SplitSettings
from container.data.split_keys import SplitKeys
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
    table = inspect(directory, settings)
    footers.check(table)
    named, numbering = assignment.find_identifiers(table, settings.split)
    inferred = columns.infer_others(table, named, numbering)
    write(table, inferred, assignment.assign(table, inferred, settings.split), output)


def inspect(directory: Path, settings: Settings) -> InspectedTable:
    """Read every file of a directory once, and return how its target is read, and its columns' statistics.

    Raises:
        UserError: a file is not a table, or the target is missing, can't be predicted, or is in too few rows.
    """
    source = _read_files(directory, settings.reading)
    position = infer.find_target(source, settings.target)
    rows, stats = _count_rows(source, position)
    _check_rows(source, position, rows, source.missing(position), settings.reading)
    target = columns.infer_target(source, position, stats, settings.task, settings.reading)
    without_stats = InspectedTable(source, settings.reading, target, rows, {})
    if target.feature.strays or target.feature.number_format:
        kept = without_stats.kept.select(pl.len()).collect(engine="streaming").item()
        rows = replace(rows, without_target=rows.read - rows.blank - kept)
        without_stats = replace(without_stats, rows=rows)
    _check_rows(source, position, without_stats.rows, ~without_stats.has_target, settings.reading)
    positions = [str(number) for number in range(len(source.columns))]
    return replace(without_stats, stats=infer.profile(without_stats.kept, positions, source.reading))


def _read_files(directory: Path, reading: ReadingSettings) -> Source:
    """Inspect the files of a directory, and say which are not read.

    Raises:
        UserError: a file is not a table, or too many files are not read.
    """
    paths = table_files.find(directory, table_files.CSV, table_files.PARQUET)
    skipped = table_files.skipped(directory)
    for file in skipped:
        log("skipped_file", name=file.name, reason=file.reason)
    table_files.check_skipped(skipped, len(paths), reading.max_skipped)
    table_files.check_folders(path.relative_to(directory).as_posix() for path in paths)
    found = [tables.inspect(path, directory, reading.delimiter) for path in paths]
    for folder, reason in {pair: 0 for table in found for pair in table.folders_not_read.items()}:
        log("folder_not_read", name=folder, reason=reason)
    source = infer.concat(found, reading.missing_words)
    log("read", files=len(paths), skipped=len(skipped), rows=sum(table.rows for table in source.tables))
    return replace(source, skipped=tuple(skipped))


def _count_rows(source: Source, target: str) -> tuple[RowCounts, ColumnStats]:
    """Return the rows' counts and the target's statistics, from one pass."""
    cell = pl.struct(infer.statistics(pl.col(target), source.reading)).alias("cell")
    counted = source.scan().select(source.is_blank().sum().alias("blank"), pl.len().alias("read"), cell)
    blank, read, found = counted.collect(engine="streaming").row(0)
    stats = ColumnStats(**found)
    return RowCounts(blank, read - blank - stats.present, read), stats


def _check_rows(
    source: Source, target: str, counts: RowCounts, without: pl.Expr, settings: ReadingSettings
) -> None:
    rows, missing = counts.kept + counts.without_target, counts.without_target
    if rows == 0:
        raise UserError(f"{source.tables[0].name}: there are no rows below the header")
    if missing > rows * settings.max_missing_target:
        where, text = source.first(target, without & ~source.is_blank())
        cell = f" The first such cell is '{text}'." if text else ""
        if text in source.reading.missing and text:
            cell = f" '{text}' is a word for a missing value; where it is a class, write another in the data."
        raise UserError(
            f"{where}: '{source.name(target)}' is missing, as in {missing} of {rows} rows: "
            f"more than {settings.max_missing_target * 100:g}% of the rows have no target.{cell} "
            "Complete the rows, or set max_missing_target of [data]"
        )
    if counts.kept < infer.MIN_ROWS:
        raise UserError(
            f"{source.tables[0].name}: {counts.kept} rows have a target, "
            f"and at least {infer.MIN_ROWS} are needed"
        )


def write(table: InspectedTable, inferred: InferredTable, assigned: Assignment, output: Path) -> None:
    """Write the splits and the baseline as CSV, the keys of the rows, the schema and the report."""
    _write_tables(table, inferred, assigned.splits, output)
    for number, name in enumerate(split.NAMES):
        rows = assigned.keys.rows[assigned.splits.to_numpy() == number]
        split_keys.write(output / name / split_keys.FILE, SplitKeys(assigned.keys.kind, rows))
    inferred.schema.write(output / "schema" / "schema.json")
    taken = [vars(found) for found in missing_cells.count(table, inferred)]
    _log_result(table, inferred, assigned, taken)
    _write_report(_report(table, inferred, assigned, taken), output / "report" / "report.json")


def _write_tables(table: InspectedTable, inferred: InferredTable, splits: pl.Series, output: Path) -> None:
    """Write the four tables in one pass over the rows, batch by batch."""
    written_columns = [inferred.target, *inferred.columns]
    names = [column.feature.name for column in written_columns]
    written = [
        column.written(pl.col(table.source.position(column.feature.name))) for column in written_columns
    ]
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


def _log_result(
    table: InspectedTable, inferred: InferredTable, assigned: Assignment, taken: list[dict[str, Any]]
) -> None:
    for dropped in inferred.dropped_columns:
        log("left_out", **dropped)
    for found in taken:
        log("taken_as_missing", **found)
    for decided in inferred.kinds:
        log("kind", **decided)
    for guess in inferred.guesses:
        log("guess", **guess)
    if assigned.apart:
        log("equal_rows", message=assigned.equal_rows)
    for name, bound in (("groups", assigned.groups), ("time", assigned.time)):
        if bound:
            log(name, **bound)
    counts = assigned.counts | {"duplicates": assigned.duplicates, "without_time": assigned.without_time}
    schema = inferred.schema
    log("prepared", task=schema.target.task, features=len(schema.features), **vars(table.rows), **counts)


def _report(
    table: InspectedTable, inferred: InferredTable, assigned: Assignment, taken: list[dict[str, Any]]
) -> dict[str, Any]:
    schema, rows, counts = inferred.schema, table.rows, assigned.counts
    dropped = {"blank": rows.blank, "without_target": rows.without_target}
    return {
        "files": [file.to_json() for file in table.source.tables],
        "skipped_files": [{"name": file.name, "reason": file.reason} for file in table.source.skipped],
        "rows": {"read": rows.read, "kept": sum(counts.values())},
        "first_without_target": _first_without_target(table),
        "dropped": dropped | ({"without_time": assigned.without_time} if assigned.time else {}),
        "splits": counts,
        "duplicates": assigned.duplicates,
        "equal_rows": assigned.equal_rows,
        "groups": assigned.groups,
        "time": assigned.time,
        "target": schema.to_json()["target"],
        "features": {feature.name: feature.kind for feature in schema.features},
        "left_out": inferred.dropped_columns,
        "taken_as_missing": taken,
        "kinds": inferred.kinds,
        "guesses": inferred.guesses,
    }


def _first_without_target(table: InspectedTable) -> str | None:
    """Return where the first row without a target is, and what it holds, or None if there is none."""
    if not table.rows.without_target:
        return None
    return table.source.first_row(~table.has_target & ~table.source.is_blank())


def _write_report(report: dict[str, Any], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(report, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
