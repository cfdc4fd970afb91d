"""The rows of captured requests, into a profile: read as the endpoint reads them (payload/requests.py)."""

import base64
from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import chain
from operator import itemgetter
from typing import Any

import numpy as np
import orjson
import polars as pl

from container.data import values
from container.images import CONFIDENCE, STATISTICS
from container.monitor.capture import Counts, Event, Side
from container.monitor.profile import MOST_OTHERS, TableProfile
from container.monitor.response_rows import confidences
from container.payload import npy
from container.payload.errors import RequestError
from container.payload.negotiation import CSV, JSON, JSON_LINES, NPY, content_type
from container.payload.requests import csv_rows, is_header, json_rows

_NUMBERS = frozenset({int, float})  # bool is a type of its own here
_NOTHING = type(None)
_UNREADABLE = (RequestError, ValueError, KeyError, TypeError, AttributeError)
_MARKS = (b'"', b"\r", "\ufeff".encode())  # rows without these have their cells between commas


class Rows:
    """Collect rows by the form that they came in, and add them to a profile a column at a time.

    `names` are the model's columns by position. Most rows have just these; the others are kept by name.
    """

    def __init__(self, profile: TableProfile, names: Sequence[str], counts: Counts) -> None:
        self.profile = profile
        self.names = tuple(names)
        self.known = frozenset(names)
        self.counts = counts
        self.pick = itemgetter(*self.names) if len(names) > 1 else lambda row: (row[self.names[0]],)
        self.of_pictures = self.names in {STATISTICS, (*STATISTICS, CONFIDENCE)}
        self.texts: list[str] = []
        self.rows: list[Sequence[Any]] = []
        self.named: list[dict[str, Any]] = []

    def collect(self, events: Iterable[Event]) -> None:
        """Take the rows of requests; those that are no table are counted."""
        for _, sides, _ in events:
            try:
                side = sides["endpointInput"]
                encoding, observed = side["encoding"], side.get("observedContentType", "")
                if self.of_pictures:
                    self.rows += self._pictures(sides)
                elif encoding == "CSV" and (observed == CSV or not _header(observed)):
                    self.texts.append(side["data"])
                else:
                    self._add_body(side["data"], encoding, observed)
            except _UNREADABLE:
                self.counts.without += "endpointInput" not in sides
                self.counts.unreadable += "endpointInput" in sides

    def _pictures(self, sides: dict[str, Side]) -> list[tuple[float | None, ...]]:
        """Return the statistics of a request's pictures, with the confidence of their answers if watched."""
        side = sides["endpointInput"]
        found = measured(side["data"], side["encoding"], side.get("observedContentType", ""))
        if CONFIDENCE not in self.known:
            return found
        sure = confidences(sides.get("endpointOutput"), len(found))
        return [(*numbers, confidence) for numbers, confidence in zip(found, sure, strict=True)]

    def flush(self) -> None:
        """Add what was collected to the profile."""
        table = self._table()
        self.profile.rows += len(table[0]) if table else 0
        for name, cells in zip(self.names, table, strict=bool(table)):
            self.profile.update_column(name, cells)
        self.profile.rows += len(self.rows) + len(self.named)
        for name, values_ in zip(self.names, zip(*self.rows, strict=True), strict=bool(self.rows)):
            self.profile.update_column(name, _series(values_))
        for name in self._named():
            self.profile.update_column(name, _series([row[name] for row in self.named if name in row]))
        self.texts, self.rows, self.named = [], [], []

    def _named(self) -> list[str]:
        """Return which columns the rows by name have: the model's, and some of the others."""
        found = set().union(*self.named)
        return [*(name for name in self.names if name in found), *sorted(found - self.known)[:MOST_OTHERS]]

    def _table(self) -> list[pl.Series]:
        """Return the columns of texts that are a plain row each, as is usual; else take them one by one."""
        if not self.texts:
            return []
        try:
            body = "\n".join(self.texts).encode()
        except TypeError:  # one of them is no text
            body = b""
        commas = (len(self.names) - 1) * len(self.texts)
        if commas and body.count(b",") == commas and not any(mark in body for mark in _MARKS):
            found = self._read(body)
            if found and len(found[0]) == len(self.texts):
                return found
        for text in self.texts:
            try:
                self._add_csv(text, "")
            except _UNREADABLE:
                self.counts.unreadable += 1
        return []

    def _read(self, body: bytes) -> list[pl.Series]:
        """Return the columns of rows, none when a row has too many cells."""
        schema = {str(place): pl.String for place in range(len(self.names))}
        try:
            return pl.read_csv(
                body, has_header=False, schema=schema, quote_char=None, empty_string_is_null=False
            ).get_columns()
        except pl.exceptions.PolarsError:
            return []

    def _add_body(self, data: str, encoding: str, observed: str) -> None:
        if encoding == "CSV":
            self._add_csv(data, _header(observed))
        elif encoding == "JSON":
            self._add_rows(json_rows(data.encode(), _kind(observed)))
        else:
            body = base64.b64decode(data, validate=True)
            kind, header = content_type(observed.encode())
            if kind == CSV:
                self._add_csv(body.decode(), header)
            elif kind == NPY:
                self._add_rows(npy.cells(np.atleast_2d(npy.read(body))))
            else:
                self._add_rows(json_rows(body, kind))

    def _add_csv(self, text: str, header: str) -> None:
        table = csv_rows(text.encode())
        if header == "present" or (header != "absent" and is_header(table[0], self.known)):
            self._add_below([name.strip(values.BLANKS) for name in table[0]], table[1:])
            return
        for row in table:
            self._add_position(row)

    def _add_below(self, columns: list[str], rows: list[list[str]]) -> None:
        if tuple(columns) == self.names:
            for row in rows:
                self._add_position(row)
            return
        for row in rows:
            if len(row) == len(columns):
                self.named.append(dict(zip(columns, row, strict=True)))
            else:
                self.counts.narrow += 1

    def _add_rows(self, rows: list[Any]) -> None:
        for row in rows:
            if row.__class__ is dict:
                self._add_object(row)
            elif row.__class__ is list:
                self._add_position(row)
            else:
                self.counts.narrow += 1

    def _add_object(self, row: dict[str, Any]) -> None:
        if len(row) == len(self.names):
            try:
                self.rows.append(self.pick(row))
            except KeyError:
                self.named.append(row)
            return
        self.named.append(row)

    def _add_position(self, row: Sequence[Any]) -> None:
        missing = len(self.names) - len(row)
        if not missing:
            self.rows.append(row)
        elif missing > 0:
            self.counts.narrow += 1
        else:
            others = (f"_c{place}" for place in range(len(self.names), len(row)))
            self.named.append(dict(zip(chain(self.names, others), row, strict=True)))


