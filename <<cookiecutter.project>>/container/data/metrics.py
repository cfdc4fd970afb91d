"""How good predictions are, as plain numbers by name."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from container.data.schema import Target

FloatArray = NDArray[np.float64]


def scores(labels: FloatArray, predicted: FloatArray, target: Target) -> dict[str, float]:
    """Return mae, mse, rmse, r2, or accuracy, precision, recall, f1, auc; what is undefined is left out.

    Labels (n,); predicted (n,) numbers or (n, classes) probabilities. Of two classes the second is the
    positive one. Of more, precision, recall and f1 are weighted by class size, auc is one against the rest.
    """
    if target.classes is None:
        return regression(labels, predicted)
    codes = labels.astype(np.int64)
    counted = confusion(codes, predicted.argmax(axis=1), len(target.classes))
    found = {**classification(counted, binary=target.task == "binary"), "auc": auc(codes, predicted)}
    return {name: value for name, value in found.items() if math.isfinite(value)}


def regression(labels: FloatArray, predicted: FloatArray) -> dict[str, float]:
    """Return mae, mse, rmse and r2; r2 is left out when the labels are all equal."""
    errors = predicted - labels
    mse = float(np.mean(errors**2))
    found = {"mae": float(np.mean(np.abs(errors))), "mse": mse, "rmse": math.sqrt(mse)}
    spread = float(np.var(labels))
    return found | ({"r2": 1 - mse / spread} if spread > 0 else {})


def confusion(labels: NDArray[np.int64], predicted: NDArray[np.int64], classes: int) -> NDArray[np.int64]:
    """Return how often each label (row) was predicted as each class (column)."""
    return np.bincount(labels * classes + predicted, minlength=classes**2).reshape(classes, classes)


def classification(counted: NDArray[np.int64], *, binary: bool) -> dict[str, float]:
    """Return accuracy, precision, recall and f1 of a confusion matrix."""
    hits, labelled, named = counted.diagonal(), counted.sum(axis=1), counted.sum(axis=0)
    precision, recall = _ratio(hits, named), _ratio(hits, labelled)
    f1 = _ratio(2 * hits, labelled + named)
    weights = np.array([0.0, 1.0]) if binary else labelled / labelled.sum()
    return {
        "accuracy": float(hits.sum() / labelled.sum()),
        "precision": float(precision @ weights),
        "recall": float(recall @ weights),
        "f1": float(f1 @ weights),
    }


def auc(labels: NDArray[np.int64], probabilities: FloatArray) -> float:
    """Return the area under the ROC curve: of the second of two classes, else the classes' weighted mean.

    NaN when the labels are all of one class. A class that no label has is left out of the mean.
    """
    classes = probabilities.shape[1]
    chosen = [1] if classes == 2 else range(classes)  # noqa: PLR2004
    areas = [(_area(labels == code, probabilities[:, code]), int((labels == code).sum())) for code in chosen]
    known = [(area, weight) for area, weight in areas if math.isfinite(area)]
    total = sum(weight for _, weight in known)
    return sum(area * weight for area, weight in known) / total if total else math.nan


def _area(positive: NDArray[np.bool_], score: FloatArray) -> float:
    count, others = int(positive.sum()), int((~positive).sum())
    if not count or not others:
        return math.nan
    _, group, sizes = np.unique(score, return_inverse=True, return_counts=True)
    ranks = np.cumsum(sizes) - (sizes - 1) / 2  # equal scores share the middle of their ranks
    return float((ranks[group][positive].sum() - count * (count + 1) / 2) / (count * others))


def _ratio(part: NDArray[Any], whole: NDArray[Any]) -> FloatArray:
    safe: FloatArray = np.where(whole > 0, whole, 1).astype(np.float64)
    return part / safe
