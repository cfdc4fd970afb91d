"""Tables as one: their rows, the statistics of their columns, and what is inferred of each."""

import difflib
import functools
import math
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

import polars as pl

from container.data import kinds, tables
from container.data.kinds import Decision
from container.data.reading import ReadingSettings
from container.data.schema import PRESENT, Feature, Schema, Target
from container.data.table_files import SkippedFile
from container.data.tables import Table
from container.data.values import BLANKS, EXACT, TRUTH, NumberFormat, Reading
from container.runtime.errors import UserError

MIN_ROWS = 10
TASKS = ("auto", "regression", "classification")
_LISTED = 20  # columns in a message
_SHOWN = "^[+-]?(?:[0-9]+#(?:[0-9]{1,2}|[0-9]{4,})|0+#[0-9]+)$"  # numbers with # before their decimals


@dataclass(frozen=True)
class Source:
    """Hold the tables of a job as one: all with the same columns, their rows one after the other."""

    tables: tuple[Table, ...]
    columns: tuple[str, ...]
    reading: Reading = PRESENT
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

    def missing(self, position: str) -> pl.Expr:
        """Return whether a column's cell is a missing value."""
        return tables.missing(pl.col(position), self.reading.missing)

    def is_blank(self) -> pl.Expr:
        """Return whether every cell of a row is empty: a blank line. Folders name columns of every row."""
        folders = {name for table in self.tables for name, _ in table.folders}
        own = [str(at) for at, name in enumerate(self.columns) if name not in folders]
        return pl.all_horizontal(pl.col(own) == "")

    def is_typed(self, name: str) -> bool:
        """Return whether a column's numbers have a type of their own, as in Parquet."""
        return any(table.kind_of(name) == "numbers" for table in self.tables)

    @functools.cached_property
    def shown_marks(self) -> list[dict[str, str]]:
        """The marks before decimals that each file's columns show, by position."""
        return [_shown_marks(table, self.columns) for table in self.tables]

    def decimal_mark(self, position: str) -> str:
        """Return the one mark before decimals that files show beside a column, or nothing."""
        others = [{mark for at, mark in shown.items() if at != position} for shown in self.shown_marks]
        marks = {_decimal_mark(table, shown) for table, shown in zip(self.tables, others, strict=True)} - {""}
        return marks.pop() if len(marks) == 1 else ""

    def fault(self, name: str) -> str:
        """Return why no model can use a column, from the first file that has a reason, or nothing."""
        return next((reason for table in self.tables if (reason := table.fault(name))), "")

    def first(self, position: str, condition: pl.Expr) -> tuple[str, str]:
        """Return where the first row that fulfils a condition is, and its cell in a column."""
        return tables.first(list(self.tables), self.columns, position, condition)

    def first_row(self, condition: pl.Expr) -> str:
        """Return where the first row that fulfils a condition is, and its cells, for messages."""
        cells = pl.concat_str([str(at) for at in range(len(self.columns))], separator=",").alias("cells")
        where, text = tables.first(list(self.tables), self.columns, cells, condition)
        return f"{where}: {text}"


@dataclass(frozen=True)
class RowCounts:
    """Hold how many rows were read, and how many of them are blank lines or lack the target."""

    blank: int
    without_target: int
    read: int

    @property
    def kept(self) -> int:
        """Return how many rows are left."""
        return self.read - self.blank - self.without_target


@dataclass(frozen=True)
class ColumnStats:
    """Hold the statistics of a column's kept rows, from one pass over the table."""

    filled: int  # not empty, but perhaps a word for "missing"
    present: int
    numbers: int
    integral: int
    whole: int
    infinite: int
    padded: int  # digits that begin with 0, such as 01
    distinct: int  # approximate
    least: str | None
    greatest: str | None

    @property
    def is_numeric(self) -> bool:
        """Return whether every present cell is a plain number."""
        return self.numbers == self.present


