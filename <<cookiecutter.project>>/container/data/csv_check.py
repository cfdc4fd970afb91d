"""The check, in bounded memory, that a whole CSV file is a table, and the choice of its dialect."""

import csv
import io
import itertools
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from container.data import csv_blocks, dialects, values
from container.data.csv_blocks import NotInDialectError
from container.data.dialects import Dialect
from container.runtime.errors import UserError

if TYPE_CHECKING:
    from _csv import Reader

_LONE_RETURN = re.compile(rb"\r(?!\n)")


@dataclass(frozen=True)
class CsvTable:
    """Hold a well-formed file's dialect, its columns, and its number of rows, blank lines included.

    `last` has the stripped cells of the last line that is not blank, unless it ends a cell of several lines.
    """

    dialect: Dialect
    columns: tuple[str, ...]
    rows: int
    last: tuple[str, ...] = ()


def inspect(path: Path, name: str, delimiter: str = dialects.AUTO, *, header: bool = True) -> CsvTable:
    """Return the likeliest dialect in which the whole file is a table, its columns and its number of rows.

    Without a header, columns are named _c0, _c1 and so on.

    Raises:
        UserError: the file is a table in no dialect; the text names the first line that shows it.
    """
    found, problems = [], []
    for dialect in dialects.candidates(path, name, delimiter):
        try:
            found.append(_inspect_quotes(path, name, dialect, header=header))
        except NotInDialectError as error:
            problems.append(error)
    if not found:
        raise max(problems, key=lambda problem: problem.line)
    best, *others = found
    alternatives = tuple(other.dialect.delimiter for other in others)
    return replace(best, dialect=replace(best.dialect, alternatives=alternatives))


def _inspect_quotes(path: Path, name: str, dialect: Dialect, *, header: bool) -> CsvTable:
    """Read a file with quotation marks around cells, else, where none begins a cell, as characters."""
    try:
        return _inspect(path, name, dialect, header=header)
    except NotInDialectError as error:
        if not error.quote:
            raise
        try:
            return _inspect(path, name, replace(dialect, quoted=False), header=header)
        except NotInDialectError:
            raise error from None


def _inspect(path: Path, name: str, dialect: Dialect, *, header: bool) -> CsvTable:
    check = _Check(name, dialect, 1 + dialect.layout.skipped_lines)
    for block in csv_blocks.blocks(path, dialect.layout, name, quoted=dialect.quoted):
        plain = check.plain(block)
        if not check.columns:
            check.begin(block, header=header)
        check.read(plain, block)
    if not check.columns:
        raise UserError(f"{name}: the file is empty, and must begin with a header line")
    return CsvTable(dialect, check.columns, check.rows, _last(block, dialect, len(check.columns)))


def _last(block: bytes, dialect: Dialect, width: int) -> tuple[str, ...]:
    ends = f'{values.BLANKS}{dialect.delimiter}"'.encode()
    end = len(block.rstrip(ends))
    begin, stop = block.rfind(b"\n", 0, end) + 1, block.find(b"\n", end)
    cells = next(_reader(block[begin:stop], dialect), [])
    return tuple(cell.strip(values.BLANKS) for cell in cells) if len(cells) == width else ()


def _columns(cells: list[str], name: str, line: int, *, header: bool) -> tuple[str, ...]:
    if not header and cells:
        return tuple(f"_c{place}" for place in range(len(cells)))
    columns = tuple(cell.strip(values.BLANKS) for cell in cells)
    if not any(columns):
        text = f"{name}: line {line} is blank, and must be {'the header' if header else 'a row'}"
        raise NotInDialectError(text, line)
    twice = [column for place, column in enumerate(columns) if column and column in columns[:place]]
    if twice:
        text = f"{name}: two columns are named '{twice[0]}': every column needs its own name"
        raise NotInDialectError(text, line)
    return columns


def _folded(cell: str) -> bytes:
    """Return a name of the header as it is compared with a later row's cell."""
    return cell.strip(f'{values.BLANKS}"\ufeff').encode().lower()


def _header_pattern(names: list[bytes], mark: bytes) -> re.Pattern[bytes]:
    """Return the pattern of a line that may be a header, in a text in lower case."""
    blanks = b"[%b]*" % b' \t\x0b\x0c"'.replace(mark, b"")
    cells = [re.escape(name).replace(b'"', b'"+') for name in names]
    between = blanks + re.escape(mark) + blanks
    return re.compile(rb"\n(?:\xef\xbb\xbf)?%b%b%b\r*\n" % (blanks, between.join(cells), blanks))


def _reader(block: bytes, dialect: Dialect) -> "Reader":
    text = io.StringIO(block.decode(), newline="")
    if dialect.quoted:
        return csv.reader(text, delimiter=dialect.delimiter)
    return csv.reader(text, delimiter=dialect.delimiter, quoting=csv.QUOTE_NONE)


