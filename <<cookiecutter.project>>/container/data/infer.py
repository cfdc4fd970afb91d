"""Inference of a table's schema: the target's task, the kind of each column, and the columns to drop."""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl

from container.data import tables, value_counts, values
from container.data.schema import Feature, Schema, Target
from container.data.table_files import SkippedFile
from container.data.tables import Table
from container.data.value_counts import ValueCounts
from container.runtime.errors import UserError

MAX_LEVELS = 100  # of a categorical column; of more, the commonest 99 are kept and the others become one
MAX_INTEGER_CLASSES = 20
MAX_CLASSES = 100
MAX_WITHOUT_TARGET = 0.05  # share of the rows
MAX_INVALID = 0.05  # share of a column's cells
MIN_ROWS = 10
TASKS = ("auto", "regression", "classification")
_SHOWN = 20  # columns that a message lists


@dataclass(frozen=True)
class Source:
    """Hold the tables of a job as one: all with the same columns, their rows one after the other."""

    tables: tuple[Table, ...]
    columns: tuple[str, ...]
    skipped: tuple[SkippedFile, ...] = ()  # the files that are not read

    def scan(self) -> pl.LazyFrame:
        """Return all rows as stripped text, with columns named by position: "0", "1", …."""
        return pl.concat([tables.scan(table, self.columns) for table in self.tables])

    def position(self, name: str) -> str:
        """Return the position of a column, which is its name in `scan`."""
        return str(self.columns.index(name))

    def name(self, position: str) -> str:
        """Return the name of the column at a position."""
        return self.columns[int(position)]

    def fault(self, name: str) -> str:
        """Return why no model can use a column, from the first file that has a reason, or nothing."""
        return next((reason for table in self.tables if (reason := table.fault(name))), "")

    def first(self, position: str, condition: pl.Expr) -> tuple[str, str]:
        """Return where the first row that fulfils a condition is, and its cell in a column."""
        return tables.first(list(self.tables), self.columns, position, condition)


@dataclass(frozen=True)
class RowCounts:
    """Hold how many rows were read, and how many of them are blank lines or lack the target."""

    blank: int
    without_target: int
    read: int


@dataclass(frozen=True)
class ColumnStats:
    """Hold the statistics of a column's kept rows, from one pass over the table."""

    present: int
    numbers: int
    integral: int
    whole: int
    infinite: int
    distinct: int  # approximate
    least: str | None
    greatest: str | None

    @property
    def is_numeric(self) -> bool:
        """Return whether every present cell is a number."""
        return self.numbers == self.present

    @property
    def is_nearly_numeric(self) -> bool:
        """Return whether so few cells are not numbers that these count as invalid."""
        return self.numbers >= self.present * (1 - MAX_INVALID)


@dataclass(frozen=True)
class InspectedTable:
    """Hold a table with a target: its rows' counts, and the statistics of each column by its position."""

    source: Source
    target: str  # a position
    rows: RowCounts
    stats: Mapping[str, ColumnStats]

    @property
    def kept(self) -> pl.LazyFrame:
        """Return the rows that are not blank and have a target, as text."""
        return self.source.scan().filter(~blank(), ~tables.missing(pl.col(self.target)))


@dataclass(frozen=True)
class Column:
    """Hold how a column is written: its kind for the model, and the format of its text."""

    feature: Feature
    whole: bool = False  # every number is a 64-bit integer, 41.0 as well as 41
    fold: bool = False  # a boolean that is spelled in several ways


@dataclass(frozen=True)
class InvalidCells:
    """Hold how many cells of a numeric column are not numbers, and where the first is, with its text."""

    column: str
    cells: int
    first: str
    text: str


@dataclass(frozen=True)
class ColumnInference:
    """Hold how a column is used, or the reason why it is dropped, and its invalid cells, if any."""

    name: str
    column: Column | None = None
    reason: str = ""
    invalid_cells: InvalidCells | None = None


@dataclass(frozen=True)
class InferredTable:
    """Hold the target and the inference of every other column."""

    target: Column
    inferences: tuple[ColumnInference, ...]

    @property
    def columns(self) -> list[Column]:
        """Return the columns that the model sees."""
        return [each.column for each in self.inferences if each.column]

    @property
    def dropped_columns(self) -> list[dict[str, str]]:
        """Return the dropped columns, as the report lists them."""
        return [{"column": each.name, "reason": each.reason} for each in self.inferences if each.reason]

    @property
    def invalid_cells(self) -> list[dict[str, Any]]:
        """Return the cells that are taken as missing, as the report lists them."""
        return [vars(each.invalid_cells) for each in self.inferences if each.invalid_cells]

    @property
    def schema(self) -> Schema:
        """Return the schema of the target and of the columns that the model sees."""
        name, classes = self.target.feature.name, self.target.feature.categories
        target = Target(name, "regression") if classes is None else Target.of_classes(name, classes)
        return Schema(target, tuple(column.feature for column in self.columns))


