"""20,000 generated CSV files, read beside Python's csv in the reported dialect and DuckDB's sniffer."""

import multiprocessing
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import duckdb
from container.data import csv_blocks, tables
from container.data.values import BLANKS
from container.runtime.errors import UserError
from tests.container import dialect_files
from tests.container.dialect_files import GeneratedFile

FILES = 20_000
PROCESSES = 2
BLOCKS = (4_194_304, 97, 16)  # bytes; small ones bring the edges of blocks into small files
SHOWN = 5  # faults
LINE_ENDS = (r"'\r'", r"'\r\r\n'")  # as traits of a generated file


def main() -> int:
    """Read the files; return 1 if one is refused, or read otherwise than by Python's csv."""
    began = time.monotonic()
    with multiprocessing.get_context("spawn").Pool(PROCESSES) as pool:
        parts = list(pool.imap_unordered(read_part, range(PROCESSES * 10)))
    counts: Counter[str] = sum((part[0] for part in parts), Counter())
    faults = [fault for part in parts for fault in part[1]]
    lines = [f"{count:7}  {cause}" for cause, count in counts.most_common()]
    lines += [
        f"{FILES} files in {time.monotonic() - began:.0f} s",
        *(f"fault: {text}" for text in faults[:SHOWN]),
    ]
    sys.stdout.write("\n".join(lines) + "\n")
    return bool(faults)


def read_part(part: int) -> tuple[Counter[str], list[str]]:
    """Read the files of a part; return counts by cause, and the faults."""
    counts: Counter[str] = Counter()
    faults: list[str] = []
    with tempfile.TemporaryDirectory() as folder, duckdb.connect() as database:
        for number in range(part, FILES, PROCESSES * 10):
            file = dialect_files.make(number)
            path = Path(folder) / file.name
            path.write_bytes(file.content)
            csv_blocks.BLOCK = BLOCKS[number % len(BLOCKS)]
            try:
                counts.update(compare(file, path, database))
            except (UserError, AssertionError) as error:
                faults.append(f"file {number} ({', '.join(file.traits)}): {error}")
    return counts, faults


def compare(file: GeneratedFile, path: Path, database: Any) -> list[str]:
    """Return what became of a file: as Python's csv, as it was written, and as DuckDB reads it.

    Raises:
        AssertionError: the cells are not those of Python's csv.
    """
    table = tables.inspect(path, path.parent)
    assert table.dialect, "no dialect is reported"
    found = [row for row in [table.columns, *tables.scan(table).collect().rows()] if any(row)]
    assert found == dialect_files.python_rows(file, table.dialect), f"Python's csv reads other cells: {file}"
    causes = ["accepted, and read as by Python's csv"]
    if found != dialect_files.stripped(file.rows):
        causes.append(f"not the cells that were written: {table.dialect.to_json()}")
    if table.dialect.alternatives:
        causes.append("another delimiter fits too, as the report says")
    return [*causes, f"DuckDB: {sniffed(file, path, table, found, database)}"]


def sniffed(
    file: GeneratedFile, path: Path, table: tables.Table, found: list[tuple[str, ...]], database: Any
) -> str:
    """Return in what DuckDB's reading differs."""
    if "utf-16" in file.traits:
        return "UTF-16, which has to be stated"
    try:
        read = database.execute("select * from read_csv(?, all_varchar = true)", [str(path)])
        header = [column[0] for column in read.description]
        rows = [tuple((cell or "").strip(BLANKS) for cell in row) for row in [header, *read.fetchall()]]
        sniff = database.execute("from sniff_csv(?)", [str(path)])
        names = [column[0] for column in sniff.description]
        dialect = dict(zip(names, sniff.fetchone(), strict=True))
    except duckdb.Error as error:
        ends = next((trait for trait in file.traits if trait in LINE_ENDS), "")
        return f"refused (lines end in {ends})" if ends else f"refused ({type(error).__name__})"
    if [row for row in rows if any(row)] == found:
        return "the same cells"
    return cause(file, table, found, rows, dialect)


def cause(
    file: GeneratedFile,
    table: tables.Table,
    found: list[tuple[str, ...]],
    rows: list[tuple[str, ...]],
    dialect: dict[str, Any],
) -> str:
    """Return why two readings differ: the first reason that applies."""
    assert table.dialect, "CSV"
    divided = dialect["Delimiter"] != table.dialect.delimiter
    has_quotes = any('"' in cell for row in found for cell in row)
    reasons = {
        "the line sep= is a row, or the header": "sep=" in file.traits,
        "another delimiter": divided and len(table.columns) > 1,
        "the first lines are left out": bool(dialect["SkipRows"]),
        "the header is a row": not dialect["HasHeader"],
        "one column is divided": divided,
        "another quotation mark": (dialect["Quote"] == '"') != table.dialect.quoted and has_quotes,
        "other names of columns": rows[1:] == found[1:],
        "other rows": len(rows) != len(found),
    }
    return next((reason for reason, applies in reasons.items() if applies), "other cells")


if __name__ == "__main__":
    sys.exit(main())
