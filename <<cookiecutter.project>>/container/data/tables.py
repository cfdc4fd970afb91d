"""Tables in CSV and Parquet files: inspected once, then scanned lazily as columns of text."""

from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import polars as pl

from container.data import csv_files, dialects, parquet_files, table_files, values
from container.data.dialects import Dialect
from container.data.table_files import PARQUET
from container.data.values import NumberFormat

ROW = "row"
_LONGEST = 200  # characters of a cell, or of a row, in a message


@dataclass(frozen=True)
class Table:
    """Hold a well-formed file: its name in messages, its columns and its number of rows.

    `path` is what is scanned: the file, or its copy in plain text. `types` are those of a Parquet file's
    columns, `dialect` is a CSV file's, as is `last`, the cells of its last line. `folders` are the last
    columns, which Hive's folders name, with the value.
    """

    path: Path
    name: str
    columns: tuple[str, ...]
    rows: int
    types: tuple[pl.DataType, ...] = ()
    dialect: Dialect | None = None
    folders: tuple[tuple[str, str], ...] = ()
    last: tuple[str, ...] = ()

    def kind_of(self, column: str) -> str:
        """Return what a column of a Parquet file holds, in a word, or nothing."""
        place = self.columns.index(column)
        return parquet_files.kind_of(self.types[place]) if place < len(self.types) else ""

    def fault(self, column: str) -> str:
        """Return why no model can use a column of this file, or nothing."""
        place = self.columns.index(column)
        return parquet_files.fault(column, self.types[place]) if place < len(self.types) else ""

    @property
    def folders_not_read(self) -> dict[str, str]:
        """Return the reason why a column that a folder names is not read, by the folder."""
        own = sorted({*table_files.columns_of_folders(self.name)} - {*self.folders})
        return {f"{key}={text}": f"the file has a column '{key}', whose cells are read" for key, text in own}

    def to_json(self) -> dict[str, Any]:
        """Return the file as the report lists it."""
        content: dict[str, Any] = {"name": self.name, "rows": self.rows}
        if self.dialect:
            content |= {"dialect": self.dialect.to_json(), "compression": self.dialect.layout.compression}
        if self.folders:
            content["columns_of_folders"] = dict(self.folders)
        if self.folders_not_read:
            content["folders_not_read"] = self.folders_not_read
        return content


def inspect(path: Path, root: Path, delimiter: str = dialects.AUTO, *, header: bool = True) -> Table:
    """Read a file once and return its columns and its number of rows.

    `delimiter` is that of a CSV file: a name of `reading.DELIMITERS`, auto, or `dialects.WRITTEN`.

    Raises:
        UserError: the file is not a well-formed table; the text names the file and the position.
    """
    name = path.relative_to(root).as_posix()
    if table_files.suffix(name) == PARQUET:
        columns, types, rows = parquet_files.inspect(path, name)
        table = Table(path, name, columns, rows, types)
    else:
        found, plain = csv_files.inspect(path, name, delimiter, header=header)
        table = Table(plain, name, found.columns, found.rows, dialect=found.dialect, last=found.last)
    folders = tuple(each for each in table_files.columns_of_folders(name) if each[0] not in table.columns)
    return replace(table, columns=(*table.columns, *(column for column, _ in folders)), folders=folders)


def scan(table: Table, order: tuple[str, ...] | None = None) -> pl.LazyFrame:
    """Return a lazy frame of stripped text, its columns named "0", "1", … in the order of the given names.

    Positions and not names, because a name may be empty or look like a pattern to the engine. The
    values of a Parquet file become the text that a CSV file would have, so that the same rules apply.
    """
    places = [table.columns.index(name) for name in order or table.columns]
    frame, cells = _with_folders(table), _cells(table)
    return frame.select(cells[place].alias(str(number)) for number, place in enumerate(places))


def scan_as_written(table: Table, columns: tuple[str, ...], *, header: bool = True) -> pl.LazyFrame:
    """Return a lazy frame of a CSV file's text in some columns, under their names, as it is written."""
    frame = _with_folders(table, header=header)
    return frame.select(pl.nth(table.columns.index(name)).alias(name) for name in columns)


def _with_folders(table: Table, *, header: bool = True) -> pl.LazyFrame:
    """Return a lazy frame of a file's columns, and after them those that its folders name."""
    width = len(table.columns) - len(table.folders)
    if table.dialect:
        frame = csv_files.scan(table.path, table.dialect, width, header=header)
    else:
        frame = parquet_files.scan(table.path)
    named = {f"\0{place}": pl.lit(value) for place, (_, value) in enumerate(table.folders)}
    return frame.with_columns(**named) if named else frame


