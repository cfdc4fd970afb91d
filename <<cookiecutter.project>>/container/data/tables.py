"""Tables: CSV and Parquet files, judged once, then scanned lazily as columns of text."""

import itertools
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from container.data import csv_files, parquet_files, values
from container.runtime.errors import UserError

CSV, PARQUET = ".csv", ".parquet"
ROW = "row"
EXACT = 2.0**53  # every whole number below it is one float and no other
_MOMENT = (
    r"^([0-9]{4}-[0-9]{2}-[0-9]{2})[T ]([0-9]{2}:[0-9]{2}:[0-9]{2})"
    r"(?:\.0+|(\.[0-9]*[1-9])0*)?(?:([+-][0-9]{2}):?([0-9]{2}))?$"
)
# Every spelling: one look-up costs a tenth of changing the case of every cell.
MISSING = sorted(
    values.MISSING_EXACT
    | {
        "".join(spelling)
        for text in values.MISSING_FOLDED
        for spelling in itertools.product(*((letter, letter.upper()) for letter in text))
    }
)


@dataclass(frozen=True)
class Table:
    """Hold one file that was found to be well formed: its name for messages, its columns, its rows.

    Of a Parquet file also the columns' types; a CSV file says nothing of them.
    """

    path: Path
    name: str
    columns: tuple[str, ...]
    rows: int
    types: tuple[pl.DataType, ...] = ()

    def kind_of(self, column: str) -> str:
        """Return what the file says that a column holds, in words, or nothing."""
        return parquet_files.kind_of(self.types[self.columns.index(column)]) if self.types else ""

    def fault(self, column: str) -> str:
        """Return why no model can use a column of this file, or nothing."""
        return parquet_files.fault(column, self.types[self.columns.index(column)]) if self.types else ""


def find(directory: Path, *suffixes: str) -> list[Path]:
    """Return the files of a directory that end so, as `present` does; refuse a directory without any."""
    paths = present(directory, *suffixes)
    if not paths:
        names = " or ".join(suffixes)
        kinds = "CSV or Parquet files" if PARQUET in suffixes else "CSV files"
        raise UserError(
            f"no {names} file in {directory}: the data must be {kinds}, with a name for each column"
        )
    return paths


def present(directory: Path, *suffixes: str) -> list[Path]:
    """Return the files of a directory that end so, at any depth, sorted by path, or none."""
    return sorted(path for path in directory.rglob("*") if path.suffix.lower() in suffixes and path.is_file())


def inspect(path: Path, root: Path) -> Table:
    """Read a file once and refuse what no table holds, naming the file and where it is at fault."""
    name = path.relative_to(root).as_posix()
    if _is_parquet(path):
        columns, types, rows = parquet_files.inspect(path, name)
        return Table(path, name, columns, rows, types)
    return Table(path, name, *csv_files.inspect(path, name))


def scan(table: Table, order: tuple[str, ...] | None = None) -> pl.LazyFrame:
    """Return a lazy frame of stripped text, its columns named "0", "1", … in the order of the given names.

    Positions and not names, because a name may be empty or look like a pattern to the engine. What a Parquet
    file holds is written as in a CSV file, so that both are judged by the same rules.
    """
    places = [table.columns.index(name) for name in order or table.columns]
    if _is_parquet(table.path):
        return parquet_files.scan(table.path, table.columns, table.types, places)
    return csv_files.scan(table.path, table.columns, places)


def _is_parquet(path: Path) -> bool:
    return path.suffix.lower() == PARQUET


def missing(column: pl.Expr) -> pl.Expr:
    """Return whether a stripped cell stands for no value, as `values.is_missing` says."""
    return column.is_in(MISSING)


def number(column: pl.Expr) -> pl.Expr:
    """Return a stripped cell as a number, else null, as `values.number` says."""
    value = column.cast(pl.Float64, strict=False)
    return pl.when(value.is_nan()).then(None).otherwise(value)


def whole(column: pl.Expr) -> pl.Expr:
    """Return a stripped cell as a 64-bit integer, 41.0 as well as 41, else null."""
    exact = column.cast(pl.Int64, strict=False)  # a float would lose digits beyond its 53 bits
    value = number(column)
    integral = pl.when((value == value.floor()) & (value.abs() < EXACT)).then(value)
    return pl.coalesce(exact, integral.cast(pl.Int64, strict=False))


def canonicalize(column: pl.Expr, *, text: bool = True) -> pl.Expr:
    """Return a stripped cell in the one spelling of what it stands for, whichever program wrote it.

    That of 1, 1.0 and 1e0 is 1, that of every missing value is empty, and ISO dates have no trailing zeros.
    Where there are numbers and missing values only, `text=False` takes less time to say the same.
    """
    spelled = pl.coalesce(whole(column).cast(pl.String), number(column).cast(pl.String))
    if not text:
        return spelled.fill_null("")
    short = column.str.replace(_MOMENT, "${1}T${2}${3}${4}${5}").str.replace("T00:00:00$", "")
    return pl.coalesce(spelled, pl.when(~missing(column)).then(short), pl.lit(""))


def first(tables: list[Table], columns: tuple[str, ...], column: str, condition: pl.Expr) -> tuple[str, str]:
    """Return where the first row that fulfils a condition is ("a.csv: row 3"), and that row's cell."""
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