def concat(found: list[Table]) -> Source:
    """Return several files as one table.

    Raises:
        UserError: their columns differ, in name or in type, or all are empty.
    """
    leader = found[0]
    for table in found[1:]:
        if set(table.columns) != set(leader.columns) or len(table.columns) != len(leader.columns):
            differing = sorted(set(table.columns) ^ set(leader.columns)) or ["(unnamed)"]
            raise UserError(
                f"{table.name}: its columns differ from those of {leader.name} in '{differing[0]}': "
                "all files must have the same columns"
            )
    for column in leader.columns:
        _check_kinds(found, column)
    if not sum(table.rows for table in found):
        raise UserError(f"{leader.name}: there are no rows{'' if leader.types else ' below the header'}")
    return Source(tuple(found), leader.columns)


def _check_kinds(found: list[Table], column: str) -> None:
    typed = [(table.name, kind) for table in found if (kind := table.kind_of(column))]
    for name, kind in typed[1:]:
        if kind != typed[0][1]:
            raise UserError(
                f"{name}: '{column}' holds {kind}, and in {typed[0][0]} {typed[0][1]}: "
                "a column must be of one type in all files"
            )


def find_target(source: Source, name: str) -> str:
    """Return the position of the target.

    Raises:
        UserError: no column has the name, or no model can predict the column.
    """
    if name in source.columns and name:
        if reason := source.fault(name):
            raise UserError(f"{source.tables[0].name}: '{name}' can't be the target: {reason}")
        return source.position(name)
    folded = {column.lower(): column for column in source.columns}
    near = difflib.get_close_matches(name.lower(), folded, n=3, cutoff=0.6)
    hint = f" Did you mean {' or '.join(repr(folded[text]) for text in near)}?" if near else ""
    shown = ", ".join(source.columns[:_SHOWN]) + (", …" if len(source.columns) > _SHOWN else "")
    raise UserError(f"{source.tables[0].name}: no column is named '{name}'.{hint} The columns are: {shown}")


def blank() -> pl.Expr:
    """Return whether a row is a blank line: every cell empty."""
    return pl.all_horizontal(pl.all() == "")


def profile(frame: pl.LazyFrame, positions: list[str]) -> dict[str, ColumnStats]:
    """Return the statistics of columns, by position, from one pass over the rows."""
    counted = frame.select(pl.struct(_statistics(position)).alias(position) for position in positions)
    row = counted.collect(engine="streaming").row(0, named=True)
    return {position: ColumnStats(**row[position]) for position in positions}


def _statistics(position: str) -> list[pl.Expr]:
    cell, value = pl.col(position), tables.number(pl.col(position))
    integral = (value == value.floor()) & (value.abs() < tables.EXACT)
    present = ~tables.missing(cell)
    text = pl.when(present).then(cell)
    return [
        present.sum().alias("present"),
        value.is_not_null().sum().alias("numbers"),
        integral.sum().alias("integral"),
        (integral | cell.cast(pl.Int64, strict=False).is_not_null()).sum().alias("whole"),
        value.is_infinite().sum().alias("infinite"),
        text.approx_n_unique().alias("distinct"),
        text.min().alias("least"),
        text.max().alias("greatest"),
    ]


def infer(table: InspectedTable, task: str) -> InferredTable:
    """Infer the target's task and classes, and the kind of every other column.

    Raises:
        UserError: the target can't be predicted, a number is infinite, or no column can be used.
    """
    target = _infer_target(table, task)
    positions = [position for position in table.stats if position != table.target]
    inferred = InferredTable(target, tuple(_infer_column(table, position) for position in positions))
    if not inferred.columns:
        reasons = "".join(f" '{left['column']}': {left['reason']}." for left in inferred.dropped_columns)
        raise UserError(f"{table.source.tables[0].name}: no column besides the target can be used.{reasons}")
    return inferred


def _infer_target(table: InspectedTable, task: str) -> Column:
    position, stats = table.target, table.stats[table.target]
    name = table.source.name(position)
    if stats.least == stats.greatest:
        where, text = table.source.first(position, ~tables.missing(pl.col(position)))
        raise UserError(f"{where}: '{name}' is '{text}' in every row, so there is nothing to learn")
    if task == "regression" and not stats.is_numeric:
        _refuse_text(table, position, "TASK is regression")
    integers = stats.is_numeric and stats.integral == stats.present
    few = integers and stats.distinct <= 2 * MAX_INTEGER_CLASSES  # `distinct` is approximate
    counted = few or not stats.is_numeric or task == "classification"
    counts = _count_values(table, position, integers=integers) if counted else ValueCounts(0, {})
    few = few and counts.distinct <= MAX_INTEGER_CLASSES
    if task == "regression" or (task == "auto" and stats.is_numeric and not few):
        _refuse_infinite(table, position)
        return Column(Feature(name, "numeric"), whole=stats.whole == stats.present)
    return _infer_classes(table, counts, integers=integers)


