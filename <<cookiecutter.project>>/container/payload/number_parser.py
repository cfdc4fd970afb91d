"""Rows of plain numbers, parsed by the C library: one pass over the body and no Python object a number."""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING, Any

import numpy as np

from container.inference.compiled_model import DOUBLES, UINT64, data_pointer
from container.inference.native.library import UnavailableError
from container.inference.native.load import load

if TYPE_CHECKING:
    from container.inference.native.library import Library
    from container.runtime.typing import FloatArray

MAX_BYTES_WITH_GIL = 4096  # parsing so few bytes takes less time than releasing Python's lock


class NumberParser:
    """Parse bodies that hold rows of plain numbers and missing values alone."""

    def __init__(self, library: Library, width: int) -> None:
        self.width = width
        self.missing = UINT64()
        self.missing_pointer = ctypes.byref(self.missing)
        self.csv_calls = _functions(library, "csv_numbers")
        self.json_calls = _functions(library, "json_numbers")

    def parse_csv(self, body: bytes) -> tuple[FloatArray, int] | None:
        """Return (n, width) rows and how many values are missing, or None for a body of another kind."""
        return self._parse(self.csv_calls, body, body.count(b"\n") + 1)

    def parse_json(self, body: bytes) -> tuple[FloatArray, int] | None:
        """Return (n, width) rows and how many values are missing, or None for a body of another kind."""
        return self._parse(self.json_calls, body, body.count(b"["))

    def _parse(self, calls: tuple[Any, Any], body: bytes, most: int) -> tuple[FloatArray, int] | None:
        size, width = len(body), self.width
        most = min(most, size // width + 1)  # every value but the last has a byte behind it
        rows = np.empty((most, width))
        call = calls[size > MAX_BYTES_WITH_GIL]
        count = call(body, size, width, data_pointer(rows), most, self.missing_pointer) if most else -1
        if count < 1:
            return None
        return (rows if count == most else rows[:count]), self.missing.value


def create(width: int) -> NumberParser | None:
    """Return the parser of rows of `width` numbers, or None where the library is not available."""
    try:
        return NumberParser(load(), width)
    except UnavailableError:
        return None


def _functions(library: Library, name: str) -> tuple[Any, Any]:
    """Return a function that keeps Python's lock, and the same one that releases it."""
    calls = library.function(name, releases_gil=False), library.function(name, releases_gil=True)
    for call in calls:
        call.argtypes = [ctypes.c_char_p, UINT64, UINT64, DOUBLES, UINT64, ctypes.c_void_p]
        call.restype = ctypes.c_int64
    return calls
