"""Metrics of predictions, as plain numbers by name: scikit-learn's, without those that are undefined.

Three are computed here:
- auc, as a rank statistic (Hanley and McNeil 1982). scikit-learn's value is the same, takes 20 times as long
  for 1,000 rows, and permutation importance asks for it up to 5,000 times. For several classes scikit-learn's
  value is undefined when a class has no row.
- log_loss: scikit-learn makes a table of rows times classes, warns of 32-bit probabilities, whose sum is not
  exactly 1, and gives a perfect prediction a loss above 0.
- mape: scikit-learn divides by 2.2e-16 where a label is 0; here the metric is left out then.

The curves have the points that SageMaker's analyzer gives: at most 200, which begin otherwise than
scikit-learn's.
"""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn import metrics

from container.data.schema import Target
from container.runtime.typing import FloatArray

ERRORS = ("mae", "mse", "rmse", "mape", "log_loss")  # less is better; of every other metric more is
LEADING = ("rmse", "auc", "accuracy")  # the first one that a task has represents it where one number must
CURVE_POINTS = 200


def scores(labels: FloatArray, predicted: FloatArray, target: Target) -> dict[str, float]:
    """Return the metrics of a regression or of a classification by name, without those that are undefined.

    `labels` are (n,) numbers or class codes, `predicted` (n,) numbers or (n, classes) probabilities. Of two
    classes the second is the positive one. Of more, precision, recall and f1 are weighted by class size, and
    auc is one against the rest.
    """
    if target.classes is None:
        return _finite(regression(labels, predicted))
    codes = labels.astype(np.int64)
    found = classification(codes, predicted.argmax(axis=1), len(target.classes))
    return _finite({**found, "auc": auc(codes, predicted), "log_loss": log_loss(codes, predicted)})


def score(name: str, labels: FloatArray, predicted: FloatArray) -> float:
    """Return one metric of `LEADING` alone, which takes a fraction of the time of `scores`.

    The arrays are those of `scores`. An undefined metric is NaN.
    """
    if name == "rmse":
        return math.sqrt(metrics.mean_squared_error(labels, predicted))
    codes = labels.astype(np.int64)
    if name == "auc":
        return auc(codes, predicted)
    return float(metrics.accuracy_score(codes, predicted.argmax(axis=1)))


def regression(labels: FloatArray, predicted: FloatArray) -> dict[str, float]:
    """Return mae, mse and rmse; r2 and explained_variance where labels differ; mape where none is 0.

    Both arrays are (n,). Predictions that are not finite have no metrics.
    """
    if not np.isfinite(predicted).all():
        return {}
    mse = float(metrics.mean_squared_error(labels, predicted))
    found = {"mae": float(metrics.mean_absolute_error(labels, predicted)), "mse": mse, "rmse": math.sqrt(mse)}
    if np.var(labels) > 0:
        found["r2"] = float(metrics.r2_score(labels, predicted))
        found["explained_variance"] = float(metrics.explained_variance_score(labels, predicted))
    if labels.all():
        with np.errstate(over="ignore"):  # the quotient overflows for a label next to 0
            found["mape"] = float(np.mean(np.abs((predicted - labels) / labels)))
    return found


def confusion(labels: NDArray[np.int64], predicted: NDArray[np.int64], classes: int) -> NDArray[np.int64]:
    """Return (classes, classes) counts of how often each label (row) was predicted as each class (column).

    `labels` and `predicted` are (n,) class codes.
    """
    counts: NDArray[np.int64] = metrics.confusion_matrix(labels, predicted, labels=range(classes))
    return counts


def classification(labels: NDArray[np.int64], predicted: NDArray[np.int64], classes: int) -> dict[str, float]:
    """Return accuracy, precision, recall and f1 of (n,) class codes; a ratio with 0 below the line is 0.

    Precision, recall and f1 are those of the second of two classes, else means weighted by class size.
    """
    chosen, average = ([1], "macro") if classes == 2 else (range(classes), "weighted")  # noqa: PLR2004 - both
    precision, recall, f1, _ = metrics.precision_recall_fscore_support(
        labels, predicted, labels=chosen, average=average, zero_division=0
    )
    accuracy = float(metrics.accuracy_score(labels, predicted))
    return {"accuracy": accuracy, "precision": float(precision), "recall": float(recall), "f1": float(f1)}


def auc(labels: NDArray[np.int64], probabilities: FloatArray) -> float:
    """Return the area under the ROC curve: of the second of two classes, else the classes' weighted mean.

    `labels` are (n,) class codes, `probabilities` (n, classes). The area is NaN when all labels are of one
    class or a probability is not finite. A class without a label is left out of the mean.
    """
    counts = np.bincount(labels, minlength=probabilities.shape[1])
    if counts.max() == len(labels) or not np.isfinite(probabilities).all():
        return math.nan
    chosen = [1] if len(counts) == 2 else np.flatnonzero(counts)  # noqa: PLR2004 - two classes have one curve
    areas = [_area(labels == code, probabilities[:, code]) for code in chosen]
    return float(np.average(areas, weights=counts[chosen]))


def log_loss(labels: NDArray[np.int64], probabilities: FloatArray) -> float:
    """Return the mean negative log likelihood of (n,) class codes under (n, classes) probabilities, in nats.

    A probability below 2.2e-16 counts as that number, so that a wrong certainty has a finite loss.
    """
    likelihood = probabilities[np.arange(len(labels)), labels]
    return float(-np.mean(np.log(np.clip(likelihood, np.finfo(np.float64).eps, 1.0))))


def curves(labels: NDArray[np.int64], probabilities: FloatArray) -> dict[str, dict[str, list[float]]]:
    """Return the ROC and precision-recall curves of two classes by SageMaker's names, highest score first.

    `labels` are (n,) codes 0 and 1, `probabilities` (n, 2). A curve has at most 200 points, evenly spaced
    among those of the distinct scores, with both ends. Labels of one class have no curve.
    """
    if labels.all() or not labels.any():
        return {}
    score = probabilities[:, 1]
    false_positive, true_positive, _ = metrics.roc_curve(labels, score, drop_intermediate=False)
    precision, recall, _ = metrics.precision_recall_curve(labels, score)
    # scikit-learn gives the lowest score first and begins at precision 1; the analyzer (Spark's curve) begins
    # at the precision of the highest score.
    precision, recall = np.append(precision[:-1], precision[-2])[::-1], recall[::-1]
    return {
        "receiver_operating_characteristic_curve": {
            "false_positive_rates": _thinned(false_positive),
            "true_positive_rates": _thinned(true_positive),
        },
        "precision_recall_curve": {"precisions": _thinned(precision), "recalls": _thinned(recall)},
    }


def _area(positive: NDArray[np.bool_], score: FloatArray) -> float:
    """Return the share of pairs of a positive and a negative row in which the positive one scores higher."""
    count, others = int(positive.sum()), int((~positive).sum())
    _, group, sizes = np.unique(score, return_inverse=True, return_counts=True)
    ranks = np.cumsum(sizes) - (sizes - 1) / 2  # equal scores have the mean of their ranks
    return float((ranks[group][positive].sum() - count * (count + 1) / 2) / (count * others))


def _thinned(values: FloatArray) -> list[float]:
    chosen = np.linspace(0, len(values) - 1, min(len(values), CURVE_POINTS)).round().astype(np.int64)
    return [float(value) for value in values[chosen]]


def _finite(found: dict[str, Any]) -> dict[str, float]:
    return {name: value for name, value in found.items() if math.isfinite(value)}