@dataclass(frozen=True)
class Column:
    """Hold how a column is read and written: what it is for the model, and the spelling of its labels."""

    feature: Feature
    decision: Decision = field(default_factory=lambda: Decision(kinds.LABEL, 0))
    whole: bool = False  # every number is a 64-bit integer, 41.0 as well as 41
    labels: Mapping[str, str] = field(default_factory=dict)  # of texts that are written otherwise

    def is_missing(self, cell: pl.Expr) -> pl.Expr:
        """Return whether a cell is a missing value."""
        return tables.missing(cell, self.feature.reading.missing, self.feature.number_format)

    def is_stray(self, cell: pl.Expr) -> pl.Expr:
        """Return whether a cell does not fit the column's kind, and therefore counts as missing."""
        if not self.feature.strays:
            return pl.lit(value=False)
        return ~self.is_missing(cell) & self.decision.misfit(cell)

    def written(self, cell: pl.Expr) -> pl.Expr:
        """Return the cells as they are written: numbers in their shortest form, missing values as null."""
        style = self.feature.number_format
        present = ~self.is_missing(cell)
        if self.feature.kind == "numeric":
            number = tables.whole(cell, style) if self.whole else tables.number(cell, style)
            return pl.when(present).then(number) if self.feature.reading.words else number
        text = cell.replace(dict(self.labels)) if self.labels else cell
        return pl.when(present & ~self.is_stray(cell)).then(text)

    def canonical(self, cell: pl.Expr) -> pl.Expr:
        """Return the cells in one spelling of what the model sees of them, missing values and strays empty.

        The model sees all rare categories as one, but rows that differ in a rare category are not copies.
        """
        feature = self.feature
        if feature.kind == "numeric":
            spelled = tables.spell(cell, feature.number_format)
            if feature.reading.words:
                spelled = pl.when(~tables.missing(cell, feature.reading.missing)).then(spelled)
            return spelled.fill_null("")
        written = self.written(cell)
        if feature.kind == "date":
            spell = functools.partial(_spell_moments, feature)
            return written.map_batches(spell, return_dtype=pl.String, is_elementwise=True)
        text = tables.canonicalize(written)
        if not feature.labels.are_booleans:
            return text
        return text.str.to_lowercase().replace({word: str(int(truth)) for word, truth in TRUTH.items()})


def _spell_moments(feature: Feature, cells: pl.Series) -> pl.Series:
    """Return (n,) seconds since 1970 as text, empty where missing, of (n,) texts."""
    distinct = cells.drop_nulls().unique()
    moments = [feature.encode(text) for text in distinct]
    spelled = ["" if math.isnan(moment) else repr(moment) for moment in moments]
    return cells.replace_strict(
        distinct, pl.Series(spelled, dtype=pl.String), default="", return_dtype=pl.String
    )


@dataclass(frozen=True)
class InspectedTable:
    """Hold a table, how its target is read, its rows' counts, and each column's statistics by position."""

    source: Source
    settings: ReadingSettings
    target: Column
    rows: RowCounts
    stats: Mapping[str, ColumnStats]

    @property
    def position(self) -> str:
        """Return the position of the target."""
        return self.source.position(self.target.feature.name)

    @property
    def kept(self) -> pl.LazyFrame:
        """Return the rows that have a target, as text; a blank line has none."""
        return self.source.scan().filter(self.has_target)

    @property
    def has_target(self) -> pl.Expr:
        """Return whether a row has a target that the model can learn."""
        cell = pl.col(self.position)
        return ~self.target.is_missing(cell) & ~self.target.is_stray(cell)


@dataclass(frozen=True)
class ColumnInference:
    """Hold how a column is used, or the reason why it is dropped, and what the report says of its kind."""

    name: str
    column: Column | None = None
    reason: str = ""  # why it is dropped
    kind_reason: str = ""
    guess: str = ""


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
    def kinds(self) -> list[dict[str, str]]:
        """Return the columns whose kind needs a reason, as the report lists them."""
        target = self.target.feature
        decided: list[tuple[str, str, str]] = [(target.name, target.kind, self.target.decision.reason)]
        decided += [
            (each.name, each.column.feature.kind if each.column else "excluded", each.kind_reason)
            for each in self.inferences
        ]
        return [{"column": name, "kind": kind, "reason": why} for name, kind, why in decided if why]

    @property
    def guesses(self) -> list[dict[str, str]]:
        """Return what was guessed of columns, as the report lists it."""
        found = [(self.target.feature.name, self.target.decision.guess)]
        found += [(each.name, each.guess) for each in self.inferences]
        return [{"column": name, "guess": guess} for name, guess in found if guess]

    @property
    def schema(self) -> Schema:
        """Return the schema of the target and of the columns that the model sees."""
        feature = self.target.feature
        if feature.categories is None:
            target = Target(feature.name, "regression", None, feature.number_format, feature.reading)
        else:
            target = Target.of_classes(feature.name, feature.categories, feature.reading)
        left_out = tuple(each.name for each in self.inferences if each.reason and each.name)
        return Schema(target, tuple(column.feature for column in self.columns), left_out=left_out)


def concat(found: list[Table], words: tuple[str, ...] = ()) -> Source:
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
    source = Source(tuple(found), leader.columns, Reading(words=words))
    _check_marks(source)
    return source


