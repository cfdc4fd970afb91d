"""Tables in CSV and Parquet files: inspected once, then scanned lazily as columns of text."""

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from container.data import csv_files, parquet_files, values
from container.data.values import NumberFormat
from container.runtime.errors import UserError

CSV, PARQUET = ".csv", ".parquet"
ROW = "row"
EXACT = 2.0**53  # below it every whole number has a float of its own
_MOMENT = (
    r"^([0-9]{4}-[0-9]{2}-[0-9]{2})[T ]([0-9]{2}:[0-9]{2}:[0-9]{2})"
    r"(?:\.0+|(\.[0-9]*[1-9])0*)?(?:([+-][0-9]{2}):?([0-9]{2}))?$"
)


@dataclass(frozen=True)
class Table:
    """Hold a well-formed file: its name in messages, its columns and its number of rows.

    `types` are those of a Parquet file's columns, and empty for a CSV file.
    """

    path: Path
    name: str
    columns: tuple[str, ...]
    rows: int
    types: tuple[pl.DataType, ...] = ()

    def kind_of(self, column: str) -> str:
        """Return what a column of a Parquet file holds, in a word, or nothing."""
        return parquet_files.kind_of(self.types[self.columns.index(column)]) if self.types else ""

    def fault(self, column: str) -> str:
        """Return why no model can use a column of this file, or nothing."""
        return parquet_files.fault(column, self.types[self.columns.index(column)]) if self.types else ""


def find(directory: Path, *suffixes: str) -> list[Path]:
    """Return the files of a directory with one of the suffixes, as `present` does.

    Raises:
        UserError: there is none.
    """
    paths = present(directory, *suffixes)
    if not paths:
        names = " or ".join(suffixes)
        kinds = "CSV or Parquet files" if PARQUET in suffixes else "CSV files"
        raise UserError(
            f"no {names} file in {directory}: the data must be {kinds}, with a name for each column"
        )
    return paths


def present(directory: Path, *suffixes: str) -> list[Path]:
    """Return the files of a directory with one of the suffixes, at any depth, sorted by path."""
    return sorted(path for path in directory.rglob("*") if path.suffix.lower() in suffixes and path.is_file())


def inspect(path: Path, root: Path) -> Table:
    """Read a file once and return its columns and its number of rows.

    Raises:
        UserError: the file is not a well-formed table; the text names the file and the position.
    """
    name = path.relative_to(root).as_posix()
    if _is_parquet(path):
        columns, types, rows = parquet_files.inspect(path, name)
        return Table(path, name, columns, rows, types)
    return Table(path, name, *csv_files.inspect(path, name))


def scan(table: Table, order: tuple[str, ...] | None = None) -> pl.LazyFrame:
    """Return a lazy frame of stripped text, its columns named "0", "1", … in the order of the given names.

    Positions and not names, because a name may be empty or look like a pattern to the engine. The
    values of a Parquet file become the text that a CSV file would have, so that the same rules apply.
    """
    places = [table.columns.index(name) for name in order or table.columns]
    if _is_parquet(table.path):
        return parquet_files.scan(table.path, table.columns, table.types, places)
    return csv_files.scan(table.path, table.columns, places)


def _is_parquet(path: Path) -> bool:
    return path.suffix.lower() == PARQUET


def missing(column: pl.Expr, words: Collection[str] = values.MISSING) -> pl.Expr:
    """Return whether a stripped cell is a missing value: one of the words of `Reading.missing`."""
    return column.is_in(sorted(words))


def plain(column: pl.Expr, style: NumberFormat | None = None) -> pl.Expr:
    """Return a stripped cell in a number format as Python spells its number, or null for some other texts."""
    if style is None:
        return column
    text = column.str.replace(values.PARENTHESES, "-${1}").str.replace_all(values.MINUS, "-", literal=True)
    if style.sign:
        text = text.str.replace(style.affix, "${1}")
    digits: pl.Expr = pl.when(text.str.contains(style.digits)).then(text)
    if style.group:
        digits = digits.str.replace_all(style.group_pattern, "")
    digits = digits.str.replace(style.decimal, ".", literal=True)
    return (
        pl.when(number(column).is_not_null()).then(column).otherwise(digits)
        if style.decimal == "."
        else digits
    )


def number(column: pl.Expr, style: NumberFormat | None = None) -> pl.Expr:
    """Return a stripped cell as a number, or null, by the rule of `values.number`."""
    value = plain(column, style).cast(pl.Float64, strict=False)
    return pl.when(value.is_nan()).then(None).otherwise(value)


def whole(column: pl.Expr, style: NumberFormat | None = None) -> pl.Expr:
    """Return a stripped cell as a 64-bit integer, 41.0 as well as 41, or null."""
    # A float would lose digits beyond its 53 bits.
    exact = plain(column, style).cast(pl.Int64, strict=False)
    value = number(column, style)
    integral = pl.when((value == value.floor()) & (value.abs() < EXACT)).then(value)
    return pl.coalesce(exact, integral.cast(pl.Int64, strict=False))


def canonicalize(column: pl.Expr, words: Collection[str] = values.MISSING, *, text: bool = True) -> pl.Expr:
    """Return a stripped cell in the canonical spelling of its value.

    1, 1.0 and 1e0 become 1, missing values become empty, and ISO dates lose trailing zeros. For a column with
    only numbers and missing values, `text=False` gives the same in less time.
    """
    spelled = pl.coalesce(whole(column).cast(pl.String), number(column).cast(pl.String))
    if not text:
        return spelled.fill_null("")
    short = column.str.replace(_MOMENT, "${1}T${2}${3}${4}${5}").str.replace("T00:00:00$", "")
    return pl.coalesce(spelled, pl.when(~missing(column, words)).then(short), pl.lit(""))


def first(tables: list[Table], columns: tuple[str, ...], column: str, condition: pl.Expr) -> tuple[str, str]:
    """Return the position of the first row that fulfils a condition ("a.csv: row 3"), and its cell."""
    for table in tables:
        found = (
            scan(table, columns)
            .with_row_index(ROW, 1)
            .filter(condition)
            .select(ROW, column)
            .head(1)
            .collect(engine="streaming")
        )
        if found.height:
            row, text = found.row(0)
            return f"{table.name}: row {row}", text
    return tables[0].name, ""
