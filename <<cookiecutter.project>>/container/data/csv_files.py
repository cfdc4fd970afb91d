"""CSV files: inspected line by line in bounded memory, then scanned lazily as columns of text."""

import csv
import io
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl

from container.data import LONGEST_ROW, values
from container.runtime.errors import UserError

BLOCK = 4_194_304
BOM = b"\xef\xbb\xbf"
_QUOTED = re.compile(rb'(?<![^,\n])"(?:[^"]|"")*+"(?=[,\r\n])')


def inspect(path: Path, name: str) -> tuple[tuple[str, ...], int]:
    """Return a file's columns and its number of rows.

    Raises:
        UserError: the file is not a well-formed table; the text names the first such line.
    """
    columns: tuple[str, ...] = ()
    rows, line = 0, 1
    for block in _blocks(path):
        _check_bytes(block, name, line)
        plain = _without_quoted(block, name, line)
        if not columns:
            columns = _header(block, name)
            rows = -1
        rows += _check_width(plain, block, len(columns), f"{name}: row", (rows, line))
        line += block.count(b"\n")
    if not columns:
        raise UserError(f"{name}: the file is empty, and must begin with a header line")
    return columns, rows


def scan(path: Path, columns: tuple[str, ...], places: list[int]) -> pl.LazyFrame:
    """Return the columns at some indices as stripped text, named "0", "1", … in that order."""
    names = [f"c{place}" for place in range(len(columns))]
    frame = pl.scan_csv(
        path,
        infer_schema=False,
        empty_string_is_null=False,
        with_column_names=lambda _: names,
        glob=False,
    )
    return frame.select(
        pl.col(names[place]).str.strip_chars(values.BLANKS).alias(str(number))
        for number, place in enumerate(places)
    )


def _blocks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        rest = file.read(len(BOM)).removeprefix(BOM)
        while chunk := file.read(BLOCK):
            rest += chunk
            end = _last_row_end(rest)
            if end:
                yield rest[:end]
                rest = rest[end:]
            elif len(rest) > LONGEST_ROW:
                break  # a quote was left open; _without_quoted finds its line
        if rest:
            yield rest if rest.endswith(b"\n") else rest + b"\n"


def _last_row_end(data: bytes) -> int:
    """Return where the last complete row ends: after a line break outside quotes."""
    end = data.rfind(b"\n") + 1
    quotes = data.count(b'"', 0, end)
    while end and quotes % 2:
        before = data.rfind(b"\n", 0, end - 1) + 1
        quotes -= data.count(b'"', before, end)
        end = before
    return end


def _check_bytes(block: bytes, name: str, line: int) -> None:
    if b"\0" in block:
        at = line + block.count(b"\n", 0, block.index(b"\0"))
        raise UserError(f"{name}: line {at} holds a NUL byte: the file is damaged or is not UTF-8 text")
    if not block.isascii():
        try:
            block.decode()
        except UnicodeDecodeError as error:
            at = line + block.count(b"\n", 0, error.start)
            raise UserError(
                f"{name}: line {at} is not UTF-8 (byte 0x{block[error.start]:02x}): save the file as UTF-8"
            ) from error
    if b"\r" in block and block.count(b"\n") == 1 and block.strip().count(b"\r"):
        raise UserError(f"{name}: its lines end in a carriage return alone: save it with line feeds")


def _without_quoted(block: bytes, name: str, line: int) -> bytes:
    """Return the block with quoted cells emptied; raise `UserError` for a quote inside a cell."""
    if b'"' not in block:
        return block
    plain = _QUOTED.sub(b"", block)
    if b'"' in plain:
        raise UserError(
            f"{name}: line {line + _lines_before_stray_quote(block)} has a quote inside a cell, "
            "or one that is never closed: "
            "quote the whole cell and double the quotes in it"
        )
    return plain


def _lines_before_stray_quote(block: bytes) -> int:
    """Return the number of lines before the first quote that does not belong to a quoted cell."""
    end = 0
    for found in _QUOTED.finditer(block):
        if b'"' in block[end : found.start()]:
            break
        end = found.end()
    return block.count(b"\n", 0, block.index(b'"', end))


def _header(block: bytes, name: str) -> tuple[str, ...]:
    cells = next(csv.reader(io.StringIO(block.decode(), newline="")), [])
    columns = tuple(cell.strip(values.BLANKS) for cell in cells)
    if not any(columns):
        raise UserError(f"{name}: line 1 is blank, and must be the header")
    twice = [column for place, column in enumerate(columns) if column and column in columns[:place]]
    if twice:
        raise UserError(f"{name}: two columns are named '{twice[0]}': every column needs its own name")
    separators = [mark for mark in (";", "\t", "|") if mark in columns[0]]
    if len(columns) == 1 and separators:
        mark = "tabs" if separators[0] == "\t" else f"'{separators[0]}'"
        raise UserError(f"{name}: the cells are separated by {mark}: save the file with commas")
    return columns


def _check_width(plain: bytes, block: bytes, width: int, where: str, at: tuple[int, int]) -> int:
    """Return the number of a block's rows; raise `UserError` for a row of another width than the header."""
    codes = np.frombuffer(plain, dtype=np.uint8)
    marks = codes[(codes == ord("\n")) | (codes == ord(","))]
    if len(marks) % width == 0:
        rows = marks.reshape(-1, width)
        if (rows[:, -1] == ord("\n")).all() and (rows[:, :-1] == ord(",")).all():
            return len(rows)
    lines = plain.split(b"\n")[:-1]
    for place, text in enumerate(lines):
        cells = text.count(b",") + 1
        if cells != width and text.strip():
            row, line = at[0] + place + 1, at[1] + _physical_line(block, place)
            raise UserError(f"{where} {row} (line {line}) has {cells} cells, and the header has {width}")
    return len(lines)


def _physical_line(block: bytes, rows: int) -> int:
    """Return on which line of a block a row begins: quoted cells may hold line breaks."""
    reader = csv.reader(io.StringIO(block.decode(), newline=""))
    for _ in range(rows):
        next(reader, None)
    return reader.line_num
