"""Request bodies to rows of numbers: two quick ways for plain numbers, and an equal one for everything else.

text/csv               rows by position, or under a header by name in any order. A first row is a header when
                       a text in it names a feature, and it has no number or missing value but names of
                       features; a column without a name, as an index has it, is left out. The content
                       type's parameter `header=present` or `header=absent` overrides this.
application/json       {"instances": [row, ...]}, a bare list of rows, or one row. A row is a list by
                       position, an object by name in any order, or SageMaker's {"features": [...]}. Or
                       {"columns": [...], "data": [row, ...]}, as pandas writes a split DataFrame. NaN is
                       missing, though it is not JSON: Python's json module writes it.
application/jsonlines  such a row a line.
application/x-npy      NumPy's format: rows by position, or one row, of integers or floats. NaN is missing.

In rows by name, the values of an absent column are missing, and columns that the model does not have are
ignored and counted. A name that a header or an object has twice is refused.
"""

from __future__ import annotations

import csv
import io
import re
from itertools import chain
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import orjson

from container.data import values
from container.payload import npy
from container.payload.errors import RequestError
from container.payload.feature_decoder import NUMBER_TYPES, FeatureDecoder, parse_numbers
from container.payload.names import check_distinct, check_keys
from container.payload.negotiation import CSV, JSON, JSON_LINES, NPY

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence
    from collections.abc import Set as AbstractSet

    from numpy.typing import NDArray

    from container.data.schema import Schema
    from container.payload.number_parser import NumberParser
    from container.runtime.typing import FloatArray

MAX_LISTED_COLUMNS = 10  # in a message
BOM = b"\xef\xbb\xbf"
_ROW_TYPES = (list, dict)  # for isinstance, which takes longer with `list | dict`
# A text, which may contain NaN, or one of the numbers that JSON does not have. A text that never ends is read
# to the end, so that it is not searched again from each quote in it.
_NOT_JSON = re.compile(rb'"(?:[^"\\]|\\.)*"?|NaN|-?Infinity', re.DOTALL)
_OTHER_SEPARATORS = {";": "semicolons", "\t": "tabs", "|": "pipes"}


class Batch(NamedTuple):
    """Hold a request's rows as (n, features) float64, and counts of their missing and unknown values.

    `extra` counts the columns of rows by name that the model does not have.
    """

    rows: FloatArray
    missing: int = 0
    unknown: int = 0
    extra: int = 0


