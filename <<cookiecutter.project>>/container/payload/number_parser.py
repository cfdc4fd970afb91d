"""Plain numbers of a request to rows, by the library: one pass over the body and no object a number."""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING, Any

import numpy as np

from container.inference.compiled_model import COUNT, NUMBERS, first
from container.inference.native import library

if TYPE_CHECKING:
    from container.inference.native.library import Library
    from container.runtime.typing import FloatArray

SHORT = 4096  # bytes, which other threads can wait for


class Numbers:
    """Read bodies of rows that are nothing but numbers and missing values."""

    def __init__(self, found: Library, width: int) -> None:
        self.width = width
        self.missing = COUNT()
        self.counted = ctypes.byref(self.missing)
        self.csv_calls = _function(found.quick.csv_numbers), _function(found.calls.csv_numbers)
        self.json_calls = _function(found.quick.json_numbers), _function(found.calls.json_numbers)

    def csv(self, body: bytes) -> tuple[FloatArray, int] | None:
        """Return (n, width) rows and how many values are missing; None for what is not plain."""
        return self._read(self.csv_calls, body, body.count(b"\n") + 1)

    def json(self, body: bytes) -> tuple[FloatArray, int] | None:
        """Return (n, width) rows and how many values are missing; None for what is not plain."""
        return self._read(self.json_calls, body, body.count(b"["))

    def _read(self, calls: tuple[Any, Any], body: bytes, most: int) -> tuple[FloatArray, int] | None:
        size, width = len(body), self.width
        most = min(most, size // width + 1)  # every value but the last has a byte behind it
        rows = np.empty((most, width))
        call = calls[size > SHORT]
        count = call(body, size, width, first(rows), most, self.counted) if most else -1
        if count < 1:
            return None
        return (rows if count == most else rows[:count]), self.missing.value


def reader(width: int) -> Numbers | None:
    """Return what reads rows of so many numbers; None where there is no library."""
    try:
        return Numbers(library.load(), width)
    except library.UnavailableError:
        return None


def _function(call: Any) -> Any:
    call.argtypes = [ctypes.c_char_p, COUNT, COUNT, NUMBERS, COUNT, ctypes.c_void_p]
    call.restype = ctypes.c_int64
    return call
