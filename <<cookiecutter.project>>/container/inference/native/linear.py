"""Linear models: filling, scaling, weighing and adding in one go."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from container.inference.activations import softmax
from container.inference.compiled_model import Form, Native

if TYPE_CHECKING:
    from container.runtime.typing import FloatArray

KIND = "line"


def make(features: int, parts: dict[str, Any], *, classifies: bool) -> Form:
    """Return the form of a line: the arrays that lines.c names."""
    whole = ("numbers", "categories", "levels")
    real = ("fill", "mean", "scale", "weights", "offsets", "largest")
    arrays = {name: np.array(parts[name], dtype=np.uint64) for name in whole}
    arrays |= {name: np.ascontiguousarray(parts[name], dtype=np.float64) for name in real}
    scores, columns = arrays["weights"].shape
    outputs = max(scores, 2) if classifies else 1
    facts = {"features": features, "outputs": outputs, "scores": scores, "columns": columns}
    counts = {"number_count": len(arrays["numbers"]), "category_count": len(arrays["categories"])}
    return Form(KIND, facts | counts | {"classifies": classifies}, arrays)


class Line(Native):
    """Weigh inputs, for a regression or for classes."""

    name = "line_predict"
    pointers = ("numbers", "fill", "mean", "scale", "categories", "levels", "weights", "offsets", "largest")
    numbers = ("features", "number_count", "category_count", "columns", "scores")

    def check(self) -> None:
        """Refuse arrays that do not fit one another, and features that are none."""
        facts, arrays = self.facts, self.arrays
        numbers, categories = facts["number_count"], facts["category_count"]
        self.expect("numbers", "<u8", numbers)
        for name in ("fill", "mean", "scale"):
            self.expect(name, "<f8", numbers)
        for name in ("categories", "levels"):
            self.expect(name, "<u8", categories)
        self.expect("weights", "<f8", facts["scores"], facts["columns"])
        self.expect("offsets", "<f8", facts["scores"])
        self.expect("largest", "<f8", 1)
        places = np.concatenate([arrays["numbers"], arrays["categories"]])
        if (places >= self.features).any() or (arrays["levels"] > facts["columns"]).any():
            raise ValueError("it weighs a feature that is none")
        expected = max(facts["scores"], 2) if facts["classifies"] else 1
        if numbers + int(arrays["levels"].sum()) != facts["columns"] or expected != self.outputs:
            raise ValueError("its numbers are none of a line")
        if not facts["classifies"] and facts["scores"] != 1:
            raise ValueError("a regression has one score")

    @property
    def is_final(self) -> bool:
        """Tell whether this is a regression."""
        return not self.facts["classifies"]

    def predict(self, features: FloatArray) -> FloatArray:
        """Return (n,) numbers or (n, classes) probabilities."""
        rows = self.rows(features)
        scores = np.empty((len(rows), self.facts["scores"]))
        self.fill(rows, scores)
        return probabilities(scores) if self.facts["classifies"] else scores[:, 0]


def probabilities(scores: FloatArray) -> FloatArray:
    """Return (n, classes) for (n, classes) scores, or for those of the second of two classes alone."""
    if scores.shape[1] == 1:
        return softmax(np.vstack([np.zeros(len(scores)), scores[:, 0]]))
    return softmax(scores.T.copy())