class RequestDecoder:
    """Decode request bodies for one schema; `parser`, if the library is available, takes plain numbers."""

    def __init__(self, schema: Schema, parser: NumberParser | None = None) -> None:
        self.columns = [FeatureDecoder(feature) for feature in schema.features]
        self.names = tuple(feature.name for feature in schema.features)
        self.positions = {name: position for position, name in enumerate(self.names)}
        self.width = len(self.names)
        self.is_plain = all(column.is_plain for column in self.columns)
        self.parser = parser if self.is_plain else None

    def decode(self, body: bytes, kind: str, header: str = "") -> Batch:
        """Return the rows of a request.

        `header` is the parameter of the CSV content type: present, absent, or empty to look for a header.

        Raises:
            RequestError: with status 400, and the row and column that it is about.
        """
        if not body or body.isspace():
            raise RequestError(400, "empty-body", "the request has no body; send at least one row")
        if kind == NPY:
            return self._decode_array(np.atleast_2d(npy.read(body)))
        if self.parser is not None and kind != JSON_LINES and header != "present":
            parsed = self.parser.parse_json(body) if kind == JSON else self.parser.parse_csv(body)
            if parsed is not None:
                return Batch(*parsed)
        return self._decode_csv(body, header) if kind == CSV else self._decode_rows(json_rows(body, kind))

    def _decode_csv(self, body: bytes, header: str) -> Batch:
        if self.is_plain and header != "present":
            rows = self._plain_csv(body)
            if rows is not None:
                return Batch(rows)
        table = csv_rows(body)
        if header == "present" or (header != "absent" and is_header(table[0], self.positions.keys())):
            return self._by_header(table[0], table[1:])
        return self._by_position(table)

    def _plain_csv(self, body: bytes) -> FloatArray | None:
        text = body.removesuffix(b"\n")
        if b"\n" not in text:
            cells = parse_numbers(text)
            return None if cells is None or len(cells) != self.width else _array(cells, self.width)
        commas = self.width - 1
        if any(line.count(b",") != commas for line in text.split(b"\n")):
            return None
        cells = parse_numbers(text.replace(b"\n", b","))
        return None if cells is None else _array(cells, self.width)

    def _by_header(self, header: list[str], rows: list[list[str]]) -> Batch:
        names = [name.strip(values.BLANKS) for name in header]
        check_distinct(names, "the header")
        if not rows:
            raise RequestError(400, "no-rows", "the request has a header and no rows; send at least one row")
        self._check_known(names, row=None)
        _check_widths(rows, len(names), "the header")
        sent = dict(zip(names, zip(*rows, strict=True), strict=True))
        absent = ("",) * len(rows)
        cells = [sent.get(name, absent) for name in self.names]
        return self._encode(cells, len(rows), extra=len(names) - len(self.positions.keys() & sent.keys()))

    def _by_position(self, rows: Sequence[Sequence[object]]) -> Batch:
        self._check_widths(rows)
        return self._encode(list(zip(*rows, strict=True)), len(rows))

    def _check_widths(self, rows: Iterable[Sequence[object]]) -> None:
        _check_widths(rows, self.width, f"the model ({_listed(self.names)})", by_position=True)

    def _encode(self, cells: Sequence[Sequence[object]], rows: int, extra: int = 0) -> Batch:
        array = np.empty((rows, self.width), dtype=np.float64)
        missing = unknown = 0
        for position, column in enumerate(self.columns):
            array[:, position], column_missing, column_unknown = column.decode(cells[position])
            missing += column_missing
            unknown += column_unknown
        return Batch(array, missing, unknown, extra)

    def _decode_array(self, sent: NDArray[Any]) -> Batch:
        self._check_widths(sent)
        rows = np.array(sent, dtype=np.float64, order="C")
        infinite = np.isinf(rows)
        if infinite.any():
            position, row = np.argwhere(infinite.T)[0].tolist()  # the first by column, as in text
            raise self.columns[position].number_error(str(rows[row, position]), row + 1)
        if self.is_plain:
            return Batch(rows, int(np.isnan(rows).sum()))
        return self._encode(npy.cells(sent.T), len(rows))

    def _decode_rows(self, rows: list[Any]) -> Batch:
        listed = rows[0].__class__ is list
        if self.is_plain:
            plain = self._plain_lists(rows) if listed else self._plain_objects(rows)
            if plain is not None:
                return Batch(plain)
        _check_alike(rows)
        return self._by_position(rows) if listed else self._by_name(rows)

    def _plain_lists(self, rows: list[Any]) -> FloatArray | None:
        width = self.width
        if any(row.__class__ is not list or len(row) != width for row in rows):
            return None
        cells = rows[0] if len(rows) == 1 else list(chain.from_iterable(rows))
        return _array(cells, width) if NUMBER_TYPES.issuperset(map(type, cells)) else None

    def _plain_objects(self, rows: list[Any]) -> FloatArray | None:
        width, names = self.width, self.names
        if any(row.__class__ is not dict or len(row) != width for row in rows):
            return None
        try:
            cells = [row[name] for row in rows for name in names]
        except KeyError:
            return None
        return _array(cells, width) if NUMBER_TYPES.issuperset(map(type, cells)) else None

    def _by_name(self, rows: list[dict[str, Any]]) -> Batch:
        if not self.positions.keys() >= set().union(*rows):
            rows = [_stripped(row, number) for number, row in enumerate(rows, start=1)]
        for number, row in enumerate(rows, start=1):
            self._check_known(row, number)
        cells = [[row.get(name) for row in rows] for name in self.names]
        extra = len(set().union(*rows) - self.positions.keys())
        return self._encode(cells, len(rows), extra)

    def _check_known(self, names: Collection[str], row: int | None) -> None:
        if self.positions.keys().isdisjoint(names):
            place = "the header" if row is None else f"row {row}"
            message = f"{place} names none of the model's columns ({_listed(self.names)})"
            raise RequestError(400, "no-known-column", message, row)


def _array(cells: list[float], width: int) -> FloatArray:
    return np.array(cells, dtype=np.float64).reshape(-1, width)


def csv_rows(body: bytes) -> list[list[str]]:
    """Return the rows of a CSV body, with its header if it has one, at least one row.

    Raises:
        RequestError: with status 400, the body is empty, not UTF-8 or not CSV.
    """
    try:
        text = body.decode("utf-8-sig")
        rows = list(csv.reader(io.StringIO(text, newline=""), strict=True))
    except UnicodeDecodeError as error:
        raise RequestError(400, "not-utf-8", f"byte {error.start} of the body is not UTF-8") from None
    except csv.Error as error:
        raise RequestError(400, "invalid-csv", f"the body is not CSV: {error}") from None
    while rows and not rows[-1]:
        rows.pop()
    if not rows:
        raise RequestError(400, "empty-body", "the request has no rows; send at least one")
    return [row or [""] for row in rows]


def is_header(cells: Sequence[str], names: AbstractSet[str]) -> bool:
    """Return whether a row is a header: a text names a feature, and no other cell is a number or missing.

    The unnamed column of an index may be empty, where the row cannot be one of values.
    """
    texts = {cell.strip(values.BLANKS) for cell in cells}
    if names.isdisjoint(texts):
        return False
    if len(cells) != len(names) or names >= texts - {""}:
        texts.discard("")
    numbers = {text for text in texts if values.is_missing(text) or values.number(text) is not None}
    return numbers <= names and not names.isdisjoint(texts - numbers)


