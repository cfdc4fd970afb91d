"""Parquet files: inspected by their types, then scanned lazily as the text of the same table in CSV."""

from pathlib import Path

import polars as pl
from polars.datatypes.classes import NumericType

from container.data import values
from container.runtime.errors import UserError

# The name under which pandas stores the labels of a frame's rows. In CSV their column has none.
_ROW_LABELS = "__index_level_"
_KINDS: dict[str, tuple[type[pl.DataType], ...]] = {
    "numbers": (NumericType,),
    "booleans": (pl.Boolean,),
    "text": (pl.String, pl.Categorical, pl.Enum),
    "dates": (pl.Date, pl.Datetime),
}


def inspect(path: Path, name: str) -> tuple[tuple[str, ...], tuple[pl.DataType, ...], int]:
    """Return a file's columns, their types and its number of rows.

    Raises:
        UserError: the file can't be read, or its columns' names repeat.
    """
    try:
        types = pl.read_parquet_schema(path)
        columns = _columns(list(types), name)
        text = scan(path, columns, tuple(types.values()), list(range(len(columns))))
        counted = text.select(pl.len().alias("rows"), pl.all().str.contains("\0", literal=True).sum())
        found = counted.collect(engine="streaming").row(0, named=True)
    except (pl.exceptions.PolarsError, OSError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"{name}: it can't be read as Parquet ({reason}): write the file again") from error
    for place, column in enumerate(columns):
        if found[str(place)]:
            raise UserError(f"{name}: the column '{column}' holds a NUL character: remove it from the text")
    return columns, tuple(types.values()), found["rows"]


def scan(
    path: Path, columns: tuple[str, ...], types: tuple[pl.DataType, ...], places: list[int]
) -> pl.LazyFrame:
    """Return the columns at some indices as stripped text, named "0", "1", … in that order.

    A column that has a `fault` is empty.
    """
    frame = pl.scan_parquet(path, glob=False, hive_partitioning=False)
    return frame.select(
        _text(pl.nth(place), columns[place], types[place]).fill_null("").alias(str(number))
        for number, place in enumerate(places)
    )


def fault(column: str, kind: pl.DataType) -> str:
    """Return why no model can use a column, or nothing."""
    if kind.is_nested():
        return f"its type is {_named(kind)}, and a cell must hold one value"
    if column.startswith(_ROW_LABELS):
        return "it holds the labels that pandas gave the rows"
    return "" if kind_of(kind) or kind == pl.Null else f"its type is {_named(kind)}, which no model can use"


def kind_of(kind: pl.DataType) -> str:
    """Return what a column of a type holds, in words, or nothing when no model can use it."""
    return next((name for name, kinds in _KINDS.items() if isinstance(kind, kinds)), "")


def _named(kind: pl.DataType) -> str:
    return str(kind.base_type()).lower()


def _columns(names: list[str], name: str) -> tuple[str, ...]:
    if not names:
        raise UserError(f"{name}: it has no columns")
    columns = tuple(column.strip(values.BLANKS) for column in names)
    twice = [column for place, column in enumerate(columns) if column and column in columns[:place]]
    if twice:
        raise UserError(f"{name}: two columns are named '{twice[0]}': every column needs its own name")
    return columns


def _text(cell: pl.Expr, column: str, kind: pl.DataType) -> pl.Expr:
    if fault(column, kind):
        return cell.is_null().cast(pl.String).str.head(0)
    if isinstance(kind, pl.Datetime):
        offset = "%z" if kind.time_zone else ""
        return cell.dt.cast_time_unit("us").dt.to_string(f"%Y-%m-%dT%H:%M:%S%.f{offset}")
    return cell.cast(pl.String).str.strip_chars(values.BLANKS)
