"""Arrays in NumPy's file format: only numbers, as many as the header names. Nothing is unpickled."""

from __future__ import annotations

import io
import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.lib import format as npy

from container.payload.errors import RequestError

if TYPE_CHECKING:
    from numpy.typing import NDArray

MAX_HEADER_BYTES = 1000  # an ordinary one has about a hundred
HEADER_READERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
NUMBER_KINDS, MAX_ITEM_BYTES = "iuf", 8  # integers, unsigned and floats; a number's size
ROW, TABLE = 1, 2  # dimensions


def read(body: bytes) -> NDArray[Any]:
    """Return a body's array of real numbers, (n,) or (rows, columns), without a copy.

    The size that the header claims is compared with the body before any memory is allocated for it.

    Raises:
        RequestError: with status 400, for another format, shape or kind of numbers.
    """
    file = io.BytesIO(body)
    try:
        shape, by_column, kind = HEADER_READERS[npy.read_magic(file)](file, max_header_size=MAX_HEADER_BYTES)
    except Exception:  # noqa: BLE001 - Python's parser reads the header, and may raise anything
        message = "the body is no array in NumPy's format of version 1 or 2"
        raise RequestError(400, "invalid-npy", message) from None
    if kind.kind not in NUMBER_KINDS or kind.itemsize > MAX_ITEM_BYTES:
        raise RequestError(400, "not-numbers", "the array holds no integers or floats of at most 64 bits")
    if len(shape) not in {ROW, TABLE} or min(shape) < 0:
        message = f"the array has {len(shape)} dimensions; send rows, or one row"
        raise RequestError(400, "wrong-shape", message)
    claimed, received = math.prod(shape) * kind.itemsize, len(body) - file.tell()
    if claimed != received:
        raise RequestError(
            400, "invalid-npy", f"the array's header claims {claimed} bytes, and {received} came"
        )
    if not received:
        raise RequestError(400, "no-rows", "the array is empty; send at least one row")
    return np.frombuffer(body, kind, offset=file.tell()).reshape(shape, order="F" if by_column else "C")


def cells(array: NDArray[Any]) -> list[Any]:
    """Return an array as nested lists, with None for NaN, as JSON would have it."""
    if array.ndim > ROW:
        return [cells(row) for row in array]
    return [None if cell != cell else cell for cell in array.tolist()]  # noqa: PLR0124 - NaN


def write(array: NDArray[np.float64]) -> bytes:
    """Return an array in NumPy's format."""
    file = io.BytesIO()
    npy.write_array(file, array, version=(1, 0), allow_pickle=False)
    return file.getvalue()
