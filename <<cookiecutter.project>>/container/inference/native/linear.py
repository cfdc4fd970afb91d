"""Linear models: imputation, scaling, one-hot encoding and the weighted sum in one pass."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from container.inference.activations import softmax
from container.inference.compiled_model import CompiledModel, NativePredictor

if TYPE_CHECKING:
    from container.runtime.typing import FloatArray

KIND = "line"


def compile_model(features: int, parts: dict[str, Any], *, classifies: bool) -> CompiledModel:
    """Compile a linear model; `parts` has the arrays by the names in linear.c."""
    whole = ("numbers", "categories", "levels")
    real = ("fill", "mean", "scale", "weights", "offsets", "largest")
    arrays = {name: np.array(parts[name], dtype=np.uint64) for name in whole}
    arrays |= {name: np.ascontiguousarray(parts[name], dtype=np.float64) for name in real}
    scores, columns = arrays["weights"].shape
    outputs = max(scores, 2) if classifies else 1
    metadata = {"features": features, "outputs": outputs, "scores": scores, "columns": columns}
    counts = {"number_count": len(arrays["numbers"]), "category_count": len(arrays["categories"])}
    return CompiledModel(KIND, metadata | counts | {"classifies": classifies}, arrays)


class LinearPredictor(NativePredictor):
    """Add weighted features to an intercept, for a regression or for classes."""

    predict_function = "linear_predict"
    array_fields = (
        "numbers",
        "fill",
        "mean",
        "scale",
        "categories",
        "levels",
        "weights",
        "offsets",
        "largest",
    )
    count_fields = ("features", "number_count", "category_count", "columns", "scores")

    def check(self) -> None:
        """Check the arrays' shapes, and the features and levels that they name.

        Raises:
            ValueError: one of them does not fit.
        """
        metadata, arrays = self.metadata, self.arrays
        numbers, categories = metadata["number_count"], metadata["category_count"]
        self.check_array("numbers", "<u8", numbers)
        for name in ("fill", "mean", "scale"):
            self.check_array(name, "<f8", numbers)
        for name in ("categories", "levels"):
            self.check_array(name, "<u8", categories)
        self.check_array("weights", "<f8", metadata["scores"], metadata["columns"])
        self.check_array("offsets", "<f8", metadata["scores"])
        self.check_array("largest", "<f8", 1)
        places = np.concatenate([arrays["numbers"], arrays["categories"]])
        if (places >= self.features).any() or (arrays["levels"] > metadata["columns"]).any():
            raise ValueError("it weighs a feature that is none")
        expected = max(metadata["scores"], 2) if metadata["classifies"] else 1
        if numbers + int(arrays["levels"].sum()) != metadata["columns"] or expected != self.outputs:
            raise ValueError("its numbers are none of a line")
        if not metadata["classifies"] and metadata["scores"] != 1:
            raise ValueError("a regression has one score")

    @property
    def returns_scores(self) -> bool:
        """Return whether this is a regression, whose score is its prediction."""
        return not self.metadata["classifies"]

    def predict(self, features: FloatArray) -> FloatArray:
        """Return (n,) numbers or (n, classes) probabilities."""
        rows = self.to_rows(features)
        scores = np.empty((len(rows), self.metadata["scores"]))
        self.predict_into(rows, scores)
        return probabilities(scores) if self.metadata["classifies"] else scores[:, 0]


def probabilities(scores: FloatArray) -> FloatArray:
    """Return (n, classes) probabilities for (n, classes) scores, or for (n, 1) scores of the second class."""
    if scores.shape[1] == 1:
        return softmax(np.vstack([np.zeros(len(scores)), scores[:, 0]]))
    return softmax(scores.T.copy())