def _infer_classes(table: InspectedTable, counts: ValueCounts, *, integers: bool) -> Column:
    name, file, stats = (
        table.source.name(table.target),
        table.source.tables[0].name,
        table.stats[table.target],
    )
    if counts.distinct > MAX_CLASSES:
        if stats.is_nearly_numeric and not stats.is_numeric:
            _refuse_text(table, table.target, "nearly every other value is a number")
        raise UserError(
            f"{file}: '{name}' has {counts.distinct} classes, and at most {MAX_CLASSES} can "
            "be told apart: choose another target, or TASK = regression for a number"
        )
    texts, fold = _spelling(sorted(counts.commonest, key=int) if integers else sorted(counts.commonest))
    if len(texts) == 1:
        raise UserError(f"{file}: '{name}' has one class only, so there is nothing to learn")
    return Column(Feature(name, "categorical", tuple(texts)), whole=integers, fold=fold)


def _refuse_text(table: InspectedTable, position: str, why: str) -> None:
    where, text = _first_text(table, position)
    raise UserError(f"{where}: '{table.source.name(position)}' is '{text}', which is not a number, and {why}")


def _first_text(table: InspectedTable, position: str) -> tuple[str, str]:
    """Return where the first cell is that is neither missing nor a number, and its text."""
    cell = pl.col(position)
    return table.source.first(position, ~tables.missing(cell) & tables.number(cell).is_null())


def _refuse_infinite(table: InspectedTable, position: str) -> None:
    if table.stats[position].infinite:
        where, text = table.source.first(position, tables.number(pl.col(position)).is_infinite())
        raise UserError(
            f"{where}: '{table.source.name(position)}' is '{text}', and numbers must be finite: "
            "leave the cell empty for a missing value"
        )


def _count_values(table: InspectedTable, position: str, *, integers: bool = False) -> ValueCounts:
    """Count each text of a column; integers are counted in one spelling."""
    cell, stats = pl.col(position), table.stats[position]
    text = tables.number(cell).cast(pl.Int64).cast(pl.String) if integers else cell
    texts = table.kept.filter(~tables.missing(cell)).select(text.alias(value_counts.TEXT))
    return value_counts.count(texts, stats.present, stats.distinct, MAX_LEVELS)


def _spelling(texts: list[str]) -> tuple[list[str], bool]:
    """Return the levels, those of a boolean in lower case, and whether that changed them."""
    lower = sorted({text.lower() for text in texts})
    fold = set(lower) <= values.BOOLEANS and len(lower) < len(texts)
    return (lower if fold else texts), fold


def _infer_column(table: InspectedTable, position: str) -> ColumnInference:
    name, stats = table.source.name(position), table.stats[position]
    if reason := table.source.fault(name) or _reason_to_drop(name, stats):
        return ColumnInference(name, reason=reason)
    if stats.is_numeric:
        _refuse_infinite(table, position)
        column = Column(Feature(name, "numeric"), whole=stats.whole == stats.present)
        return ColumnInference(name, column)
    if style := _date_format(table, position):
        return ColumnInference(name, Column(Feature(name, "date", format=style)))
    return _infer_text(table, position)


def _reason_to_drop(name: str, stats: ColumnStats) -> str:
    if not name:
        return "it has no name"
    if not stats.present:
        return "every value is missing"
    return "it has one value" if stats.least == stats.greatest else ""


def _infer_text(table: InspectedTable, position: str) -> ColumnInference:
    name, stats = table.source.name(position), table.stats[position]
    counts = _count_values(table, position)
    if counts.distinct > MAX_LEVELS and stats.is_nearly_numeric:
        _refuse_infinite(table, position)
        invalid = InvalidCells(name, stats.present - stats.numbers, *_first_text(table, position))
        column = Column(Feature(name, "numeric"), whole=stats.whole == stats.numbers)
        return ColumnInference(name, column, invalid_cells=invalid)
    if counts.distinct == stats.present:
        return ColumnInference(name, reason="it is text that differs in every row")
    return ColumnInference(name, _categorical(name, counts))


def _categorical(name: str, counts: ValueCounts) -> Column:
    if counts.distinct <= MAX_LEVELS:
        texts, fold = _spelling(list(counts.commonest))
        return Column(Feature(name, "categorical", tuple(sorted(texts))), fold=fold)
    commonest = list(counts.commonest)[: MAX_LEVELS - 1]
    return Column(Feature(name, "categorical", tuple(sorted(commonest)), other=True))


def _date_format(table: InspectedTable, position: str) -> str:
    """Return the first format by which every text of a column is a date, or nothing."""
    formats = list(values.DATE_FORMATS)
    cells = table.kept.select(position).filter(~tables.missing(pl.col(position)))
    for batch in cells.collect_batches(maintain_order=True):
        texts = batch[position].unique(maintain_order=True).to_list()
        for style in formats.copy():
            if any(values.parse_timestamp(text, style) is None for text in texts):
                formats.remove(style)
        if not formats:
            return ""
    return formats[0]
