"""Distances between two distributions: 0 when they are the same, and at most 1 except for chi-squared.

A robust distance leaves out what chance explains when rows are few. The share of chance is that of Deequ, the
library below AWS's analyzer: three in a thousand pairs of samples of one distribution are farther apart.
"""

import math
from collections.abc import Mapping
from typing import Protocol

import numpy as np

from container.runtime.typing import FloatArray

# Times the root of (n + m) / (n m), for n and m rows, it is the critical value of the two-sample test of
# Kolmogorov and Smirnov at that share: sqrt(-ln(0.003 / 2) / 2).
_CRITICAL = 1.8
_DEVIATIONS = 2.75  # standard deviations, above which the same share of the normal distribution lies
_MIN_EXPECTED = 5.0  # rows of a category, below which it is joined to the next (Cochran's rule)
_MAX_UNSEEN = 0.5  # of the rows, where they are so few that Cochran's rule asks for more


class CategoricalDistance(Protocol):
    """Compare counted texts; `total` counts the current rows, whether their text is listed or not."""

    def __call__(
        self, baseline: Mapping[str, int], current: Mapping[str, int], total: int, *, robust: bool
    ) -> float:
        """Return the distance."""


def kolmogorov_smirnov(baseline: list[FloatArray], current: list[FloatArray], *, robust: bool) -> float:
    """Return the largest difference of two cumulative distributions, each given as a sketch's levels."""
    (values, ranks), (others, other_ranks) = _cumulate(baseline), _cumulate(current)
    points = np.union1d(values, others)
    expected = ranks[np.searchsorted(values, points, side="right")] / ranks[-1]
    observed = other_ranks[np.searchsorted(others, points, side="right")] / other_ranks[-1]
    simple = float(np.abs(expected - observed).max())
    return _robust(simple, int(ranks[-1]), int(other_ranks[-1])) if robust else simple


def l_infinity(baseline: Mapping[str, int], current: Mapping[str, int], total: int, *, robust: bool) -> float:
    """Return the largest difference of a text's share.

    Unlike in Deequ, new texts count together as well: many rare ones are as much of a drift as one.
    """
    size = sum(baseline.values())
    keys = baseline.keys() | current.keys()
    differences = (abs(current.get(key, 0) / total - baseline.get(key, 0) / size) for key in keys)
    simple = max(*differences, _new(baseline, current, total) - _unseen(baseline))
    return _robust(simple, size, total) if robust else simple


def chi_squared(
    baseline: Mapping[str, int], current: Mapping[str, int], total: int, *, robust: bool
) -> float:
    """Return the effect size of the chi-squared test, the root of its statistic a row (Cohen's w).

    The statistic itself grows with the rows and its p-value falls with the drift, so that neither can have
    a threshold. As in Deequ, rare texts are joined. Unlike in Deequ, which leaves them out, texts that the
    baseline does not have are a category of their own, of which the share above the expected one counts.
    """
    size, listed = sum(baseline.values()), sum(current.get(key, 0) for key in baseline)
    expected = min(max(_unseen(baseline) + 0.5 / size, _MIN_EXPECTED / total), _MAX_UNSEEN)
    excess = max(0.0, _new(baseline, current, total) - expected)
    new = excess**2 / (expected * (1 - expected))
    return math.sqrt(new + (_among_known(baseline, current, size, listed, robust=robust) if listed else 0.0))


def _among_known(
    baseline: Mapping[str, int], current: Mapping[str, int], size: int, listed: int, *, robust: bool
) -> float:
    """Return the statistic a row of the texts of the baseline, which `size` and `listed` rows have."""
    pairs = _join([(count / size, current.get(key, 0) / listed) for key, count in baseline.items()], listed)
    statistic = sum((share - expected) ** 2 / expected for expected, share in pairs)
    chance = _quantile(len(pairs) - 1) * (size + listed) / (size * listed) if robust else 0.0
    return max(0.0, statistic - chance)


def _new(baseline: Mapping[str, int], current: Mapping[str, int], total: int) -> float:
    """Return the share of the rows whose text the baseline does not have."""
    return 1 - sum(current.get(key, 0) for key in baseline) / total


def _unseen(baseline: Mapping[str, int]) -> float:
    """Return the expected share of new texts: that of texts that occur once in the baseline (Good, 1953)."""
    return sum(count == 1 for count in baseline.values()) / sum(baseline.values())


# By the name that constraints.json has as `categorical_drift_method`.
CATEGORICAL: Mapping[str, CategoricalDistance] = {"LInfinity": l_infinity, "ChiSquared": chi_squared}


def _cumulate(levels: list[FloatArray]) -> tuple[FloatArray, FloatArray]:
    """Return the (n,) kept numbers in order, and the (n + 1,) weights of the first 0, 1, … n of them."""
    values = np.concatenate(levels)
    weights = np.concatenate([np.full(len(level), 2.0**power) for power, level in enumerate(levels)])
    order = np.argsort(values, kind="stable")
    return values[order], np.concatenate([[0.0], np.cumsum(weights[order])])


def _robust(simple: float, size: int, other: int) -> float:
    return max(0.0, simple - _CRITICAL * math.sqrt((size + other) / (size * other)))


def _join(pairs: list[tuple[float, float]], total: int) -> list[tuple[float, float]]:
    """Join the rarest categories until enough rows are expected of each."""
    rarest_first = sorted(pairs)
    while len(rarest_first) > 1 and rarest_first[0][0] * total < _MIN_EXPECTED:
        (expected, share), (next_expected, next_share), *rest = rarest_first
        rarest_first = sorted([(expected + next_expected, share + next_share), *rest])
    return rarest_first


def _quantile(freedom: int) -> float:
    """Return the quantile of chi-squared at the same share, as Wilson and Hilferty (1931) approximate it."""
    if not freedom:
        return 0.0
    step = 2 / (9 * freedom)
    return freedom * (1 - step + _DEVIATIONS * math.sqrt(step)) ** 3
