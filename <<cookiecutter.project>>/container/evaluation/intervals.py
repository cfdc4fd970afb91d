"""Bootstrap intervals of the metrics on the test rows, and of the difference of two models on the same rows.

The intervals are percentile intervals (Efron 1979) of 1,000 resamples. Up to 2,000 test rows a resample draws
rows; of more rows it draws blocks, to which the rows were dealt at random, so that the time hardly depends on
their number: a sum over drawn blocks varies as a sum over drawn rows does. The metrics are those of
`metrics.scores`, computed here from sums for all resamples at once. auc is no function of sums: its resamples
are those of its linear form, the placement values of DeLong, DeLong and Clarke-Pearson (1988).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from container.data.schema import Target
from container.runtime.typing import FloatArray

VERSION = 1
RESAMPLES, MAX_BLOCKS = 1_000, 2_000
LEVEL = 0.95
MIN_DEFINED = 0.9  # fraction of the resamples in which a metric must be defined to have an interval
METHOD: dict[str, Any] = {
    "version": VERSION,
    "method": "percentile bootstrap",
    "level": LEVEL,
    "resamples": RESAMPLES,
}
Interval = dict[str, Any]


@dataclass(frozen=True)
class Resamples:
    """Hold the draws for a number of rows, which are the same for each model on these rows."""

    rows: int

    @cached_property
    def _blocks(self) -> NDArray[np.int64]:
        """Return the block of each row."""
        return np.random.Generator(np.random.PCG64(0)).permutation(self.rows) % min(self.rows, MAX_BLOCKS)

    @cached_property
    def _counts(self) -> FloatArray:
        """Return (RESAMPLES, blocks) counts of how often a resample has a block."""
        blocks = min(self.rows, MAX_BLOCKS)
        drawn = np.random.Generator(np.random.PCG64(1)).integers(blocks, size=(RESAMPLES, blocks))
        drawn += np.arange(RESAMPLES)[:, np.newaxis] * blocks
        counts = np.bincount(drawn.ravel(), minlength=RESAMPLES * blocks)
        return counts.reshape(RESAMPLES, blocks).astype(np.float64)

    def sums(self, values: FloatArray) -> FloatArray:
        """Return (RESAMPLES,) sums of (n,) values."""
        return np.asarray(self._counts @ np.bincount(self._blocks, values))

    def counts(self, codes: NDArray[np.int64], classes: int, among: NDArray[np.bool_]) -> FloatArray:
        """Return (RESAMPLES, classes) counts of (n,) class codes among marked rows."""
        cells = self._blocks[among] * classes + codes[among]
        counted = np.bincount(cells, minlength=self._counts.shape[1] * classes)
        return np.asarray(self._counts @ counted.reshape(-1, classes).astype(np.float64))

    def scores(self, labels: FloatArray, predicted: FloatArray, target: Target) -> dict[str, FloatArray]:
        """Return each metric's (RESAMPLES,) values, NaN where it is undefined.

        `labels` are (n,) numbers or class codes, `predicted` (n,) numbers or (n, classes) probabilities.
        """
        with np.errstate(all="ignore"):
            if target.classes is None:
                return self._regression(labels, predicted)
            return self._classification(labels.astype(np.int64), predicted)

    def _regression(self, labels: FloatArray, predicted: FloatArray) -> dict[str, FloatArray]:
        error, centred = predicted - labels, labels - labels.mean()
        rows = self.sums(np.ones(len(labels)))
        mse = self.sums(error**2) / rows
        variance = self.sums(centred**2) / rows - (self.sums(centred) / rows) ** 2
        variance[variance <= np.finfo(np.float64).eps * np.var(labels)] = np.nan
        found = {"mae": self.sums(np.abs(error)) / rows, "mse": mse, "rmse": np.sqrt(mse)}
        found["r2"] = 1 - mse / variance
        found["explained_variance"] = 1 - (mse - (self.sums(error) / rows) ** 2) / variance
        if labels.all():
            found["mape"] = self.sums(np.abs(error / labels)) / rows
        return found

    def _classification(self, codes: NDArray[np.int64], predicted: FloatArray) -> dict[str, FloatArray]:
        classes, chosen = predicted.shape[1], predicted.argmax(axis=1)
        everywhere = np.ones(len(codes), dtype=np.bool_)
        labelled, guessed = (self.counts(each, classes, everywhere) for each in (codes, chosen))
        hits = self.counts(codes, classes, codes == chosen)
        rows = labelled.sum(axis=1)
        weights = labelled if classes > 2 else np.eye(2)[[1]]  # noqa: PLR2004 - of two classes the second counts
        likelihood = predicted[np.arange(len(codes)), codes]
        losses = -np.log(np.clip(likelihood, np.finfo(np.float64).eps, 1.0))
        return {
            "accuracy": hits.sum(axis=1) / rows,
            "precision": _mean(hits / guessed, weights),
            "recall": _mean(hits / labelled, weights),
            "f1": _mean(2 * hits / (guessed + labelled), weights),
            "auc": self._auc(codes, predicted, labelled),
            "log_loss": self.sums(losses.astype(np.float64)) / rows,
        }

    def _auc(self, codes: NDArray[np.int64], predicted: FloatArray, labelled: FloatArray) -> FloatArray:
        classes = labelled.shape[1]
        present = [1] if classes == 2 else np.unique(codes)  # noqa: PLR2004 - two classes have one curve
        areas = [self._area(codes == code, predicted[:, code], labelled[:, code]) for code in present]
        known = np.where(np.isfinite(areas), labelled[:, present].T, 0.0)
        return np.asarray((np.nan_to_num(areas) * known).sum(axis=0) / known.sum(axis=0))

    def _area(self, positive: NDArray[np.bool_], score: FloatArray, labelled: FloatArray) -> FloatArray:
        _, group = np.unique(score, return_inverse=True)
        inside, outside = (
            np.bincount(group[marks], minlength=group.max() + 1) for marks in (positive, ~positive)
        )
        below = np.where(positive, _share_below(outside)[group], 1 - _share_below(inside)[group])
        area = below[positive].mean() if positive.any() else np.nan
        others = self.sums(np.ones(len(score))) - labelled
        mean = self.sums(below * positive) / labelled + self.sums(below * ~positive) / others - area
        return np.asarray(np.clip(mean, 0.0, 1.0))


def of_metrics(
    measured: Mapping[str, float], labels: FloatArray, predicted: FloatArray, target: Target
) -> dict[str, Interval]:
    """Return the interval of each measured metric: its ends "low" and "high".

    A metric that has one value in all resamples has none: such a test split shows nothing of its spread.
    The arrays are those of `Resamples.scores`.
    """
    scores = Resamples(len(labels)).scores(labels, predicted, target)
    found = {name: _interval(scores[name]) for name in measured}
    return {name: ends for name, ends in found.items() if ends and ends["low"] < ends["high"]}


def of_differences(
    measured: Mapping[str, float], labels: FloatArray, ours: FloatArray, theirs: FloatArray, target: Target
) -> dict[str, Interval]:
    """Return the interval of each metric of `ours` less that of `theirs`, on the same resampled rows.

    `measured` are the differences on the rows themselves, which become "value". "contains_zero" tells that
    either model may be the better one.
    """
    draws = Resamples(len(labels))
    first, second = (draws.scores(labels, predicted, target) for predicted in (ours, theirs))
    found = {name: _interval(first[name] - second[name]) for name in measured}
    return {
        name: {"value": measured[name], **ends, "contains_zero": ends["low"] <= 0 <= ends["high"]}
        for name, ends in found.items()
        if ends
    }


def describe(interval: Interval) -> str:
    """Return an interval as a part of a sentence."""
    return f"{LEVEL * 100:.0f} % interval {interval['low']:.4g} to {interval['high']:.4g}"


def describe_difference(name: str, interval: Interval) -> str:
    """Return a sentence on the difference of a metric from the champion's, and whether it may be none."""
    zero = ", which contains zero: either may be the better one" if interval["contains_zero"] else ""
    value = f"{interval['value']:.4g}"
    return f"Its {name} less that of the champion on the same rows is {value}, {describe(interval)}{zero}."


def _interval(values: FloatArray) -> Interval:
    """Return the ends; none where the metric is undefined in too many resamples."""
    defined = values[np.isfinite(values)]
    if len(defined) < MIN_DEFINED * len(values):
        return {}
    low, high = np.quantile(defined, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return {"low": float(low), "high": float(high)}


def _mean(values: FloatArray, weights: FloatArray) -> FloatArray:
    """Return the weighted mean over classes; a ratio with 0 below the line is 0."""
    return np.asarray((np.nan_to_num(values) * weights).sum(axis=1) / weights.sum(axis=1))


def _share_below(counts: NDArray[np.int64]) -> FloatArray:
    """Return for each of the ascending scores the share of counted rows below it; equal ones count half."""
    return np.asarray((np.cumsum(counts) - counts / 2) / counts.sum())
