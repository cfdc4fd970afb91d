"""Rows of captured requests, read as the endpoint reads them (payload/requests.py) and added to a profile."""

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
from container.monitor.profile import MAX_OTHER_COLUMNS, TableProfile
from container.monitor.reading import Readers
from container.monitor.response_rows import read_confidences
from container.payload import npy
from container.payload.errors import RequestError
from container.payload.negotiation import CSV, JSON, JSON_LINES, NPY, content_type
from container.payload.requests import csv_rows, is_header, json_rows

_NUMBERS = frozenset({int, float})  # without bool, which a file has as a text
_UNREADABLE = (RequestError, ValueError, KeyError, TypeError, AttributeError)
_SPECIAL = (b'"', b"\r", "\ufeff".encode())  # where a row has none of these, its cells are between commas


class RequestRows:
    """Collect rows in three forms, and add them to a profile a column at a time, which takes less time.

    `names` are the model's columns by position. `texts` are bodies that are probably one plain CSV row each,
    `rows` have a cell for each of the names, and `named` rows have other columns and are kept by name.
    `readers` spell the cells of some columns as the baseline does.
    """

    def __init__(
        self, profile: TableProfile, names: Sequence[str], counts: Counts, readers: Readers | None = None
    ) -> None:
        self.profile = profile
        self.readers = readers or {}
        self.names = tuple(names)
        self.known_names = frozenset(names)
        self.counts = counts
        self.select = itemgetter(*self.names) if len(names) > 1 else lambda row: (row[self.names[0]],)
        self.is_image = self.names in {STATISTICS, (*STATISTICS, CONFIDENCE)}
        self.texts: list[str] = []
        self.rows: list[Sequence[Any]] = []
        self.named: list[dict[str, Any]] = []

    def collect(self, events: Iterable[Event]) -> None:
        """Take the rows of requests; count the requests whose body is not a table."""
        for _, sides, _ in events:
            try:
                side = sides["endpointInput"]
                encoding, observed = side["encoding"], side.get("observedContentType", "")
                if self.is_image:
                    self.rows += self._image_rows(sides)
                elif encoding == "CSV" and (observed == CSV or not _header(observed)):
                    self.texts.append(side["data"])
                else:
                    self._add_body(side["data"], encoding, observed)
            except _UNREADABLE:
                self.counts.missing_body += "endpointInput" not in sides
                self.counts.unreadable += "endpointInput" in sides

    def _image_rows(self, sides: dict[str, Side]) -> list[tuple[float | None, ...]]:
        """Return a request's image statistics, with the predictions' confidence if the baseline has it."""
        side = sides["endpointInput"]
        statistics = image_statistics(side["data"], side["encoding"], side.get("observedContentType", ""))
        if CONFIDENCE not in self.known_names:
            return statistics
        confidences = read_confidences(sides.get("endpointOutput"), len(statistics))
        return [(*numbers, confidence) for numbers, confidence in zip(statistics, confidences, strict=True)]

    def flush(self) -> None:
        """Add the collected rows to the profile."""
        table = self._parse_texts()
        self.profile.rows += len(table[0]) if table else 0
        for name, cells in zip(self.names, table, strict=bool(table)):
            reader = self.readers.get(name)
            self.profile.update_column(name, reader.texts(cells) if reader else cells)
        self.profile.rows += len(self.rows) + len(self.named)
        for name, values_ in zip(self.names, zip(*self.rows, strict=True), strict=bool(self.rows)):
            self.profile.update_column(name, self._column(name, values_))
        for name in self._columns_of_named():
            self.profile.update_column(
                name, self._column(name, [row[name] for row in self.named if name in row])
            )
        self.texts, self.rows, self.named = [], [], []

    def _column(self, name: str, cells: Sequence[Any]) -> pl.Series:
        reader = self.readers.get(name)
        try:
            read = reader.values(cells) if reader else None
        except RequestError:  # a caller sent what the endpoint refuses
            read = None
        return _series(cells) if read is None else read

    def _columns_of_named(self) -> list[str]:
        """Return the columns of rows by name: the model's, and the first of the others by the alphabet."""
        present = set().union(*self.named)
        others = sorted(present - self.known_names)[:MAX_OTHER_COLUMNS]
        return [*(name for name in self.names if name in present), *others]

    def _parse_texts(self) -> list[pl.Series]:
        """Return the columns of texts that are a plain row each, as is usual; else add texts one by one."""
        if not self.texts:
            return []
        try:
            body = "\n".join(self.texts).encode()
        except TypeError:  # one of them is not a string
            body = b""
        commas = (len(self.names) - 1) * len(self.texts)
        if commas and body.count(b",") == commas and not any(mark in body for mark in _SPECIAL):
            columns = self._parse_plain(body)
            if columns and len(columns[0]) == len(self.texts):  # else a text is blank or has several rows
                return columns
        for text in self.texts:
            try:
                self._add_csv(text, "")
            except _UNREADABLE:
                self.counts.unreadable += 1
        return []

    def _parse_plain(self, body: bytes) -> list[pl.Series]:
        """Return the columns of rows without quotes, none when a row has too many cells."""
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
        if header == "present" or (header != "absent" and is_header(table[0], self.known_names)):
            self._add_with_header([name.strip(values.BLANKS) for name in table[0]], table[1:])
            return
        for row in table:
            self._add_position(row)

    def _add_with_header(self, columns: list[str], rows: list[list[str]]) -> None:
        if tuple(columns) == self.names:
            for row in rows:
                self._add_position(row)
            return
        for row in rows:
            if len(row) == len(columns):
                self.named.append({name: cell for name, cell in zip(columns, row, strict=True) if name})
            else:
                self.counts.too_few_columns += 1

    def _add_rows(self, rows: list[Any]) -> None:
        for row in rows:
            if row.__class__ is dict:
                self._add_object(row)
            elif row.__class__ is list:
                self._add_position(row)
            else:
                self.counts.too_few_columns += 1

    def _add_object(self, row: dict[str, Any]) -> None:
        if row.keys() == self.known_names:
            self.rows.append(self.select(row))
            return
        self.named.append({name.strip(values.BLANKS): cell for name, cell in row.items()})

    def _add_position(self, row: Sequence[Any]) -> None:
        missing = len(self.names) - len(row)
        if not missing:
            self.rows.append(row)
        elif missing > 0:
            self.counts.too_few_columns += 1
        else:
            others = (f"_c{place}" for place in range(len(self.names), len(row)))
            self.named.append(dict(zip(chain(self.names, others), row, strict=True)))


