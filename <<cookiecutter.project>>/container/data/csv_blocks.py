"""CSV files of any encoding and compression as UTF-8 text in blocks of whole rows, in bounded memory."""

import codecs
import gzip
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from container.data import LONGEST_ROW
from container.runtime.errors import UserError

BLOCK = HEAD = 4_194_304
BOM = b"\xef\xbb\xbf"
UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
GZIP = ".gz"
LINE_ENDS = {b"\n": "LF", b"\r\n": "CRLF", b"\r": "CR", b"\r\r\n": "CRCRLF"}
_START, _MOSTLY = 512, 0.9
_PADDING = re.compile(rb",+(?=\r?\n)")
_JSON = rb'(?:\xef\xbb\xbf)?\s*(?:\[\s*)*(?:\{\s*(?:"(?:[^"\\]|\\.)*"\s*:|\})|(?<=\[)\[)'
# The first bytes of files that are often named .csv, what they are, and the way out.
_KINDS = (
    (rb"(?i:\s*<(?:!doctype|html|\?xml))", "a page of HTML or XML", "save the table in it as CSV"),
    (_JSON, "JSON", "write the table as CSV, or as Parquet"),
    (rb"\x1f\x8b", "compressed by gzip", "name it .csv.gz"),
    (rb"BZh[1-9]1AY|\xfd7zXZ\0|\x28\xb5\x2f\xfd", "compressed", "compress it by gzip, as .csv.gz"),
    (rb"PK\x03\x04", "a zip archive, as Excel's .xlsx files are", "unpack it, or save the table as CSV"),
    (rb"PAR1\x15", "Parquet", "name it .parquet"),  # the first column of a table may be named PAR1, or ORCID
    (rb"\xd0\xcf\x11\xe0", "an old Excel or Office file (.xls)", "save the table as CSV"),
    (rb"ARROW1\0|ORC(?s:\n|..\0)|Obj\x01", "an Arrow, ORC or Avro file", "write it as Parquet or CSV"),
    (rb"%PDF-", "a PDF document", "save its table as CSV"),
    (rb"version https://git-lfs", "a pointer of Git LFS", "run git lfs pull"),
)


class NotInDialectError(UserError):
    """A file that is not a table in a dialect, with the line that shows it, and whether a quote does."""

    def __init__(self, message: str, line: int = 0, *, quote: bool = False) -> None:
        super().__init__(message)
        self.line, self.quote = line, quote


@dataclass(frozen=True)
class Layout:
    """Hold how a file's bytes become lines of text: what surrounds the rows, and not how a row is divided."""

    encoding: str = "utf-8"
    compression: str = ""
    line_end: bytes = b"\n"
    skipped_lines: int = 0  # before the header: Excel's "sep=;"
    padded: bool = False  # Excel has added commas to lines whose cells are separated by another character

    @property
    def is_plain(self) -> bool:
        """Return whether the file can be scanned as it is, and not as a plain copy only."""
        surrounded = self.compression or self.skipped_lines or self.padded
        return self.encoding == "utf-8" and self.line_end in {b"\n", b"\r\n"} and not surrounded


def kind(path: Path) -> tuple[str, str]:
    """Return what a file is by its first bytes, and the way out; both are empty for what may be text."""
    with path.open("rb") as file:
        return _kind(file.read(_START))


def _kind(start: bytes) -> tuple[str, str]:
    if not start.startswith(UTF_16) and _is_utf_16(start):
        return "UTF-16 text without the mark of its byte order", "save the file as UTF-8"
    return next(((what, remedy) for mark, what, remedy in _KINDS if re.match(mark, start)), ("", ""))


def is_text(path: Path) -> bool:
    """Return whether a file begins with a line of UTF-8 text."""
    with path.open("rb") as file:
        line = file.readline(HEAD)
    try:
        return line.decode("utf-8-sig").rstrip("\r\n").isprintable() and bool(line.strip())
    except UnicodeDecodeError:
        return False


def _is_utf_16(start: bytes) -> bool:
    """Return whether nearly every second byte is a NUL, as in UTF-16 of Latin letters."""
    halves = (start[::2].count(0), start[1::2].count(0))
    return min(halves) == 0 and max(halves) * 2 > len(start) * _MOSTLY


