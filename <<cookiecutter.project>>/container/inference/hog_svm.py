"""Support vector machines over oriented gradients: a kernel of views, and products of matrices."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from container.images import hog
from container.inference.compiled_model import Form, Predictor
from container.inference.native.linear import probabilities

if TYPE_CHECKING:
    from container.inference.native.tensor_file import Arrays
    from container.runtime.typing import FloatArray

KIND = "gradients"
SHAPE, COLOUR = "shape", "colour"
SUPPORTS = (SHAPE, f"{SHAPE}_self", COLOUR, f"{COLOUR}_self")


def make(side: int, arrays: Arrays) -> Form:
    """Return the form of a machine: the arrays that `answers` takes."""
    logits, scores = arrays["weights"].shape
    facts = {"features": side * side * 3, "outputs": max(logits, 2), "side": side}
    counts = {"supports": len(arrays["shape"]), "scores": scores, "logits": logits}
    return Form(KIND, facts | counts, {name: np.asarray(array, np.float64) for name, array in arrays.items()})


class Gradients(Predictor):
    """Hold a picture against those that the machine has kept."""

    numbers = ("side", "supports", "scores", "logits")

    def check(self) -> None:
        """Refuse arrays that do not fit one another."""
        facts = self.facts
        supports, scores, logits = facts["supports"], facts["scores"], facts["logits"]
        for name, width in ((SHAPE, hog.SHAPE), (COLOUR, hog.COLOUR)):
            self.expect(name, "<f8", supports, width)
            self.expect(f"{name}_self", "<f8", supports)
        self.expect("gamma", "<f8", 2)
        self.expect("settings", "<f8", 2)
        self.expect("coefficients", "<f8", supports, scores)
        self.expect("offsets", "<f8", scores)
        self.expect("weights", "<f8", logits, scores)
        self.expect("intercepts", "<f8", logits)
        side = facts["side"]
        whole = self.features == side * side * 3 and side % 8 == 0 and self.outputs == max(logits, 2)
        if not whole or self.arrays["settings"][1] not in {1, 2}:
            raise ValueError("its numbers are none of a machine")

    def predict(self, features: FloatArray) -> FloatArray:
        """Return (n, classes) probabilities."""
        return answers(features, self.facts["side"], self.arrays)


def answers(features: FloatArray, side: int, arrays: Arrays) -> FloatArray:
    """Return (n, classes) probabilities for (n, side * side * 3) bytes.

    One picture after another, since a product of matrices rounds a row differently among others than alone.
    """
    logits = np.empty((len(features), len(arrays["intercepts"])))
    for place, picture in enumerate(np.asarray(features, dtype=np.uint8)):
        likeness = _likeness(picture, side, arrays)
        scores = likeness @ arrays["coefficients"] + arrays["offsets"]
        logits[place] = arrays["weights"] @ scores + arrays["intercepts"]
    return probabilities(logits)


def _likeness(picture: Any, side: int, arrays: Arrays) -> FloatArray:
    """Return (supports,): how alike a picture and each that was kept are in shape and colour."""
    found = []
    share, mirrors = arrays["settings"]
    for name, views, gamma in zip(
        (SHAPE, COLOUR), hog.describe(picture[np.newaxis], side), arrays["gamma"], strict=True
    ):
        own = views[0, : views.shape[1] * int(mirrors) // hog.MIRRORS]
        alike = kernel(own, arrays[name], gamma).mean(axis=0)
        itself = kernel(own, own[:1], gamma).mean()
        found.append(alike / np.sqrt(itself * arrays[f"{name}_self"]))
    mixed: FloatArray = (1 - share) * found[0] + share * found[1]
    return mixed


def kernel(left: FloatArray, right: FloatArray, gamma: float) -> FloatArray:
    """Return (l, r): exp(-gamma · squared distance) of (l, d) and (r, d)."""
    squares = (left**2).sum(axis=1)[:, np.newaxis] + (right**2).sum(axis=1)
    alike: FloatArray = np.exp(-gamma * np.maximum(squares - 2 * left @ right.T, 0))
    return alike
