"""Support vector machines over histograms of oriented gradients (HOG): kernels, then matrix products."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from container.images import hog
from container.inference.compiled_model import HOG_SVM, CompiledModel, CompiledPredictor
from container.inference.native.linear import probabilities

if TYPE_CHECKING:
    from container.inference.native.tensor_file import Arrays
    from container.runtime.typing import FloatArray

CHANNELS = 3
SHAPE, COLOUR = "shape", "colour"
SUPPORTS = (SHAPE, f"{SHAPE}_self", COLOUR, f"{COLOUR}_self")


def compile_model(side: int, arrays: Arrays) -> CompiledModel:
    """Compile a support vector machine for images of side x side pixels, from the arrays of `predict`."""
    logits, scores = arrays["weights"].shape
    metadata = {"features": side * side * CHANNELS, "outputs": max(logits, 2), "side": side}
    counts = {"supports": len(arrays["shape"]), "scores": scores, "logits": logits}
    doubles = {name: np.asarray(array, np.float64) for name, array in arrays.items()}
    return CompiledModel(HOG_SVM, metadata | counts, doubles)


class HogSvmPredictor(CompiledPredictor):
    """Compute the kernel between an image and the support vectors, and the scores from it."""

    count_fields = ("side", "supports", "scores", "logits")

    def check(self) -> None:
        """Check the shapes of the arrays.

        Raises:
            ValueError: one of them does not fit.
        """
        metadata = self.metadata
        supports, scores, logits = metadata["supports"], metadata["scores"], metadata["logits"]
        for name, width in ((SHAPE, hog.SHAPE), (COLOUR, hog.COLOUR)):
            self.check_array(name, "<f8", supports, width)
            self.check_array(f"{name}_self", "<f8", supports)
        self.check_array("gamma", "<f8", 2)
        self.check_array("settings", "<f8", 2)
        self.check_array("coefficients", "<f8", supports, scores)
        self.check_array("offsets", "<f8", scores)
        self.check_array("weights", "<f8", logits, scores)
        self.check_array("intercepts", "<f8", logits)
        side = metadata["side"]
        fits = self.features == side * side * CHANNELS and side % 8 == 0 and self.outputs == max(logits, 2)
        if not fits or self.arrays["settings"][1] not in {1, 2}:
            raise ValueError("its numbers are none of a machine")

    def predict(self, features: FloatArray) -> FloatArray:
        """Return (n, classes) probabilities."""
        return predict(features, self.metadata["side"], self.arrays)


def predict(features: FloatArray, side: int, arrays: Arrays) -> FloatArray:
    """Return (n, classes) probabilities for (n, side * side * 3) bytes.

    Images are computed one by one, since a matrix product rounds a row among others differently than alone.
    """
    logits = np.empty((len(features), len(arrays["intercepts"])))
    for index, image in enumerate(np.asarray(features, dtype=np.uint8)):
        scores = _similarity(image, side, arrays) @ arrays["coefficients"] + arrays["offsets"]
        logits[index] = arrays["weights"] @ scores + arrays["intercepts"]
    return probabilities(logits)


def _similarity(image: Any, side: int, arrays: Arrays) -> FloatArray:
    """Return (supports,) similarities of an image to the support vectors, in shape and colour together.

    A kernel is the mean over the image's views (shifted and mirrored), divided by the geometric mean of both
    images' kernels with themselves, so that an image has the similarity 1 to itself.
    """
    similarities = []
    colour_share, mirrors = arrays["settings"]
    for name, views, gamma in zip(
        (SHAPE, COLOUR), hog.describe(image[np.newaxis], side), arrays["gamma"], strict=True
    ):
        used = views[0, : views.shape[1] * int(mirrors) // hog.MIRRORS]
        to_supports = kernel(used, arrays[name], gamma).mean(axis=0)
        to_itself = kernel(used, used[:1], gamma).mean()
        similarities.append(to_supports / np.sqrt(to_itself * arrays[f"{name}_self"]))
    mixed: FloatArray = (1 - colour_share) * similarities[0] + colour_share * similarities[1]
    return mixed


def kernel(left: FloatArray, right: FloatArray, gamma: float) -> FloatArray:
    """Return (l, r): exp(-gamma · squared distance) of (l, d) and (r, d)."""
    squares = (left**2).sum(axis=1)[:, np.newaxis] + (right**2).sum(axis=1)
    similarities: FloatArray = np.exp(-gamma * np.maximum(squares - 2 * left @ right.T, 0))
    return similarities
