"""Arrays in NumPy's file format: only numbers, and no more of them than came. Nothing is unpickled."""

from __future__ import annotations

import io
import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.lib import format as npy

from container.payload.errors import Refusal

if TYPE_CHECKING:
    from numpy.typing import NDArray

MOST_HEADER = 1000  # bytes; that of a table has some hundred
HEADERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
NUMBERS, WIDEST = "iuf", 8  # kinds of numbers, and the bytes of one
ROW, TABLE = 1, 2  # dimensions


def read(body: bytes) -> NDArray[Any]:
    """Return a body's array, a row or rows, of any kind of real number and without a copy.

    Raises `Refusal` 400, before there is room for what the header claims.
    """
    file = io.BytesIO(body)
    try:
        shape, by_column, kind = HEADERS[npy.read_magic(file)](file, max_header_size=MOST_HEADER)
    except Exception:  # noqa: BLE001  Python's own parser reads the header, and raises what it likes
        message = "the body is no array in NumPy's format of version 1 or 2"
        raise Refusal(400, "invalid-npy", message) from None
    if kind.kind not in NUMBERS or kind.itemsize > WIDEST:
        raise Refusal(400, "not-numbers", "the array holds no integers or floats of at most 64 bits")
    if len(shape) not in {ROW, TABLE} or min(shape) < 0:
        message = f"the array has {len(shape)} dimensions; send rows, or one row"
        raise Refusal(400, "wrong-shape", message)
    claimed, came = math.prod(shape) * kind.itemsize, len(body) - file.tell()
    if claimed != came:
        raise Refusal(400, "invalid-npy", f"the array's header claims {claimed} bytes, and {came} came")
    if not came:
        raise Refusal(400, "no-rows", "the array is empty; send at least one row")
    return np.frombuffer(body, kind, offset=file.tell()).reshape(shape, order="F" if by_column else "C")


def cells(array: NDArray[Any]) -> list[Any]:
    """Return numbers as JSON has them: what is missing is None."""
    if array.ndim > ROW:
        return [cells(each) for each in array]
    return [None if cell != cell else cell for cell in array.tolist()]  # noqa: PLR0124  NaN


def write(array: NDArray[np.float64]) -> bytes:
    """Return an array's file."""
    file = io.BytesIO()
    npy.write_array(file, array, version=(1, 0), allow_pickle=False)
    return file.getvalue()