def _cells(table: Table) -> list[pl.Expr]:
    """Return the expression of each column's stripped text."""
    if table.dialect:
        return [pl.nth(place).str.strip_chars(values.BLANKS) for place in range(len(table.columns))]
    own = [parquet_files.text(place, *each) for place, each in enumerate(zip(table.columns, table.types))]  # noqa: B905 - folders' columns have no type
    return [*own, *(pl.nth(place) for place in range(len(own), len(table.columns)))]


def missing(
    column: pl.Expr, words: Collection[str] = values.MISSING, style: NumberFormat | None = None
) -> pl.Expr:
    """Return whether a stripped cell is missing: a word of `Reading.missing`, or a number that is a word."""
    is_word = column.is_in(sorted(words))
    numbers = values.numbers_in(frozenset(words))
    if not numbers:
        return is_word
    read = [number(column), *([number(column, style)] if style else [])]
    return pl.any_horizontal(is_word, *(each.is_in(sorted(numbers)).fill_null(value=False) for each in read))


def plain(column: pl.Expr, style: NumberFormat | None = None) -> pl.Expr:
    """Return a stripped cell in a number format as Python spells its number, or null for some other texts."""
    if style is None:
        return column
    text = column.str.strip_chars(values.SPACES).str.replace(values.PARENTHESES, "-${1}")
    text = text.str.replace_all(values.MINUS, "-", literal=True)
    if style.sign:
        text = text.str.replace(style.affix, "${1}")
    digits: pl.Expr = pl.when(text.str.contains(style.digits)).then(text)
    if style.group:
        digits = digits.str.replace_all(style.group_pattern, "")
    if style.decimal != ".":
        return digits.str.replace(style.decimal, ".", literal=True)
    return pl.when(number(column).is_not_null()).then(column).otherwise(digits)


def number(column: pl.Expr, style: NumberFormat | None = None) -> pl.Expr:
    """Return a stripped cell as a number, or null, by the rule of `values.number`."""
    value = plain(column, style).cast(pl.Float64, strict=False)
    return pl.when(value.is_nan()).then(None).otherwise(value)


def whole(column: pl.Expr, style: NumberFormat | None = None) -> pl.Expr:
    """Return a stripped cell as a 64-bit integer, 41.0 as well as 41, or null."""
    # A float would lose digits beyond its 53 bits.
    exact = plain(column, style).cast(pl.Int64, strict=False)
    value = number(column, style)
    integral = pl.when((value == value.floor()) & (value.abs() < values.EXACT)).then(value)
    return pl.coalesce(exact, integral.cast(pl.Int64, strict=False))


def spell(column: pl.Expr, style: NumberFormat | None = None) -> pl.Expr:
    """Return the number of a stripped cell in one spelling, 1 for 1, 1.0 and 1e0, else null."""
    text, value = plain(column, style), number(column, style)
    long = text.cast(pl.Int128, strict=False)  # a float would take two codes of 20 digits for one
    integral = pl.when(value == value.floor()).then(value).cast(pl.Int128, strict=False)
    longest = pl.when(text.str.contains("^[0-9]{39,}$")).then(text)
    exact = (each.cast(pl.String) for each in (whole(column, style), long))
    return pl.coalesce(*exact, longest, integral.cast(pl.String), value.cast(pl.String))


def canonicalize(column: pl.Expr, words: Collection[str] = values.MISSING) -> pl.Expr:
    """Return a stripped cell in the canonical spelling of its value, whatever its column is read as.

    1, 1.0 and 1e0 become 1, missing values become empty, and ISO dates lose trailing zeros.
    """
    spelled = spell(column)
    short = column.str.replace(values.MOMENT, "${1}T${2}${3}${4}${5}").str.replace(f"{values.MIDNIGHT}$", "")
    return pl.coalesce(spelled, pl.when(~missing(column, words)).then(short), pl.lit(""))


def first(
    tables: list[Table], columns: tuple[str, ...], cell: str | pl.Expr, condition: pl.Expr
) -> tuple[str, str]:
    """Return where the first row is that fulfils a condition ("a.csv: row 3"), and its cell, shortened."""
    for table in tables:
        found = (
            scan(table, columns)
            .with_row_index(ROW, 1)
            .filter(condition)
            .select(ROW, cell)
            .head(1)
            .collect(engine="streaming")
        )
        if found.height:
            row, text = found.row(0)
            return f"{table.name}: row {row}", shorten(text)
    return tables[0].name, ""


def shorten(text: str) -> str:
    """Return a text as messages and the report show it."""
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
