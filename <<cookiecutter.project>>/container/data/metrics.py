"""How good predictions are, as plain numbers by name."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from container.data.schema import Target
from container.runtime.typing import FloatArray

ERRORS = ("mae", "mse", "rmse", "mape", "log_loss")  # the less, the better; of all others the more
LEADING = ("rmse", "auc", "accuracy")  # the first of them that there is stands for a model where one must
CURVE_POINTS = 200


def scores(labels: FloatArray, predicted: FloatArray, target: Target) -> dict[str, float]:
    """Return a regression's errors and shares explained, or how well classes are told apart, by name.

    Labels (n,); predicted (n,) numbers or (n, classes) probabilities. Of two classes the second is the
    positive one. Of more, precision, recall and f1 are weighted by class size, auc is one against the rest.
    What is undefined is left out.
    """
    if target.classes is None:
        return _finite(regression(labels, predicted))
    codes = labels.astype(np.int64)
    counted = confusion(codes, predicted.argmax(axis=1), len(target.classes))
    found = classification(counted, binary=target.task == "binary")
    return _finite({**found, "auc": auc(codes, predicted), "log_loss": log_loss(codes, predicted)})


def regression(labels: FloatArray, predicted: FloatArray) -> dict[str, float]:
    """Return mae, mse and rmse; r2 and explained_variance where labels differ; mape where none is 0."""
    errors = predicted - labels
    mse = float(np.mean(errors**2))
    found = {"mae": float(np.mean(np.abs(errors))), "mse": mse, "rmse": math.sqrt(mse)}
    spread = float(np.var(labels))
    if spread > 0:
        found |= {"r2": 1 - mse / spread, "explained_variance": 1 - float(np.var(errors)) / spread}
    if labels.all():
        with np.errstate(over="ignore"):  # a label may be next to nothing
            found["mape"] = float(np.mean(np.abs(errors / labels)))
    return found


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


def log_loss(labels: NDArray[np.int64], probabilities: FloatArray) -> float:
    """Return the mean surprise at the labels, in nats; nothing is held for quite impossible."""
    given = probabilities[np.arange(len(labels)), labels]
    return float(-np.mean(np.log(np.clip(given, np.finfo(np.float64).eps, 1.0))))


def curves(labels: NDArray[np.int64], probabilities: FloatArray) -> dict[str, dict[str, list[float]]]:
    """Return the ROC and precision-recall curves of two classes by SageMaker's names, from sure to unsure.

    Each has at most 200 points, evenly spaced among those that the rows give, the ends among them.
    There are none when the labels are all of one class.
    """
    positive, score = labels == 1, probabilities[:, 1]
    order = np.argsort(-score, kind="stable")
    last = np.flatnonzero(np.append(np.diff(score[order]) != 0, [True]))  # of the rows of an equal score
    named, hits = last + 1, np.cumsum(positive[order])[last]
    count, others = hits[-1], named[-1] - hits[-1]
    if not count or not others:
        return {}
    recall, missed, precision = hits / count, (named - hits) / others, hits / named
    return {
        "receiver_operating_characteristic_curve": {
            "false_positive_rates": _thinned(missed, before=0.0),
            "true_positive_rates": _thinned(recall, before=0.0),
        },
        "precision_recall_curve": {
            "precisions": _thinned(precision, before=precision[0]),
            "recalls": _thinned(recall, before=0.0),
        },
    }


def _thinned(values: FloatArray, before: float) -> list[float]:
    points = np.concatenate([[before], values])
    chosen = np.linspace(0, len(points) - 1, min(len(points), CURVE_POINTS)).round().astype(np.int64)
    return [float(value) for value in points[chosen]]


def _finite(found: dict[str, float]) -> dict[str, float]:
    return {name: value for name, value in found.items() if math.isfinite(value)}


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
