"""From scores to probabilities, for both forms of a model: a row alone gets the same as among others."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from container.runtime.typing import FloatArray


def softmax(scores: FloatArray) -> FloatArray:
    """Return (n, classes) probabilities for (classes, n) scores, which it overwrites.

    NumPy's sum, and so scikit-learn's softmax, adds a row's classes in another order when it is alone.
    """
    scores -= scores.max(axis=0)
    np.exp(scores, out=scores)
    totals = scores[0].copy()
    for each in scores[1:]:
        totals += each
    scores /= totals
    return scores.T
