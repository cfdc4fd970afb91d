"""One feature's cells, as text or as JSON values, to the numbers that the model sees."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

import orjson

from container.data import values
from container.payload.errors import Refusal, shown

if TYPE_CHECKING:
    from collections.abc import Sequence

    from container.data.schema import Feature

NUMBER = frozenset({int, float})  # bool is a type of its own here
MINUS_ZERO = re.compile(rb"-0(?![.0-9])")


def numbers(text: bytes) -> list[float] | None:
    """Read comma-separated numbers as a JSON array, the quickest exact reader; None when any is not one.

    JSON's numbers are a part of those that `Feature.encode` reads, to the same float64, but for a whole -0.
    """
    try:
        cells = orjson.loads(b"[%b]" % text)
    except orjson.JSONDecodeError:
        return None
    if not NUMBER.issuperset(map(type, cells)) or (b"-0" in text and MINUS_ZERO.search(text)):
        return None
    return cells  # type: ignore[no-any-return]


class Column:
    """Encode one feature's cells exactly as `Feature.encode` does, and count the missing and the unknown."""

    def __init__(self, feature: Feature) -> None:
        self.feature = feature
        self.known: dict[object, float] = {text: feature.encode(text) for text in feature.codes}
        self.numeric = feature.kind == "numeric"

    def encode(self, cells: Sequence[object]) -> tuple[list[float], int, int]:
        """Return the cells as numbers, how many are missing and how many unknown. Raises `Refusal` 400."""
        plain = self._plain(cells) if self.numeric and len(cells) > 1 else None
        if plain is not None:
            return plain, 0, 0
        known, missing, unknown = self.known, 0, 0
        encoded = []
        for row, cell in enumerate(cells, start=1):
            number = known.get(cell) if cell.__class__ is str else None
            if number is None:
                number, is_missing, is_unknown = self._read(cell, row)
                missing += is_missing
                unknown += is_unknown
            encoded.append(number)
        return encoded, missing, unknown

    @staticmethod
    def _plain(cells: Sequence[object]) -> list[float] | None:
        try:
            encoded = numbers(",".join(cells).encode())  # type: ignore[arg-type]
        except TypeError:
            return None
        return encoded if encoded is not None and len(encoded) == len(cells) else None

    def _read(self, cell: object, row: int) -> tuple[float, bool, bool]:
        if self.numeric and cell.__class__ in NUMBER:
            return float(cell), False, False  # type: ignore[arg-type]
        text = self._text(cell, row)
        try:
            number = self.feature.encode(text)
        except ValueError:
            raise self.refuse_number(text, row) from None
        if values.is_missing(text.strip(values.BLANKS)):
            return number, True, False
        return number, False, not self.numeric and (math.isnan(number) or self._is_new(text))

    def _is_new(self, text: str) -> bool:
        return self.feature.kind == "categorical" and text.strip(values.BLANKS) not in self.feature.codes

    def _text(self, cell: object, row: int) -> str:
        """Return what a CSV file would hold for a JSON value."""
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
        raise self._refuse_value(cell, row)

    def _refuse_value(self, cell: object, row: int) -> Refusal:
        name = self.feature.name
        kind = {bool: "a boolean", list: "an array", dict: "an object"}[type(cell)]
        message = f"row {row}, column {shown(name)} holds {kind}; a value is a number, a text or null"
        return Refusal(400, "not-a-value", message, row, name)

    def refuse_number(self, text: str, row: int) -> Refusal:
        """Return the refusal of a cell that is no finite number."""
        name = self.feature.name
        infinite = values.number(text.strip(values.BLANKS)) is not None
        code, rule = ("not-finite", "not finite") if infinite else ("not-a-number", "not a number")
        return Refusal(400, code, f"row {row}, column {shown(name)}: {shown(text)} is {rule}", row, name)