def json_rows(body: bytes, kind: str = JSON) -> list[Any]:
    """Return the rows of JSON or JSON lines, arrays or objects, at least one.

    Raises:
        RequestError: with status 400, the body is not JSON, has no rows, or an object that has a key twice.
    """
    if kind == JSON_LINES:
        rows = json_lines(body)
        for (number, line), row in zip(_lines(body), rows, strict=True):
            check_keys(line, row, f"line {number}", number)
    else:
        rows = _document_rows(body)
    return [_unwrap(row) for row in rows] if _is_wrapped(rows[0]) else rows


def json_lines(body: bytes) -> list[Any]:
    """Return the values of JSON lines, at least one.

    Raises:
        RequestError: with status 400, a line is not JSON.
    """
    return [_json(line, f"line {number}", number) for number, line in _lines(body)]


def _lines(body: bytes) -> Iterator[tuple[int, bytes]]:
    return enumerate(body.removeprefix(BOM).rstrip().split(b"\n"), start=1)


def _json(text: bytes, name: str, row: int | None = None) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        reason = f"{name} is not JSON: {error}"
    if b"NaN" in text or b"Infinity" in text:
        try:
            return orjson.loads(_NOT_JSON.sub(_as_json, text))
        except orjson.JSONDecodeError:
            pass
    raise RequestError(400, "invalid-json", reason, row)


def _as_json(found: re.Match[bytes]) -> bytes:
    """Return NaN as null, and an infinity as a text, which is refused by its column's name."""
    text = found[0]
    return b"null" if text == b"NaN" else b'"%b"' % text if text.endswith(b"Infinity") else text


def _document_rows(body: bytes) -> list[Any]:
    text = body.removeprefix(BOM)
    document = _json(text, "the body")
    check_keys(text, document, "the body")
    if isinstance(document, dict) and isinstance(document.get("instances"), list):
        document = document["instances"]
    if isinstance(document, dict):
        rows = _frame_rows(document)
        document = [document] if rows is None else rows
    if not isinstance(document, list):
        raise RequestError(
            400, "no-instances", 'send {"instances": [row, …]}; a row is an array or an object'
        )
    if not document:
        raise RequestError(400, "no-rows", "the request has no rows; send at least one")
    return document if isinstance(document[0], _ROW_TYPES) else [document]


def _frame_rows(document: dict[str, Any]) -> list[Any] | None:
    """Return the rows by name of a DataFrame that pandas wrote with `orient="split"`, or None."""
    columns, rows = document.get("columns"), document.get("data")
    if not isinstance(columns, list) or not isinstance(rows, list):
        return None
    if not all(isinstance(row, list) for row in rows):
        return None
    names = [str(name) for name in columns]
    check_distinct(names, "the list of columns")
    _check_widths(rows, len(names), "the list of columns")
    return [dict(zip(names, row, strict=True)) for row in rows]


def _is_wrapped(row: Any) -> bool:
    return isinstance(row, dict) and isinstance(row.get("features"), list)


def _unwrap(row: Any) -> Any:
    """Return the row inside SageMaker's `{"features": […]}`."""
    return row["features"] if _is_wrapped(row) else row


def _stripped(row: dict[str, Any], number: int) -> dict[str, Any]:
    """Return a row by name whose names have no blanks around them."""
    names = [name.strip(values.BLANKS) for name in row]
    check_distinct(names, f"row {number}", number)
    return dict(zip(names, row.values(), strict=True))


def _check_alike(rows: list[Any]) -> None:
    kind = type(rows[0])
    if kind not in _ROW_TYPES:
        raise RequestError(400, "not-a-row", "row 1 is neither an array nor an object", 1)
    for number, row in enumerate(rows, start=1):
        if type(row) is not kind:
            message = f"row {number} is of another form than row 1; rows are all arrays, or all objects"
            raise RequestError(400, "mixed-rows", message, number)


def _check_widths(
    rows: Iterable[Sequence[object]], width: int, owner: str, *, by_position: bool = False
) -> None:
    for number, row in enumerate(rows, start=1):
        if len(row) != width:
            hint = _width_hint(row, width) if by_position else ""
            message = f"row {number} has {len(row)} values where {owner} has {width}{hint}"
            raise RequestError(400, "wrong-width", message, number)


def _width_hint(row: Sequence[object], width: int) -> str:
    """Return the likely cause of a row's width, or nothing."""
    text = ",".join(map(str, row))
    for separator, name in _OTHER_SEPARATORS.items():
        if 0 < width - 1 <= text.count(separator):
            return f": its cells seem to be separated by {name}, and a request's by commas"
    if len(row) == width + 1:
        return (
            ": one value more is often a DataFrame's index, which to_csv(index=False) leaves out, "
            "or the target; a header says which columns were sent"
        )
    return ""


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:MAX_LISTED_COLUMNS]) + (", …" if len(names) > MAX_LISTED_COLUMNS else "")
