"""The dialects of CSV files, and those that the first rows of a file allow."""

import csv
import io
import re
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from container.data import csv_blocks
from container.data.csv_blocks import Layout
from container.data.reading import DELIMITERS
from container.runtime.errors import UserError

AUTO = "auto"
WRITTEN = "written"  # the delimiter of what `prepare` writes, a comma whatever the cells look like
_SEPARATOR_LINE = re.compile(rb'"?sep=(.)"?[,;\t]*(?:\r*\n|\r|\Z)', re.IGNORECASE)
_NUMBER = re.compile(r"[-+]?[0-9][0-9.,]*(?:[eE][-+]?[0-9]+)?%?")
_SAMPLE_ROWS = 200
_SHORT_HEAD = 65_536
_NAMES = {mark: name for name, mark in DELIMITERS.items()}


@dataclass(frozen=True)
class Dialect:
    """Hold how a file's text is divided into cells; `alternatives` are delimiters that fit the file too."""

    delimiter: str = ","
    quoted: bool = True  # otherwise a quotation mark is a character like others
    layout: Layout = field(default_factory=Layout)
    alternatives: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the dialect as the report has it."""
        content: dict[str, Any] = {
            "delimiter": _NAMES[self.delimiter],
            "quoted": self.quoted,
            "line_end": csv_blocks.LINE_ENDS[self.layout.line_end],
            "encoding": self.layout.encoding,
        }
        if self.layout.skipped_lines:
            content["skipped_lines"] = self.layout.skipped_lines
        if self.layout.padded:
            content["trailing_commas"] = "removed"
        if self.alternatives:
            content["may_also_be"] = [_NAMES[mark] for mark in self.alternatives]
        return content

    @cached_property
    def quoted_cell(self) -> re.Pattern[bytes]:
        """Return the pattern of a quoted cell."""
        mark = re.escape(self.delimiter.encode())
        return re.compile(rb'(?<![^%b\n])"(?:[^"]|"")*+"(?=[%b\r\n])' % (mark, mark))

    @cached_property
    def quote_at_start(self) -> re.Pattern[bytes]:
        """Return the pattern of a quotation mark at the start of a cell, or after its blanks."""
        return re.compile(rb'(?<![^%b\n])[ \t]*"' % re.escape(self.delimiter.encode()))


def candidates(path: Path, name: str, delimiter: str = AUTO) -> list[Dialect]:
    """Return the dialects that a file's first rows allow, the likeliest first: by numbers, then by columns.

    `delimiter` is a name of `reading.DELIMITERS`, auto, or WRITTEN.

    Raises:
        UserError: the file is not text, or the delimiter that is set or stated in line 1 can't be right.
    """
    layout, head = csv_blocks.layout(path, name)
    if delimiter == WRITTEN:
        return [Dialect(layout=layout)]
    stated = DELIMITERS.get(delimiter, "")
    if line := _SEPARATOR_LINE.match(head):
        layout, head = replace(layout, skipped_lines=1), head[line.end() :]
        stated = stated or _stated(line[1], name)
    samples = {mark: _sample(head, mark) for mark in DELIMITERS.values()}
    several = [mark for mark, rows in samples.items() if rows and len(rows[0]) > 1]
    if stated:
        _refuse_other_delimiter(stated, several, name)
        return [_dialect(stated, layout, samples[stated])]
    likeliest = sorted(several, key=lambda mark: _likelihood(samples[mark]), reverse=True)
    return [_dialect(mark, layout, samples[mark]) for mark in likeliest] or [Dialect(layout=layout)]


def _stated(mark: bytes, name: str) -> str:
    stated = mark.decode(errors="replace")
    if stated not in _NAMES:
        raise UserError(f"{name}: line 1 states the delimiter '{stated}': use {', '.join(DELIMITERS)}")
    return stated


def _dialect(mark: str, layout: Layout, rows: list[list[str]]) -> Dialect:
    padded = bool(rows) and mark != "," and rows[0][-1].endswith(",")
    return Dialect(mark, layout=replace(layout, padded=padded))


def _sample(head: bytes, mark: str) -> list[list[str]]:
    """Return the first rows of a text that are not blank."""
    short = head[:_SHORT_HEAD]
    text = (short if b"\n" in short or b"\r" in short else head).decode(errors="replace")
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=mark)
    return [row for row, _ in zip(filter(None, reader), range(_SAMPLE_ROWS), strict=False)]


def _likelihood(rows: list[list[str]]) -> tuple[float, int]:
    """Return the share of numbers among the cells below the header, and the number of columns."""
    cells = [cell.strip() for row in rows[1:] for cell in row if cell.strip()]
    numbers = sum(1 for cell in cells if _NUMBER.fullmatch(cell))
    return numbers / max(len(cells), 1), len(rows[0])


def _refuse_other_delimiter(stated: str, several: list[str], name: str) -> None:
    if several and stated not in several:
        raise UserError(
            f"{name}: the cells are separated by {_NAMES[several[0]]}, and not by {_NAMES[stated]}: "
            "correct delimiter in [data] of project.toml, or line 1"
        )
