"""Decoding of one feature's cells, as text or JSON values, to the numbers that the model takes."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

import orjson

from container.data import values
from container.payload.errors import RequestError, quoted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from container.data.schema import Feature

NUMBER_TYPES = frozenset({int, float})  # a bool's type is neither
INTEGER_MINUS_ZERO = re.compile(rb"-0(?![.0-9])")


def parse_numbers(text: bytes) -> list[float] | None:
    """Return comma-separated numbers, or None when a cell is not a number of JSON.

    orjson is the quickest exact reader. `Feature.encode` reads the same float64 from each number of JSON,
    except from the integer -0, which JSON reads without its sign; that one is left to `Feature.encode`.
    """
    try:
        cells = orjson.loads(b"[%b]" % text)
    except orjson.JSONDecodeError:
        return None
    if not NUMBER_TYPES.issuperset(map(type, cells)) or (b"-0" in text and INTEGER_MINUS_ZERO.search(text)):
        return None
    numbers: list[float] = cells
    return numbers


class FeatureDecoder:
    """Decode one feature's cells exactly as `Feature.encode` does, and count missing and unknown values."""

    def __init__(self, feature: Feature) -> None:
        self.feature = feature
        self.codes: dict[object, float] = {text: feature.encode(text) for text in feature.codes}
        self.is_numeric = feature.kind == "numeric"

    def decode(self, cells: Sequence[object]) -> tuple[list[float], int, int]:
        """Return the cells as numbers, how many are missing and how many unknown.

        Raises:
            RequestError: with status 400, a cell is not a value of this feature.
        """
        plain = self._decode_plain(cells) if self.is_numeric and len(cells) > 1 else None
        if plain is not None:
            return plain, 0, 0
        codes, missing, unknown = self.codes, 0, 0
        decoded = []
        for row, cell in enumerate(cells, start=1):
            number = codes.get(cell) if cell.__class__ is str else None
            if number is None:
                number, is_missing, is_unknown = self._decode_cell(cell, row)
                missing += is_missing
                unknown += is_unknown
            decoded.append(number)
        return decoded, missing, unknown

    @staticmethod
    def _decode_plain(cells: Sequence[object]) -> list[float] | None:
        try:
            decoded = parse_numbers(",".join(cells).encode())  # type: ignore[arg-type]
        except TypeError:
            return None
        return decoded if decoded is not None and len(decoded) == len(cells) else None

    def _decode_cell(self, cell: object, row: int) -> tuple[float, bool, bool]:
        if self.is_numeric and cell.__class__ in NUMBER_TYPES:
            return float(cell), False, False  # type: ignore[arg-type]
        text = self._text(cell, row)
        try:
            number = self.feature.encode(text)
        except ValueError:
            raise self.number_error(text, row) from None
        if values.is_missing(text.strip(values.BLANKS)):
            return number, True, False
        return number, False, not self.is_numeric and (math.isnan(number) or self._is_unknown(text))

    def _is_unknown(self, text: str) -> bool:
        return self.feature.kind == "categorical" and text.strip(values.BLANKS) not in self.feature.codes

    def _text(self, cell: object, row: int) -> str:
        """Return the text that a CSV file would have for a JSON value."""
        if isinstance(cell, str):
            return cell
        if cell is None:
            return ""
        if isinstance(cell, bool) and self.feature.kind == "categorical":
            return "true" if cell else "false"
        if isinstance(cell, float) and cell.is_integer() and repr(cell) not in self.feature.codes:
            return str(int(cell))
        if isinstance(cell, int | float) and not isinstance(cell, bool):
            return repr(cell)
        raise self._value_error(cell, row)

    def _value_error(self, cell: object, row: int) -> RequestError:
        name = self.feature.name
        kind = {bool: "a boolean", list: "an array", dict: "an object"}[type(cell)]
        frame = "; of a DataFrame send to_json(orient='records')" if isinstance(cell, dict) else ""
        message = f"row {row}, column {quoted(name)} holds {kind}; a value is a number, a text or null{frame}"
        return RequestError(400, "not-a-value", message, row, name)

    def number_error(self, text: str, row: int) -> RequestError:
        """Return the error for a cell that is not a finite number."""
        name = self.feature.name
        infinite = values.number(text.strip(values.BLANKS)) is not None
        code, rule = ("not-finite", "not finite") if infinite else ("not-a-number", "not a number")
        return RequestError(
            400, code, f"row {row}, column {quoted(name)}: {quoted(text)} is {rule}", row, name
        )
