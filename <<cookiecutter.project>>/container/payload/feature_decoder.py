"""Decoding of one feature's cells, as text or JSON values, to the numbers that the model takes."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import orjson

from container.data import values
from container.payload.errors import RequestError, quoted

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from container.data.schema import Feature

NUMBER_TYPES = frozenset({int, float})  # a bool's type is neither
MOST_SECONDS, LEAST_EPOCH = 4.2e9, 1e8
DIGITS = re.compile("[+-]?[0-9]+")
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


def epoch_seconds(number: float) -> float | None:
    """Return a number of seconds, milliseconds, microseconds or nanoseconds since 1970 as seconds.

    Its size decides: each unit reaches to the year 2103. None is a number that is larger, or small enough to
    be a year or a date of digits.
    """
    if not LEAST_EPOCH <= abs(number) < MOST_SECONDS * 1e9:
        return None
    unit = next(unit for unit in (1, 1e3, 1e6, 1e9) if abs(number) < MOST_SECONDS * unit)
    # A text's fraction is read to microseconds.
    return number / unit if unit < 1e9 else int(number) // 1000 / 1e6  # noqa: PLR2004 - nanoseconds


class FeatureDecoder:
    """Decode one feature's cells exactly as `Feature.encode` does, and count missing and unknown values.

    `is_plain` means that a number in text is what JSON and Python read, so that quicker readers may take it.
    """

    def __init__(self, feature: Feature) -> None:
        self.feature = feature
        self.rest = len(feature.categories or ()) if feature.other else None  # the code of other categories
        self.codes: dict[object, float] = {
            text: code for text in _frequent(feature) if not math.isnan(code := feature.encode(text))
        }
        self.is_numeric = feature.kind == "numeric"
        self.has_words = bool(feature.reading.numbers)
        self.takes_booleans = feature.kind == "categorical" or feature.strays or feature.boolean
        style = feature.number_format
        self.is_plain = self.is_numeric and not self.has_words and (style is None or style.decimal == ".")

    def decode(self, cells: Sequence[object]) -> tuple[list[float], int, int]:
        """Return the cells as numbers, how many are missing and how many unknown.

        Raises:
            RequestError: with status 400, a cell is not a value of this feature.
        """
        plain = self._decode_plain(cells) if self.is_plain and len(cells) > 1 else None
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
        if self.is_numeric and cell.__class__ in NUMBER_TYPES and not self.has_words:
            return float(cell), False, False  # type: ignore[arg-type]
        text = self.text(cell, row).strip(values.BLANKS)
        if self.feature.reading.is_missing(text, self.feature.number_format):
            return math.nan, True, False
        try:
            number = self.feature.encode(text)
        except ValueError:
            raise self.number_error(text, row) from None
        if self.feature.kind == "date" and math.isnan(number):
            number = self._epoch(cell, text)
        return number, False, math.isnan(number) or number == self.rest

    def _epoch(self, cell: object, text: str) -> float:
        """Return the moment of a number; where training had strays, a text of digits is one."""
        if isinstance(cell, str) and (self.feature.strays or not DIGITS.fullmatch(text)):
            return math.nan
        moment = epoch_seconds(float(text)) if DIGITS.match(text) else None
        return math.nan if moment is None else moment

    def spell(self, cell: object) -> str | None:
        """Return a category or a date as `prepare` writes it, None where missing, other texts as they are.

        A date that the model can't read is missing.

        Raises:
            RequestError: with status 400, the cell is not a value of this feature.
        """
        text = self.text(cell).strip(values.BLANKS)
        if self.feature.reading.is_missing(text, self.feature.number_format):
            return None
        number = self.feature.encode(text)
        if math.isnan(number) and self.feature.kind == "date":
            moment = self._epoch(cell, text)
            return None if math.isnan(moment) else self._spell_moment(moment)
        if math.isnan(number):
            return None if self.feature.strays else text
        if self.feature.kind == "categorical" and number != self.rest:
            return (self.feature.categories or ())[int(number)]
        return text

    def _spell_moment(self, moment: float) -> str:
        spelled = datetime.fromtimestamp(moment, UTC).isoformat()
        spelled = spelled.removesuffix("+00:00").removesuffix("T00:00:00")
        return spelled.replace("-", "") if self.feature.format == values.DIGITS_ONLY else spelled

    def text(self, cell: object, row: int = 1) -> str:
        """Return the text that a CSV file would have for a JSON value.

        Raises:
            RequestError: with status 400, the cell is not a value of this feature.
        """
        if isinstance(cell, str):
            return cell
        if cell is None:
            return ""
        if isinstance(cell, bool) and self.takes_booleans:
            return "true" if cell else "false"
        if isinstance(cell, int | float) and not isinstance(cell, bool):
            whole = isinstance(cell, float) and cell.is_integer() and repr(cell) not in self.codes
            text = str(int(cell)) if whole else repr(cell)
            return self.feature.number_format.spell(text) if self.feature.number_format else text
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
        infinite = values.number(text.strip(values.BLANKS), self.feature.number_format) is not None
        code, rule = ("not-finite", "not finite") if infinite else ("not-a-number", "not a number")
        return RequestError(
            400, code, f"row {row}, column {quoted(name)}: {quoted(text)} is {rule}", row, name
        )


def _frequent(feature: Feature) -> Iterable[str]:
    """Return the texts by which most cells are found: the categories, and a boolean's in the usual cases."""
    texts = feature.categories or ()
    if texts and tuple(sorted(map(str.lower, texts))) in values.BOOLEAN_PAIRS:
        return {spell(text) for text in texts for spell in (str, str.lower, str.upper, str.capitalize)}
    return texts
