"""Sketches keep ranks and numbers of different values within their errors, alone and merged."""

import numpy as np
import pytest

from container.monitor.sketch import SIZE, Distinct, HashArray, Quantiles, ranks
from container.runtime.typing import FloatArray

# The library's bound for this size holds in 99 of 100 cases; three times it in all that a test will see.
RANK_ERROR = 3 * 0.00074


def sketched(*parts: FloatArray) -> Quantiles:
    whole = Quantiles()
    for part in parts:
        quantiles = Quantiles()
        quantiles.update(part)
        whole.merge(quantiles)
    return whole


def test_numbers_up_to_the_size_are_all_kept_in_their_order() -> None:
    """The analyzer's file has them in this form."""
    values = np.random.default_rng(1).normal(size=SIZE)
    quantiles = Quantiles()
    quantiles.update(values)
    (only,) = quantiles.levels()
    assert only.tolist() == values.tolist()


def test_empty_and_single_numbers_are_kept_too() -> None:
    """A part of a table may have none, or one."""
    assert sketched(np.empty(0)).levels() == []
    assert [level.tolist() for level in sketched(np.array([7.5])).levels()] == [[7.5]]


@pytest.mark.parametrize("parts", [1, 7])
@pytest.mark.parametrize("shape", ["normal", "skewed", "sorted", "few"])
def test_ranks_beyond_the_size_are_nearly_right(shape: str, parts: int) -> None:
    """The error is bounded for any numbers, and any number of instances."""
    generator = np.random.default_rng(2)
    values = {
        "normal": generator.normal(size=100_000),
        "skewed": generator.lognormal(sigma=3, size=100_000),
        "sorted": np.arange(100_000.0),
        "few": generator.integers(0, 9, size=100_000).astype(float),
    }[shape]
    quantiles = sketched(*np.array_split(values, parts))
    points = np.quantile(values, np.linspace(0, 1, 51))
    true = np.searchsorted(np.sort(values), points)
    levels = quantiles.levels()
    found = ranks(levels, points)
    assert np.abs(found - true).max() <= RANK_ERROR * len(values)
    assert sum(len(level) * 2**power for power, level in enumerate(levels)) == len(values)
    assert sum(map(len, levels)) <= 4 * SIZE


def hashes(count: int, seed: int = 3) -> HashArray:
    return np.random.default_rng(seed).integers(0, 2**64, size=count, dtype=np.uint64)


def test_few_different_values_are_counted_exactly() -> None:
    """Repetitions count once."""
    distinct = Distinct()
    for _ in range(3):
        distinct.update(hashes(4000))
    assert distinct.estimate() == 4000
    assert Distinct().estimate() == 0


@pytest.mark.parametrize("count", [5_000, 300_000])
def test_many_different_values_are_counted_within_the_sketchs_error(count: int) -> None:
    """An error of five standard errors occurs once in a million."""
    distinct = Distinct()
    distinct.update(hashes(count))
    assert distinct.estimate() == pytest.approx(count, rel=5 / 64)


def test_merged_counts_equal_those_of_the_whole() -> None:
    """Values that two parts share count once."""
    first, second, whole = Distinct(), Distinct(), Distinct()
    first.update(hashes(20_000, seed=1))
    second.update(hashes(20_000, seed=1)[:10_000])
    second.update(hashes(20_000, seed=2))
    whole.update(np.concatenate([hashes(20_000, seed=1), hashes(20_000, seed=2)]))
    second.merge(first)
    assert second.estimate() == whole.estimate()
