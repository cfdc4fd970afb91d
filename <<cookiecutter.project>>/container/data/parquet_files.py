"""Parquet files: inspected by their types, then scanned lazily as the text of the same table in CSV."""

import datetime as dt
import os
import re
from pathlib import Path

import polars as pl
from polars.datatypes.classes import NumericType

from container.data import csv_blocks, values
from container.runtime.errors import UserError

# The name under which pandas stores the labels of a frame's rows. In CSV their column has none.
_ROW_LABELS = "__index_level_"
_ISO = "%Y-%m-%dT%H:%M:%S%.f"
_OFFSET = re.compile(r"([+-])(\d\d):?(\d\d)")
# Polars refuses zones that are not in its database, also the fixed offsets that Arrow allows (+05:30).
os.environ.setdefault("POLARS_IGNORE_TIMEZONE_PARSE_ERROR", "1")
_KINDS: dict[str, tuple[type[pl.DataType], ...]] = {
    "numbers": (NumericType,),
    "booleans": (pl.Boolean,),
    "text": (pl.String, pl.Categorical, pl.Enum),
    "dates": (pl.Date, pl.Datetime),
}


def inspect(path: Path, name: str) -> tuple[tuple[str, ...], tuple[pl.DataType, ...], int]:
    """Return a file's columns, their types and its number of rows.

    Raises:
        UserError: the file can't be read, its columns' names repeat, or a row has them again.
    """
    try:
        types = pl.read_parquet_schema(path)
        columns = _columns(list(types), name)
        cells = [text(place, *each) for place, each in enumerate(zip(columns, types.values(), strict=True))]
        nul = [
            cell.str.contains("\0", literal=True).sum().alias(str(place)) for place, cell in enumerate(cells)
        ]
        names = [cell.str.to_lowercase() == each.lower() for cell, each in zip(cells, columns, strict=True)]
        is_text = {kind_of(kind) for kind in types.values()} == {"text"} and len(columns) > 1
        is_header = is_text and any(values.number(column) is None for column in columns)  # as in CSV
        again = pl.all_horizontal(names).any() if is_header else pl.lit(value=False)
        counted = scan(path).select(pl.len().alias("rows"), again.alias("again"), *nul)
        found = counted.collect(engine="streaming").row(0, named=True)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
        what, remedy = csv_blocks.kind(path)
        if not what and csv_blocks.is_text(path):
            what, remedy = "text, such as CSV", "name it .csv"
        reason = f"it is {what}" if what and what != "Parquet" else (str(error).splitlines() or [""])[0]
        remedy = remedy if what and what != "Parquet" else "write the file again"
        raise UserError(f"{name}: it can't be read as Parquet ({reason}): {remedy}") from error
    for place, column in enumerate(columns):
        if found[str(place)]:
            raise UserError(f"{name}: the column '{column}' holds a NUL character: remove it from the text")
    if found["again"]:
        row = scan(path).select(again.alias("again")).collect()["again"].arg_true()[0] + 1
        raise UserError(f"{name}: row {row} is the header again: remove it, or keep joined files apart")
    return columns, tuple(types.values()), found["rows"]


def scan(path: Path) -> pl.LazyFrame:
    """Return the columns as the file holds them."""
    return pl.scan_parquet(path, glob=False, hive_partitioning=False)


def text(place: int, column: str, kind: pl.DataType) -> pl.Expr:
    """Return the column at an index as stripped text; one that has a `fault` is empty."""
    return _text(pl.nth(place), column, kind).fill_null("")


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
        return _moment(cell, kind.time_zone or "")
    return cell.cast(pl.String).str.strip_chars(values.BLANKS)


def _moment(cell: pl.Expr, zone: str) -> pl.Expr:
    """Return a time as ISO text; polars formats those of a fixed offset or of an unknown zone only in UTC."""
    if not zone or _is_known(zone):
        return cell.dt.cast_time_unit("us").dt.to_string(_ISO + ("%z" if zone else ""))
    sign, hours, minutes = found.groups() if (found := _OFFSET.fullmatch(zone)) else ("+", "00", "00")
    offset = dt.timedelta(hours=int(hours), minutes=int(minutes)) * (-1 if sign == "-" else 1)
    return (cell.cast(pl.Datetime("us")) + offset).dt.to_string(f"{_ISO}{sign}{hours}{minutes}")


def _is_known(zone: str) -> bool:
    try:
        pl.Series([0]).cast(pl.Datetime("us")).dt.replace_time_zone(zone)
    except pl.exceptions.PolarsError:
        return False
    return True
