"""The fast path of small requests: parse the text and predict in one call of the C library.

For a quick model, several calls would take longer than the prediction.
"""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING, Any

import numpy as np

from container.inference.compiled_model import UINT64, NativePredictor, is_overridden_with
from container.inference.native.load import load

if TYPE_CHECKING:
    from container.inference.native.library import Library
    from container.runtime.typing import FloatArray

MAX_BYTES, MAX_ROWS = 2048, 16  # of a small request: a larger one gains nothing


class FastPath:
    """Predict the rows of small requests that hold plain numbers alone.

    The arrays are reused: a result is overwritten by the next call, which must not run at the same time.
    """

    def __init__(self, library: Library, predictor: NativePredictor) -> None:
        self.missing = UINT64()
        self.predictions = np.empty(MAX_ROWS)
        rows = np.empty((MAX_ROWS, predictor.features))
        # Kept, since the library has only their addresses.
        self.model, self.rows = predictor.model, rows
        predict = library.function(predictor.predict_function, releases_gil=False)
        self.before_body = ctypes.cast(predict, ctypes.c_void_p), ctypes.addressof(predictor.structure)
        addresses = ctypes.addressof(self.missing), self.predictions.ctypes.data
        self.after_body = predictor.features, rows.ctypes.data, MAX_ROWS, *addresses
        self.call = library.function("parse_and_predict", releases_gil=False)
        after: list[Any] = [UINT64, UINT64, ctypes.c_void_p, UINT64, ctypes.c_void_p, ctypes.c_void_p]
        self.call.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int, ctypes.c_char_p, *after]
        self.call.restype = ctypes.c_int64

    def predict(self, body: bytes, *, is_json: bool) -> tuple[FloatArray, int] | None:
        """Return (n,) predictions and how many values are missing, or None for a body of another kind."""
        size = len(body)
        if size > MAX_BYTES:
            return None
        count = self.call(*self.before_body, is_json, body, size, *self.after_body)
        return (self.predictions[:count], self.missing.value) if count > 0 else None


def create(model: object) -> FastPath | None:
    """Return the fast path of a compiled model that predicts one number a row, or None."""
    # A subclass that overrides how it predicts would not be asked.
    if not isinstance(model, NativePredictor) or not is_overridden_with(
        model, "returns_scores", "predict", "predict_into", "to_rows"
    ):
        return None
    return FastPath(load(), model) if model.returns_scores else None