def layout(path: Path, name: str) -> tuple[Layout, bytes]:
    """Return a file's layout as far as its first bytes decide it, and these as UTF-8.

    Raises:
        UserError: the file's first bytes show that it is another than its name says.
    """
    (what, remedy), compression = kind(path), "gzip" if path.suffix.lower() == GZIP else ""
    if compression and not what.endswith("gzip"):
        raise UserError(f"{name}: it is named {GZIP}, and is not compressed by gzip: name it .csv")
    if what and not compression:
        raise UserError(f"{name}: it is {what}, and not CSV text: {remedy}")
    start = next(_raw(path, compression, name, HEAD), b"")
    if compression and any(inside := _kind(start[:_START])):
        raise UserError(f"{name}: it holds {inside[0]}, and not CSV text: {inside[1]}")
    encoding = "utf-16" if start.startswith(UTF_16) else "utf-8"
    head = next(_decoded(iter((start,)), encoding, name), b"")
    return Layout(encoding, compression, _line_end(head)), head


def _line_end(head: bytes) -> bytes:
    """Return the line end outside quotes; a carriage return counts only where no line feed is."""
    outside = b"".join(head.removesuffix(b"\r").split(b'"')[::2])
    if b"\n" not in outside:
        return b"\r" if b"\r" in outside else b"\n"
    return next(end for end in (b"\r\r\n", b"\r\n", b"\n") if end in outside)


def blocks(path: Path, layout: Layout, name: str, *, quoted: bool = True) -> Iterator[bytes]:
    """Return the file's text in blocks of whole rows, each line of which ends in a line feed.

    Raises:
        UserError: the file is damaged, or is not a table in the dialect.
    """
    skipped = layout.skipped_lines
    chunks = _decoded(_raw(path, layout.compression, name, BLOCK), layout.encoding, name)
    for block in _rows(chunks, layout.line_end[-1:], name, quoted=quoted):
        text = _normalised(block, layout, name, quoted=quoted)
        for _ in range(skipped):
            text = text.partition(b"\n")[2]
        skipped = 0
        if text:
            yield text


def _raw(path: Path, compression: str, name: str, size: int) -> Iterator[bytes]:
    with gzip.open(path) if compression else path.open("rb") as file:
        try:
            while chunk := file.read(size):
                yield chunk
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise UserError(f"{name}: it can't be unpacked ({error}): write the file again") from error


def _decoded(chunks: Iterator[bytes], encoding: str, name: str) -> Iterator[bytes]:
    """Return chunks as UTF-8 without the mark of the byte order."""
    if encoding == "utf-8":
        yield next(chunks, b"").removeprefix(BOM)
        yield from chunks
        return
    try:
        for text in codecs.iterdecode(chunks, encoding):
            yield text.encode()
    except UnicodeError as error:
        raise UserError(f"{name}: it is damaged UTF-16 text: save the file as UTF-8") from error


def _rows(chunks: Iterator[bytes], mark: bytes, name: str, *, quoted: bool) -> Iterator[bytes]:
    rest = b""
    for chunk in chunks:
        rest += chunk
        end = _last_row_end(rest, mark, quoted=quoted)
        if end:
            yield rest[:end]
            rest = rest[end:]
        elif len(rest) > LONGEST_ROW:
            if b'"' not in rest or not quoted:
                raise NotInDialectError(
                    f"{name}: a row is longer than {LONGEST_ROW} bytes: check the line ends"
                )
            break  # a quote was left open; the check of quotes finds its line
    if rest:
        yield rest if rest.endswith(mark) else rest + mark


def _last_row_end(data: bytes, mark: bytes, *, quoted: bool) -> int:
    """Return where the last complete row ends: after a line end outside quotes."""
    end = data.rfind(mark) + 1
    quotes = data.count(b'"', 0, end) if quoted else 0
    while end and quotes % 2:
        before = data.rfind(mark, 0, end - 1) + 1
        quotes -= data.count(b'"', before, end)
        end = before
    return end


def _normalised(block: bytes, layout: Layout, name: str, *, quoted: bool) -> bytes:
    """Return a block of whole rows with the ends of its lines as plain text has them; quoted text stays."""
    if not layout.padded and layout.line_end in {b"\n", b"\r\n"}:
        return block
    parts = block.split(b'"') if quoted else [block]
    if layout.line_end == b"\r" and any(b"\n" in part for part in parts[::2]):
        raise NotInDialectError(
            f"{name}: its lines end in several ways: save it with a line feed after each line"
        )
    if layout.line_end in {b"\r", b"\r\r\n"}:
        parts[::2] = [part.replace(layout.line_end, b"\n") for part in parts[::2]]
    if layout.padded:
        parts[::2] = [_PADDING.sub(b"", part) for part in parts[::2]]
    return b'"'.join(parts)