def _shown_marks(table: Table, columns: tuple[str, ...]) -> dict[str, str]:
    """Return the mark before decimals that the first rows of a file show in columns, by position.

    `1.026` shows nothing, as the mark may separate thousands; `12.5` and `0.026` do.
    """
    sample, cells = tables.scan(table, columns).head(kinds.SAMPLE).collect(), pl.all()
    found: dict[str, str] = {}
    for mark in ".,":
        number, shown = (text.replace("#", re.escape(mark)) for text in ("^[+-]?[0-9]+#[0-9]+$", _SHOWN))
        others = cells.str.contains(mark, literal=True) & ~cells.str.contains(number)
        decided = sample.select(cells.str.contains(shown).any() & ~others.any()).row(0, named=True)
        found |= {at: mark for at, holds in decided.items() if holds and not table.kind_of(columns[int(at)])}
    return found


def _decimal_mark(table: Table, shown: Collection[str]) -> str:
    """Return the one mark that is shown, or nothing; a semicolon as delimiter speaks for the comma."""
    if table.dialect and table.dialect.delimiter == ";" and set(shown) != {"."}:
        return ","
    return next(iter(shown)) if len(shown) == 1 else ""


def _check_marks(source: Source) -> None:
    """Refuse files with several delimiters and decimal marks, as 1,026 would be another number in each."""
    delimiters = {table.dialect.delimiter for table in source.tables if table.dialect}
    if len(delimiters) <= 1:
        return
    marks = {
        _decimal_mark(table, set(shown.values())): table.name
        for table, shown in zip(source.tables, source.shown_marks, strict=True)
        if table.dialect
    }
    if marks.keys() >= {".", ","}:
        raise UserError(
            f"{marks[',']}: its numbers have decimal commas, and those of {marks['.']} have decimal points: "
            "save all files with one mark"
        )


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
    _check_lines(source, name)
    raise UserError(unknown(source, name))


def _check_lines(source: Source, target: str) -> None:
    """Refuse a table of which each line is one cell, which holds the cells of a row."""
    names = [column for column in source.columns if column]
    if len(names) == 1 and target in (part.strip(f'{BLANKS}"') for part in re.split("[,;|\t]", names[0])):
        raise UserError(
            f"{source.tables[0].name}: the header is one cell, '{names[0]}', since quotation marks are "
            "around whole lines, or a delimiter is after them: remove these from each line"
        )


def unknown(source: Source, name: str, setting: str = "") -> str:
    """Return the message that no column has a name that a setting has, with those that are like it."""
    folded = {column.lower(): column for column in source.columns}
    near = difflib.get_close_matches(name.lower(), folded, n=3, cutoff=0.6)
    hint = f" Did you mean {' or '.join(repr(folded[text]) for text in near)}?" if near else ""
    shown = ", ".join(source.columns[:_LISTED]) + (", …" if len(source.columns) > _LISTED else "")
    file, dialect = source.tables[0].name, source.tables[0].dialect
    marks = dialect.to_json().get("may_also_be") if dialect else None
    other = f" The delimiter may also be {' or '.join(marks)}: set delimiter of [data]." if marks else ""
    return f"{file}: {setting}no column is named '{name}'.{hint}{other} The columns are: {shown}"


def profile(frame: pl.LazyFrame, positions: list[str], reading: Reading) -> dict[str, ColumnStats]:
    """Return the statistics of columns, by position, from one pass over the rows."""
    counted = frame.select(
        pl.struct(statistics(pl.col(position), reading)).alias(position) for position in positions
    )
    row = counted.collect(engine="streaming").row(0, named=True)
    return {position: ColumnStats(**row[position]) for position in positions}


def statistics(cell: pl.Expr, reading: Reading, style: NumberFormat | None = None) -> list[pl.Expr]:
    """Return the expressions of `ColumnStats`, for numbers in a format."""
    present = ~tables.missing(cell, reading.missing, style)
    text = pl.when(present).then(cell)
    written = text if reading.words else cell  # a word of the project's own may be a number
    value = tables.number(written, style)
    integral = (value == value.floor()) & (value.abs() < EXACT)
    return [
        (cell != "").sum().alias("filled"),
        present.sum().alias("present"),
        value.is_not_null().sum().alias("numbers"),
        integral.sum().alias("integral"),
        (integral | tables.plain(written, style).cast(pl.Int64, strict=False).is_not_null())
        .sum()
        .alias("whole"),
        value.is_infinite().sum().alias("infinite"),
        text.str.contains(kinds.PADDED).sum().alias("padded"),
        text.approx_n_unique().alias("distinct"),
        text.min().alias("least"),
        text.max().alias("greatest"),
    ]
