"""Model quality in the shape of SageMaker's model quality statistics, for the evaluation and the monitor."""

from typing import Any

import numpy as np

from container.data import metrics
from container.data.schema import Target
from container.runtime.typing import FloatArray

# SageMaker's own analyzer resamples the same way: a metric's spread is that of five random four fifths of the
# rows, and it is reported from 200 rows on.
RESAMPLES, RESAMPLED_SHARE, MIN_RESAMPLED_ROWS = 5, 0.8, 200
SECTIONS = {
    "regression": "regression_metrics",
    "binary": "binary_classification_metrics",
    "multiclass": "multiclass_classification_metrics",
}


def naive(train: FloatArray, test: FloatArray, target: Target) -> FloatArray:
    """Return the predictions of a naive model for the test rows: the training mean, or the class shares.

    `train` and `test` are labels, (m,) and (n,). The result is (n,) numbers, or (n, classes) shares.
    """
    if target.classes is None:
        return np.full(len(test), train.mean())
    counts = np.bincount(train.astype(np.int64), minlength=len(target.classes))
    return np.tile(counts / len(train), (len(test), 1))


def quality(labels: FloatArray, predicted: FloatArray, target: Target) -> dict[str, Any]:
    """Return the metrics in the shape of SageMaker's model quality statistics.

    `labels` are (n,) numbers or class codes, `predicted` (n,) numbers or (n, classes) probabilities.
    """
    spread = _spread(labels, predicted, target)
    section: dict[str, Any] = {}
    for name, value in metrics.scores(labels, predicted, target).items():
        section[_public(name, target)] = {"value": value, "standard_deviation": spread.get(name, "NaN")}
    if target.classes is not None:
        codes, chosen = labels.astype(np.int64), predicted.argmax(axis=1)
        counts = metrics.confusion(codes, chosen, len(target.classes)).tolist()
        rows = (dict(zip(target.classes, row, strict=True)) for row in counts)
        section["confusion_matrix"] = dict(zip(target.classes, rows, strict=True))
    if target.task == "binary":
        section |= metrics.curves(labels.astype(np.int64), predicted)
    return {"version": 0.0, "dataset": {"item_count": len(labels)}, SECTIONS[target.task]: section}


def _spread(labels: FloatArray, predicted: FloatArray, target: Target) -> dict[str, float]:
    """Return the standard deviation of each metric over the resamples; of no metric when rows are few."""
    if len(labels) < MIN_RESAMPLED_ROWS:
        return {}
    random = np.random.Generator(np.random.PCG64(0))
    size = int(len(labels) * RESAMPLED_SHARE)
    samples = [random.permutation(len(labels))[:size] for _ in range(RESAMPLES)]
    scores = [metrics.scores(labels[rows], predicted[rows], target) for rows in samples]
    names = [name for name in scores[0] if all(name in sample for sample in scores)]
    return {name: float(np.std([sample[name] for sample in scores])) for name in names}


def _public(name: str, target: Target) -> str:
    """Return SageMaker's name of a metric: those of several classes are weighted."""
    weighted = target.task == "multiclass" and name in {"precision", "recall", "f1"}
    return f"weighted_{name}" if weighted else name