class _Check:
    """Check a file block by block; `line` is that at which the next block begins, `rows` are those before."""

    def __init__(self, name: str, dialect: Dialect, line: int) -> None:
        self.name, self.dialect, self.line, self.rows = name, dialect, line, 0
        self.columns: tuple[str, ...] = ()
        self._mark = dialect.delimiter.encode()
        self._others = bytes(set(range(256)) - {ord("\n"), *self._mark})
        self._header: list[bytes] = []
        self._again = re.compile(b"")  # a line that may be the header
        self._first = "first row"
        self._pattern = b""

    def begin(self, block: bytes, *, header: bool) -> None:
        """Take the width of a row, and the header, from the first block."""
        cells = next(_reader(block, self.dialect), [])
        self.columns = _columns(cells, self.name, self.line, header=header)
        self._pattern = self._mark * (len(cells) - 1) + b"\n"
        if header:
            self.rows, self._first = -1, "header"
            names = any(values.number(name) is None for name in self.columns)  # numbers may be a row's too
            self._header = [_folded(cell) for cell in cells] if names and len(cells) > 1 else []
            self._again = _header_pattern(self._header, self._mark)

    def plain(self, block: bytes) -> bytes:
        """Return the block with a letter for each quoted cell; refuse what is not UTF-8, and stray quotes."""
        self._check_bytes(block)
        if b'"' not in block:
            return block
        if not self.dialect.quoted:
            if self.dialect.quote_at_start.search(block):
                raise NotInDialectError(f"{self.name}: a cell begins with a quote", quote=True)
            return block
        plain = self.dialect.quoted_cell.sub(b"x", block)
        if b'"' in plain:
            place = self._lines_before_stray_quote(block)
            line = self.line + place
            if block.split(b"\n", place + 1)[place].startswith(csv_blocks.BOM):
                raise UserError(
                    f"{self.name}: line {line} begins with the mark that begins a file (BOM), so it may be "
                    "the header again: remove the line, or keep joined files apart"
                )
            text = f"{self.name}: line {line} has a quote inside a cell, or one that is never closed: "
            raise NotInDialectError(
                f"{text}quote the whole cell and double the quotes in it", line, quote=True
            )
        return plain

    def read(self, plain: bytes, block: bytes) -> None:
        """Count a block's rows; refuse a row of another width than the header, and the header again."""
        if b"\r" in block and plain.count(b"\r") != plain.count(b"\r\n"):
            row = plain.count(b"\n", 0, _LONE_RETURN.search(plain).start())  # type: ignore[union-attr]  # counted
            self._refuse(row, block, "has a carriage return inside: save the file with one kind of line end")
        marks = plain.translate(None, self._others)
        rows, rest = divmod(len(marks), len(self._pattern))
        if rest or marks != self._pattern * rows:
            rows = self._rows_by_line(plain, block)
        if self._header and self._may_hold_header(block):
            self._refuse_header(block)
        self.rows += rows
        self.line += block.count(b"\n")

    def _check_bytes(self, block: bytes) -> None:
        if b"\0" in block:
            at = self.line + block.count(b"\n", 0, block.index(b"\0"))
            text = f"{self.name}: line {at} holds a NUL byte: the file is damaged or is not UTF-8 text"
            raise UserError(text)
        if block.isascii():
            return
        try:
            block.decode()
        except UnicodeDecodeError as error:
            at, byte = self.line + block.count(b"\n", 0, error.start), block[error.start]
            text = f"{self.name}: line {at} is not UTF-8 (byte 0x{byte:02x}): save the file as UTF-8"
            raise UserError(text) from error

    def _lines_before_stray_quote(self, block: bytes) -> int:
        """Return the number of lines before the first quote that does not belong to a quoted cell."""
        end = 0
        for found in self.dialect.quoted_cell.finditer(block):
            if b'"' in block[end : found.start()]:
                break
            end = found.end()
        return block.count(b"\n", 0, block.index(b'"', end))

    def _rows_by_line(self, plain: bytes, block: bytes) -> int:
        blanks = values.BLANKS.replace(self.dialect.delimiter, "").encode()
        width, lines = len(self._pattern), plain.split(b"\n")[:-1]
        for place, text in enumerate(lines):
            cells = text.count(self._mark) + 1
            if cells != width and text.strip(blanks):
                problem = f"has {cells} cells, and the {self._first} has {width}"
                if width == 1:
                    problem += f" ('{self.columns[0][:60]}'): remove what is above the names of the columns"
                whole = next(itertools.islice(_reader(block, self.dialect), place, None))
                if len(whole) == 1 and self.dialect.delimiter in whole[0]:
                    problem += ": remove the quotation marks around the whole line"
                elif cells < width and self._is_footer(text, lines[place + 1 :], blanks):
                    problem += ": where it is a footer, remove it"
                self._refuse(place, block, problem)
        return len(lines)

    def _is_footer(self, text: bytes, below: list[bytes], blanks: bytes) -> bool:
        """Return whether a short line may be a footer: it begins with a text, and only blank lines follow."""
        first = text.partition(self._mark)[0].decode()
        return values.number(first.strip(values.BLANKS)) is None and not b"".join(below).strip(blanks)

    def _may_hold_header(self, block: bytes) -> bool:
        lines = block.lower() if self.rows < 0 else b"\n" + block.lower()  # the header begins the first block
        return self._again.search(lines) is not None

    def _refuse_header(self, block: bytes) -> None:
        """Refuse a row that is the header but for case, blanks and quotes: files were joined with theirs."""
        for place, row in enumerate(_reader(block, self.dialect)):
            if self.rows + place >= 0 and [_folded(cell) for cell in row] == self._header:
                self._refuse(place, block, "is the header again: remove it, or keep joined files apart")

    def _refuse(self, place: int, block: bytes, problem: str) -> None:
        """Refuse a row, by its place in a block; quoted cells may hold line breaks."""
        reader = _reader(block, self.dialect)
        for _ in range(place):
            next(reader, None)
        line = self.line + reader.line_num
        row = self.rows + place + 1
        what = f"row {row}" if row else "the header"
        raise NotInDialectError(f"{self.name}: {what} (line {line}) {problem}", line)
