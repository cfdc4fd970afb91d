"""CSV files of any dialect: inspected in bounded memory, then scanned lazily as columns of text."""

import atexit
import functools
import itertools
import shutil
import tempfile
from pathlib import Path

import polars as pl

from container.data import csv_blocks, csv_check, dialects
from container.data.csv_check import CsvTable
from container.data.dialects import Dialect

_NUMBERS = itertools.count()


def inspect(
    path: Path, name: str, delimiter: str = dialects.AUTO, *, header: bool = True
) -> tuple[CsvTable, Path]:
    """Return what a file holds, and the file to scan: the same, or a temporary copy in plain text.

    Raises:
        UserError: the file is not a well-formed table; the text names the first such line.
    """
    table = csv_check.inspect(path, name, delimiter, header=header)
    return table, path if table.dialect.layout.is_plain else _copy(path, name, table.dialect)


def scan(path: Path, dialect: Dialect, width: int, *, header: bool = True) -> pl.LazyFrame:
    """Return the columns of the file that `inspect` returned as text, named c0, c1, … ."""
    names = [f"c{place}" for place in range(width)]
    return pl.scan_csv(
        path,
        has_header=header,
        separator=dialect.delimiter,
        quote_char='"' if dialect.quoted else None,
        infer_schema=False,
        empty_string_is_null=False,
        with_column_names=lambda _: names,
        glob=False,
    )


def _copy(path: Path, name: str, dialect: Dialect) -> Path:
    copy = _folder() / f"{next(_NUMBERS)}.csv"
    with copy.open("wb") as file:
        file.writelines(csv_blocks.blocks(path, dialect.layout, name, quoted=dialect.quoted))
    return copy


@functools.cache
def _folder() -> Path:
    """Return the folder of the copies, which the end of the process removes."""
    folder = Path(tempfile.mkdtemp(prefix="tables-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder
