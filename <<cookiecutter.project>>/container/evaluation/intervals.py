"""Bootstrap intervals of the metrics on the test rows, and of the difference of two models on the same rows.

The intervals are percentile intervals (Efron 1979) of 1,000 resamples. Up to 2,000 test rows a resample draws
rows; of more rows it draws blocks, to which the rows were dealt at random, so that the time hardly depends on
their number: a sum over drawn blocks varies as a sum over drawn rows does. The metrics are those of
`metrics.scores`, computed here from sums for all resamples at once. auc is not a function of sums: its
resamples are those of its linear form, the placement values of DeLong, DeLong and Clarke-Pearson (1988). Rows
that the split keeps together, copies or those of a group, are drawn together: they are not independent.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from container.data.schema import Target
from container.runtime.typing import FloatArray

RESAMPLES, MAX_BLOCKS, LEVEL = 1_000, 2_000, 0.95
MIN_DEFINED = 0.9  # fraction of the resamples in which a metric must be defined to have an interval
MIN_UNITS = 20  # for an interval: those of 10, 5 and 2 units held the true value in 91, 84 and 53 %
METHOD = {"version": 1, "method": "percentile bootstrap", "level": LEVEL, "resamples": RESAMPLES}
Interval = dict[str, Any]
Keys = NDArray[np.uint64] | None


def of_metrics(labels: FloatArray, predicted: FloatArray, target: Target, keys: Keys) -> dict[str, Interval]:
    """Return the interval of each metric: its ends "low" and "high".

    A metric that has one value in all resamples has none: such a test split shows nothing of its spread.
    The arrays are those of `metrics.scores`, and (n,) keys of the split, where they are known.
    """
    found = {name: _interval(values) for name, values in resample(labels, predicted, target, keys).items()}
    return {name: ends for name, ends in found.items() if ends and ends["low"] < ends["high"]}


def of_differences(
    measured: Mapping[str, float], labels: FloatArray, pair: list[FloatArray], target: Target, keys: Keys
) -> dict[str, Interval]:
    """Return "value" and interval of each metric of one model less that of another, on the same resamples.

    `measured` holds the differences, `pair` the predictions of both. Where "contains_zero" is true, either
    model may be the better one.
    """
    first, second = (resample(labels, predicted, target, keys) for predicted in pair)
    shared = first.keys() & second.keys()
    found = {name: _interval(first[name] - second[name]) for name in measured if name in shared}
    return {
        name: {"value": measured[name], **ends, "contains_zero": ends["low"] <= 0 <= ends["high"]}
        for name, ends in found.items()
        if ends
    }


def describe(interval: Interval) -> str:
    """Return an interval as a part of a sentence."""
    return f"{LEVEL * 100:.0f} % interval {interval['low']:.4g} to {interval['high']:.4g}"


def too_few(rows: int, keys: Keys) -> str:
    """Return how many units the rows are where they are too few, as the end of a sentence, or nothing."""
    units = rows if keys is None else len(np.unique(keys))
    noun = ("row" if units == rows else "group") + "s" * (units != 1)
    bound = "" if units == rows else " of rows that the split keeps together"
    return f"has {units} {noun}{bound}, and intervals need {MIN_UNITS}" if units < MIN_UNITS else ""


def describe_difference(name: str, interval: Interval, rows: int, few: str = "") -> str:
    """Return a sentence on the difference of a metric from the champion's, and whether it may be none."""
    apart = f"Its {name} less that of the champion on the same {rows} rows is {interval['value']:.4g}"
    if "low" not in interval:
        return f"{apart}, without an interval{few and f': the comparison {few}'}."
    zero = ", which contains zero: either may be the better one" if interval["contains_zero"] else ""
    return f"{apart}, {describe(interval)}{zero}."


def resample(labels: FloatArray, predicted: FloatArray, target: Target, keys: Keys) -> dict[str, FloatArray]:
    """Return each metric's (RESAMPLES,) values, NaN where it is undefined.

    It returns none for predictions that are not finite, or for too few units. The arrays are those of
    `of_metrics`. The draws are the same for each model on the same rows.
    """
    units = np.arange(len(labels)) if keys is None else np.unique(keys, return_inverse=True)[1]
    if not np.isfinite(predicted).all() or units.max(initial=-1) + 1 < MIN_UNITS:
        return {}
    draws = _Draws(units)
    with np.errstate(all="ignore"):
        if target.classes is None:
            return draws.regression(labels, predicted)
        return draws.classification(labels.astype(np.int64), predicted.astype(np.float64))


class _Draws:
    """Hold the block of each row, and (RESAMPLES, blocks) counts of how often a resample has a block."""

    def __init__(self, units: NDArray[np.int64]) -> None:
        """Deal units to blocks; (n,) numbers have the unit, one row or several, of each row."""
        size = int(units.max()) + 1
        random, blocks = np.random.Generator(np.random.PCG64(0)), min(size, MAX_BLOCKS)
        drawn = random.integers(blocks, size=(RESAMPLES, blocks)) + np.arange(RESAMPLES)[:, None] * blocks
        counts = np.bincount(drawn.ravel(), minlength=drawn.size).reshape(drawn.shape)
        self._block = (random.permutation(size) % blocks)[units]
        self._counts: FloatArray = counts.astype(np.float64)

    def _sum(self, values: FloatArray) -> FloatArray:
        return np.asarray(self._counts @ np.bincount(self._block, values))

    def _count(self, codes: NDArray[np.int64], classes: int, marks: FloatArray | None = None) -> FloatArray:
        """Return (RESAMPLES, classes) counts of (n,) class codes, those of the marked rows alone."""
        counted = np.bincount(self._block * classes + codes, marks, self._counts.shape[1] * classes)
        return np.asarray(self._counts @ counted.reshape(-1, classes).astype(np.float64))

    def regression(self, labels: FloatArray, predicted: FloatArray) -> dict[str, FloatArray]:
        """Return the metrics of numbers."""
        error, centred = predicted - labels, labels - labels.mean()
        rows = self._sum(np.ones(len(labels)))
        mse = self._sum(error**2) / rows
        variance = self._sum(centred**2) / rows - (self._sum(centred) / rows) ** 2
        variance[variance <= np.finfo(np.float64).eps * np.var(labels)] = np.nan
        found = {"mae": self._sum(np.abs(error)) / rows, "mse": mse, "rmse": np.sqrt(mse)}
        found["r2"] = 1 - mse / variance
        found["explained_variance"] = 1 - (mse - (self._sum(error) / rows) ** 2) / variance
        return found | ({"mape": self._sum(np.abs(error / labels)) / rows} if labels.all() else {})

    def classification(self, codes: NDArray[np.int64], predicted: FloatArray) -> dict[str, FloatArray]:
        """Return the metrics of classes."""
        classes, chosen = predicted.shape[1], predicted.argmax(axis=1)
        labelled, guessed = self._count(codes, classes), self._count(chosen, classes)
        hits, rows = self._count(codes, classes, (codes == chosen) * 1.0), labelled.sum(axis=1)
        counted, weights = list(range(classes)), labelled
        if classes == 2:  # noqa: PLR2004 - of two classes the second counts
            counted, weights = [1], np.array([[0.0, 1.0]])
        each = [self._area(codes == code, predicted[:, code], labelled[:, code]) for code in counted]
        areas = np.stack(each, 1)
        auc = each[0] if len(each) == 1 else _mean(np.nan_to_num(areas), np.isfinite(areas) * labelled)
        likelihood = np.clip(predicted[np.arange(len(codes)), codes], np.finfo(np.float64).eps, 1.0)
        return {
            "accuracy": hits.sum(axis=1) / rows,
            "precision": _mean(np.nan_to_num(hits / guessed), weights),
            "recall": _mean(np.nan_to_num(hits / labelled), weights),
            "f1": _mean(np.nan_to_num(2 * hits / (guessed + labelled)), weights),
            "auc": auc,
            "log_loss": self._sum(-np.log(likelihood)) / rows,
        }

    def _area(self, positive: NDArray[np.bool_], score: FloatArray, labelled: FloatArray) -> FloatArray:
        """Return (RESAMPLES,) areas under the ROC curve, from the share of rows that each is ranked above."""
        _, group = np.unique(score, return_inverse=True)
        inside, outside = (np.bincount(group, marks, group.max() + 1) for marks in (positive, ~positive))
        # A row with an equal score counts half.
        below, below_others = (np.cumsum(counts) - counts / 2 for counts in (inside, outside))
        beaten = np.where(positive, below_others[group] / outside.sum(), 1 - below[group] / inside.sum())
        others = self._sum(np.ones(len(score))) - labelled
        areas = self._sum(beaten * positive) / labelled + self._sum(beaten * ~positive) / others
        return np.asarray(np.clip(areas - (beaten @ positive) / inside.sum(), 0.0, 1.0))


def _mean(values: FloatArray, weights: FloatArray) -> FloatArray:
    """Return the weighted means over classes."""
    return np.asarray((values * weights).sum(axis=1) / weights.sum(axis=1))


def _interval(values: FloatArray) -> Interval:
    """Return the ends; none where the metric is undefined in too many resamples."""
    defined = values[np.isfinite(values)]
    if len(defined) < MIN_DEFINED * len(values):
        return {}
    low, high = np.quantile(defined, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return {"low": float(low), "high": float(high)}