def measured(data: str, encoding: str, observed: str) -> list[tuple[float | None, ...]]:
    """Return the statistics of the pictures that a request holds; raise what an unreadable one raises."""
    from container.payload import images  # noqa: PLC0415 - tables are analysed without an image decoder

    body = base64.b64decode(data, validate=True) if encoding == "BASE64" else data.encode()
    return [*images.measure(body, observed.encode())]


@lru_cache(maxsize=256)
def _header(observed: str) -> str:
    """Return the content type's `header` parameter; a type that was configured as CSV may have any name."""
    try:
        return content_type(observed.encode())[1]
    except RequestError:
        return ""


def _kind(observed: str) -> str:
    """Return a type that was configured as JSON, which may have any name: JSON lines, or else JSON."""
    return JSON_LINES if observed.partition(";")[0].strip().lower() == JSON_LINES else JSON


def _series(cells: Sequence[Any]) -> pl.Series:
    """Return cells as numbers or, where any is none, as the text that a CSV file would hold."""
    kinds = set(map(type, cells)) - {_NOTHING}
    if kinds <= {str}:
        return pl.Series(values=cells, dtype=pl.String)
    if kinds <= _NUMBERS:
        return _numbers(cells, whole=kinds == {int})
    return pl.Series(values=[_text(cell) for cell in cells], dtype=pl.String)


def _numbers(cells: Sequence[Any], *, whole: bool) -> pl.Series:
    if whole:
        try:
            return pl.Series(values=cells, dtype=pl.Int64)
        except TypeError:
            pass  # one has more than 64 bits
    return pl.Series(values=cells, dtype=pl.Float64, strict=False)


def _text(cell: Any) -> str:
    if isinstance(cell, str):
        return cell
    if cell is None:
        return ""
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    return orjson.dumps(cell).decode()
