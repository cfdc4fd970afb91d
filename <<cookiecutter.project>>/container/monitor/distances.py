"""How far two distributions are apart: 0 when they are the same, and 1 at most but for chi-squared.

Robust distances leave out what chance does to few rows. Its share is that of Deequ, the library beneath AWS's
analyzer: three in a thousand pairs of samples of one distribution are farther apart.
"""

import math
from collections.abc import Mapping

import numpy as np

from container.runtime.typing import FloatArray

_CHANCE = (
    1.8  # of the largest difference, times the root of both sizes' harmonic sum (Kolmogorov and Smirnov)
)
_DEVIATIONS = 2.75  # the same share of the normal distribution lies above so many deviations
_FEW = 5.0  # a category is joined to the next when so few are expected of it


def numerical(baseline: list[FloatArray], current: list[FloatArray], *, robust: bool) -> float:
    """Return the largest difference of two cumulative distributions, each given as a sketch's levels."""
    (values, ranks), (others, other_ranks) = _cumulated(baseline), _cumulated(current)
    points = np.union1d(values, others)
    here = ranks[np.searchsorted(values, points, side="right")] / ranks[-1]
    there = other_ranks[np.searchsorted(others, points, side="right")] / other_ranks[-1]
    simple = float(np.abs(here - there).max())
    return _robust(simple, int(ranks[-1]), int(other_ranks[-1])) if robust else simple


def categorical(
    baseline: Mapping[str, int], current: Mapping[str, int], total: int, *, robust: bool
) -> float:
    """Return the largest difference of a text's share; `total` counts the current texts, listed or not."""
    size = sum(baseline.values())
    keys = baseline.keys() | current.keys()
    simple = max(abs(current.get(key, 0) / total - baseline.get(key, 0) / size) for key in keys)
    return _robust(simple, size, total) if robust else simple


def chi_squared(baseline: Mapping[str, int], current: Mapping[str, int], *, robust: bool) -> float:
    """Return the effect size of the chi-squared test, the root of its statistic a row (Cohen's w).

    The statistic itself grows with the rows and its p-value falls with the drift, so that neither can be held
    to a threshold. As in Deequ, texts that the baseline does not have are left out, and rare ones are joined.
    """
    size, total = sum(baseline.values()), sum(current.get(key, 0) for key in baseline)
    if not total:
        return 0.0
    pairs = _joined([(count / size, current.get(key, 0) / total) for key, count in baseline.items()], total)
    spread = sum((share - expected) ** 2 / expected for expected, share in pairs)
    chance = _quantile(len(pairs) - 1) * (size + total) / (size * total) if robust else 0.0
    return math.sqrt(max(0.0, spread - chance))


def _cumulated(levels: list[FloatArray]) -> tuple[FloatArray, FloatArray]:
    """Return the kept numbers in order, and how many numbers are none, the first, the first two … of them."""
    values = np.concatenate(levels)
    weights = np.concatenate([np.full(len(level), 2.0**power) for power, level in enumerate(levels)])
    order = np.argsort(values, kind="stable")
    return values[order], np.concatenate([[0.0], np.cumsum(weights[order])])


def _robust(simple: float, size: int, other: int) -> float:
    return max(0.0, simple - _CHANCE * math.sqrt((size + other) / (size * other)))


def _joined(pairs: list[tuple[float, float]], total: int) -> list[tuple[float, float]]:
    """Join the rarest categories until enough rows are expected of each."""
    rarest_first = sorted(pairs)
    while len(rarest_first) > 1 and rarest_first[0][0] * total < _FEW:
        (one, here), (two, there), *rest = rarest_first
        rarest_first = sorted([(one + two, here + there), *rest])
    return rarest_first


def _quantile(freedom: int) -> float:
    """Return what the chi-squared statistic exceeds by chance as rarely (Wilson and Hilferty)."""
    if not freedom:
        return 0.0
    step = 2 / (9 * freedom)
    return freedom * (1 - step + _DEVIATIONS * math.sqrt(step)) ** 3
