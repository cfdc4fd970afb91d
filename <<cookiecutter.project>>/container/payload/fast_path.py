"""A small request's text to its predictions in one call: a quick model takes less than several do."""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING, Any

import numpy as np

from container.inference import compiled_model
from container.inference.compiled_model import COUNT, Native
from container.inference.native import library

if TYPE_CHECKING:
    from container.inference.native.library import Library
    from container.runtime.typing import FloatArray

LONGEST, MOST_ROWS = 2048, 16  # bytes and rows of a small request: what is larger gains nothing


class Scorer:
    """Predict the rows of small, plain requests.

    What it returns is overwritten by its next call, which must not come at the same time.
    """

    def __init__(self, found: Library, predictor: Native) -> None:
        self.missing = COUNT()
        self.answers = np.empty(MOST_ROWS)
        rows = np.empty((MOST_ROWS, predictor.features))
        predict = ctypes.cast(getattr(found.quick, predictor.name), ctypes.c_void_p)
        places = rows.ctypes.data, MOST_ROWS, ctypes.addressof(self.missing), self.answers.ctypes.data
        self.model, self.rows = predictor.model, rows
        self.before = predict, ctypes.addressof(predictor.structure)
        self.behind = predictor.features, *places
        self.call = found.quick.score
        numbers: list[Any] = [COUNT, COUNT, ctypes.c_void_p, COUNT, ctypes.c_void_p, ctypes.c_void_p]
        self.call.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int, ctypes.c_char_p, *numbers]
        self.call.restype = ctypes.c_int64

    def score(self, body: bytes, *, is_json: bool) -> tuple[FloatArray, int] | None:
        """Return (n,) predictions and how many values are missing; None for what is not small and plain."""
        size = len(body)
        if size > LONGEST:
            return None
        count = self.call(*self.before, is_json, body, size, *self.behind)
        return (self.answers[:count], self.missing.value) if count > 0 else None


def scorer(model: object) -> Scorer | None:
    """Return what scores requests for a compiled form whose answers are one number a row; else None."""
    if not isinstance(model, Native) or not compiled_model.is_aware(
        model, "is_final", "predict", "fill", "rows"
    ):
        return None  # it predicts in its own way, and its base spoke of the base's
    return Scorer(library.load(), model) if model.is_final else None