def image_statistics(data: str, encoding: str, observed: str) -> list[tuple[float | None, ...]]:
    """Return the statistics of each image of a request; an exception of its reader says that it has none."""
    from container.payload.images import measure  # noqa: PLC0415 - tables are analysed without an image decoder

    body = base64.b64decode(data, validate=True) if encoding == "BASE64" else data.encode()
    return [*measure(body, observed.encode())]


@lru_cache(maxsize=256)
def _header(observed: str) -> str:
    """Return the `header` parameter of a content type; a type that is captured as CSV may have any name."""
    try:
        return content_type(observed.encode())[1]
    except RequestError:
        return ""


def _kind(observed: str) -> str:
    """Return JSON lines or JSON for a content type that is captured as JSON, which may have any name."""
    return JSON_LINES if observed.partition(";")[0].strip().lower() == JSON_LINES else JSON


def _series(cells: Sequence[Any]) -> pl.Series:
    """Return cells as numbers or, where some cell is not a number, as the text that a CSV file would have."""
    kinds = set(map(type, cells)) - {type(None)}
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
            pass  # some number has more than 64 bits
    return pl.Series(values=cells, dtype=pl.Float64, strict=False)


def _text(cell: Any) -> str:
    if isinstance(cell, str):
        return cell
    if cell is None:
        return ""
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    return orjson.dumps(cell).decode()
