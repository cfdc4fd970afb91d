"""CSV files read in batches, every cell as text."""

import csv
from collections.abc import Iterator
from pathlib import Path

import polars as pl

from container.data import tables
from container.runtime.errors import UserError

_BATCH_ROWS = 65536  # few enough that memory stays flat, enough that the work done once a batch is small


def batches(source: Path, *, header: bool) -> Iterator[pl.DataFrame]:
    """Read every CSV file of a directory, sorted by path; all must have the same columns, in any order.

    Without a header, columns are named _c0, _c1 and so on, as the analyzer names them.

    Raises:
        UserError: there is not a CSV file, one can't be read, or two have different columns.
    """
    files = [(path, _columns(path, source, header=header)) for path in tables.find(source, tables.CSV)]
    first, columns = files[0]
    for path, names in files:
        if sorted(names) != sorted(columns):
            raise UserError(_difference(path, first, set(names) ^ set(columns)))
        for batch in _batches(path, names, header=header):
            yield _rows(batch[list(columns)])


def _columns(path: Path, source: Path, *, header: bool) -> tuple[str, ...]:
    if header:
        return tables.inspect(path, source).columns
    try:
        with path.open(encoding="utf-8-sig", newline="") as lines:
            first = next(csv.reader(lines), [])
    except UnicodeDecodeError as error:
        raise UserError(f"{path.name} is not UTF-8: save the file as UTF-8") from error
    if not first:
        raise UserError(f"{path.name} begins with an empty line: it must begin with a row")
    return tuple(f"_c{place}" for place in range(len(first)))


def _difference(path: Path, first: Path, columns: set[str]) -> str:
    return f"{path.name} and {first.name} must have the same columns: one has no '{min(columns)}'"


def _batches(path: Path, names: tuple[str, ...], *, header: bool) -> Iterator[pl.DataFrame]:
    lazy = pl.scan_csv(
        path,
        has_header=header,
        infer_schema=False,
        empty_string_is_null=False,
        with_column_names=lambda _: list(names),
        glob=False,
    )
    try:
        yield from lazy.collect_batches(chunk_size=_BATCH_ROWS, maintain_order=True)
    except pl.exceptions.PolarsError as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"{path.name} can't be read as CSV: {reason}") from error


def _rows(batch: pl.DataFrame) -> pl.DataFrame:
    """Drop blank lines, which read as rows of empty cells; those of a single column are missing values."""
    if batch.width == 1 or not (batch.to_series() == "").any():
        return batch
    return batch.filter(~pl.all_horizontal(pl.all() == ""))
