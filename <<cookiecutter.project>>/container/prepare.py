"""The command `prepare`: turn tables, or images, into a schema, reproducible splits and a baseline.

The stages are inspect, infer, split and write, with a frozen value between each two.
"""

import json
import os
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

import polars as pl

from container.data import assignment, infer, split, tables
from container.data.assignment import Assignment
from container.data.infer import InferredTable, InspectedTable, RowCounts, Source
from container.data.reading import ReadingSettings
from container.data.schema import IMAGE, TABULAR
from container.data.split import SplitSettings
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
        from container.images import prepare as images  # noqa: PLC0415 - tables need no image libraries

        images.run(os.environ, paths)
        return
    if len(paths.resources().hosts) > 1:
        raise UserError("tables are prepared by one instance: set instance_count of [stages.prepare] to 1")
    settings = environment.read(Settings, os.environ)
    prepare(settings, paths.processing_input / "data", paths.processing_output)


def prepare(settings: Settings, directory: Path, output: Path) -> None:
    """Read every CSV and Parquet file of a directory, and write the splits, the schema and the report.

    Raises:
        UserError: the data can't be used.
    """
    table = inspect(directory, settings.target)
    named, numbering = assignment.find_identifiers(table, settings.split, settings.reading.kinds)
    inferred = infer.infer(table, settings.task, named, numbering)
    write(table, inferred, assignment.assign(table, inferred, settings.split), output)


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


def write(table: InspectedTable, inferred: InferredTable, assigned: Assignment, output: Path) -> None:
    """Write the splits and the baseline as CSV, the schema and the report."""
    _write_tables(table, inferred, assigned.splits, output)
    inferred.schema.write(output / "schema" / "schema.json")
    _log_result(table, inferred, assigned)
    _write_report(_report(table, inferred, assigned), output / "report" / "report.json")


def _write_tables(table: InspectedTable, inferred: InferredTable, splits: pl.Series, output: Path) -> None:
    """Write the four tables in one pass over the rows, batch by batch."""
    columns = [inferred.target, *inferred.columns]
    names = [column.feature.name for column in columns]
    written = [assignment.written(table.source.position(column.feature.name), column) for column in columns]
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


def _log_result(table: InspectedTable, inferred: InferredTable, assigned: Assignment) -> None:
    for dropped in inferred.dropped_columns:
        log("left_out", **dropped)
    for invalid in inferred.invalid_cells:
        log("taken_as_missing", **invalid)
    for name, bound in (("groups", assigned.groups), ("time", assigned.time)):
        if bound:
            log(name, **bound)
    counts = assigned.counts | {"duplicates": assigned.duplicates, "without_time": assigned.without_time}
    schema = inferred.schema
    log("prepared", task=schema.target.task, features=len(schema.features), **vars(table.rows), **counts)


def _report(table: InspectedTable, inferred: InferredTable, assigned: Assignment) -> dict[str, Any]:
    schema, rows, counts = inferred.schema, table.rows, assigned.counts
    dropped = {"blank": rows.blank, "without_target": rows.without_target}
    return {
        "files": [{"name": file.name, "rows": file.rows} for file in table.source.tables],
        "rows": {"read": rows.read, "kept": sum(counts.values())},
        "dropped": dropped | ({"without_time": assigned.without_time} if assigned.time else {}),
        "splits": counts,
        "duplicates": assigned.duplicates,
        "groups": assigned.groups,
        "time": assigned.time,
        "target": schema.to_json()["target"],
        "features": {feature.name: feature.kind for feature in schema.features},
        "left_out": inferred.dropped_columns,
        "taken_as_missing": inferred.invalid_cells,
    }


def _write_report(report: dict[str, Any], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(report, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
