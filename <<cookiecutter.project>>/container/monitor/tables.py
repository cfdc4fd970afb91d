"""CSV files read in batches, every cell as text."""

from collections.abc import Iterator
from pathlib import Path

import polars as pl

from container.data import dialects, table_files, tables
from container.data.tables import Table
from container.runtime.errors import UserError

_BATCH_ROWS = 65536  # few enough that memory stays flat, enough that the work done once a batch is small


def batches(source: Path, *, header: bool, delimiter: str = dialects.AUTO) -> Iterator[pl.DataFrame]:
    """Read every CSV file of a directory, sorted by path; all must have the same columns, in any order.

    Without a header, columns are named _c0, _c1 and so on, as the analyzer names them. `delimiter` is that of
    `tables.inspect`.

    Raises:
        UserError: there is not a CSV file, one can't be read, or two have different columns.
    """
    paths = table_files.find(source, table_files.CSV)
    found = [tables.inspect(path, source, delimiter, header=header) for path in paths]
    for table in found:
        if sorted(table.columns) != sorted(found[0].columns):
            raise UserError(_difference(table, found[0]))
        for batch in _batches(table, found[0].columns, header=header):
            yield _rows(batch)


def _difference(table: Table, first: Table) -> str:
    differing = min(set(table.columns) ^ set(first.columns))
    return f"{table.name} and {first.name} must have the same columns: one has no '{differing}'"


def _batches(table: Table, columns: tuple[str, ...], *, header: bool) -> Iterator[pl.DataFrame]:
    lazy = tables.scan_as_written(table, columns, header=header)
    try:
        yield from lazy.collect_batches(chunk_size=_BATCH_ROWS, maintain_order=True)
    except pl.exceptions.PolarsError as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"{table.name} can't be read as CSV: {reason}") from error


def _rows(batch: pl.DataFrame) -> pl.DataFrame:
    """Drop blank lines, which read as rows of empty cells; those of a single column are missing values."""
    if batch.width == 1 or not (batch.to_series() == "").any():
        return batch
    return batch.filter(~pl.all_horizontal(pl.all() == ""))
