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
_PADDING = re.compile(rb",+(?=\r?\n)")
_SAVE = "save the table as CSV"
# The first bytes of files that are often named .csv, what they are, and the way out.
_KINDS = (
    (b"\x1f\x8b", "compressed by gzip", "name it .csv.gz"),
    (b"PK\x03\x04", "a zip archive, as Excel's .xlsx files are", f"unpack it, or {_SAVE}"),
    (b"PAR1", "Parquet", "name it .parquet"),
    (b"\xd0\xcf\x11\xe0", "an old Excel or Office file (.xls)", _SAVE),
    (b"BZh", "compressed by bzip2", "unpack it, or compress it by gzip as .csv.gz"),
    (b"\xfd7zXZ\0", "compressed by xz", "unpack it, or compress it by gzip as .csv.gz"),
    (b"\x28\xb5\x2f\xfd", "compressed by zstd", "unpack it, or compress it by gzip as .csv.gz"),
    (b"ARROW1", "an Arrow (Feather) file", f"write it as Parquet, or {_SAVE}"),
    (b"ORC", "an ORC file", f"write it as Parquet, or {_SAVE}"),
    (b"Obj\x01", "an Avro file", f"write it as Parquet, or {_SAVE}"),
    (b"SQLite format 3\0", "an SQLite database", _SAVE),
    (b"\x89HDF", "an HDF5 file", f"write it as Parquet, or {_SAVE}"),
    (b"%PDF-", "a PDF", _SAVE),
    (b"\xff\xfe\0\0", "UTF-32 text", "save it as UTF-8"),
)
_PAGE = re.compile(rb"\s*<(?:!doctype|html|\?xml)", re.IGNORECASE)


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
        start = file.read(512)
    if _PAGE.match(start):
        return "a page of HTML or XML", "download the table itself, or save it as CSV"
    return next(((what, remedy) for mark, what, remedy in _KINDS if start.startswith(mark)), ("", ""))


def refuse_other_kinds(path: Path, name: str) -> None:
    """Refuse a file that its first bytes show to be another than its name says."""
    what, remedy = kind(path)
    if path.suffix.lower() == GZIP:
        if not what.endswith("gzip"):
            raise UserError(f"{name}: it is named {GZIP}, and is not compressed by gzip: name it .csv")
    elif what:
        raise UserError(f"{name}: it is {what}, and not CSV text: {remedy}")


def layout(path: Path, name: str) -> tuple[Layout, bytes]:
    """Return a file's layout as far as its first bytes decide it, and these as UTF-8.

    Raises:
        UserError: the file is not text.
    """
    refuse_other_kinds(path, name)
    compression = "gzip" if path.suffix.lower() == GZIP else ""
    start = next(_raw(path, compression, name, HEAD), b"")
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
    decoder = codecs.getincrementaldecoder(encoding)()
    try:
        for chunk in chunks:
            yield decoder.decode(chunk).encode()
        decoder.decode(b"", final=True)
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
    parts[::2] = [_line_feeds(part, layout) for part in parts[::2]]
    return b'"'.join(parts)


def _line_feeds(text: bytes, layout: Layout) -> bytes:
    if layout.line_end in {b"\r", b"\r\r\n"}:
        text = text.replace(layout.line_end, b"\n")
    return _PADDING.sub(b"", text) if layout.padded else text
