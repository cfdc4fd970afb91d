"""Activations that turn scores into probabilities, the same for a row alone as for a row among others."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from container.runtime.typing import FloatArray


def softmax(scores: FloatArray) -> FloatArray:
    """Return (n, classes) probabilities for (classes, n) scores, which are overwritten.

    NumPy's sum, and so scikit-learn's softmax, adds the classes of a single row in another order than those
    of many rows, and the last bits differ. Here they are always added one by one.
    """
    scores -= scores.max(axis=0)
    np.exp(scores, out=scores)
    totals = scores[0].copy()
    for row in scores[1:]:
        totals += row
    scores /= totals
    return scores.T
