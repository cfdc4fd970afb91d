"""Distances are those of Deequ: exact where nothing is sketched, and without chance where they are robust."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from container.monitor.distances import chi_squared, kolmogorov_smirnov, l_infinity
from container.monitor.sketch import Quantiles
from container.runtime.typing import FloatArray

numbers = st.lists(st.integers(-5, 5).map(float), min_size=1, max_size=30)
counts = st.dictionaries(st.sampled_from("abcdef"), st.integers(1, 50), min_size=1)


def sketched(values: FloatArray) -> list[FloatArray]:
    quantiles = Quantiles()
    quantiles.update(values)
    return quantiles.levels()


def largest_difference(one: list[float], other: list[float]) -> float:
    """Compare the shares of numbers up to each point, one by one."""
    points = {*one, *other}
    return max(
        abs(sum(x <= p for x in one) / len(one) - sum(x <= p for x in other) / len(other)) for p in points
    )


@given(numbers, numbers)
def test_numerical_distance_is_the_largest_difference_of_the_distributions(
    one: list[float], other: list[float]
) -> None:
    """It does not matter which of the two is the baseline."""
    found = kolmogorov_smirnov([np.array(one)], [np.array(other)], robust=False)
    assert found == pytest.approx(largest_difference(one, other))
    assert found == kolmogorov_smirnov([np.array(other)], [np.array(one)], robust=False)


def test_items_of_higher_levels_count_more() -> None:
    """An item of level i counts as 2^i numbers."""
    levels = [np.array([1.0]), np.array([2.0, 3.0])]
    whole = [np.array([1.0, 2.0, 2.0, 3.0, 3.0])]
    assert kolmogorov_smirnov(levels, whole, robust=False) == 0.0


def test_robust_distance_leaves_out_what_chance_does() -> None:
    """The distance follows Deequ's formula, and is never below 0."""
    one, other = [np.zeros(400)], [np.array([0.0] * 50 + [1.0] * 50)]
    assert kolmogorov_smirnov(one, other, robust=False) == 0.5
    assert kolmogorov_smirnov(one, other, robust=True) == pytest.approx(0.5 - 1.8 * math.sqrt(500 / 40_000))
    assert kolmogorov_smirnov([np.zeros(4)], [np.array([0.0, 1.0])], robust=True) == 0.0


def test_sketched_distance_is_nearly_that_of_the_numbers() -> None:
    """Two sketches of a hundred thousand numbers each, which keep some six thousand."""
    generator = np.random.default_rng(7)
    one, other = generator.normal(size=100_000), generator.normal(0.3, 1, size=100_000)
    points = np.sort(np.concatenate([one, other]))
    shares = [np.searchsorted(np.sort(each), points, side="right") / 100_000 for each in (one, other)]
    exact = float(np.abs(shares[0] - shares[1]).max())
    assert kolmogorov_smirnov(sketched(one), sketched(other), robust=False) == pytest.approx(exact, abs=0.006)


@given(counts, counts)
def test_categorical_distance_is_the_largest_difference_of_the_shares(
    one: dict[str, int], other: dict[str, int]
) -> None:
    """The largest difference is over the texts of both."""
    size, total = sum(one.values()), sum(other.values())
    expected = max(abs(one.get(key, 0) / size - other.get(key, 0) / total) for key in "abcdef")
    assert l_infinity(one, other, total, robust=False) == pytest.approx(expected)


def test_texts_that_are_not_listed_count_all_the_same() -> None:
    """In a column with too many new texts only the known ones are counted one by one."""
    assert l_infinity({"a": 10}, {"a": 5}, 20, robust=False) == 0.75


def test_chi_squared_distance_is_the_effect_size() -> None:
    """The root of the test's statistic a row: (60 - 50)² / 50 + (40 - 50)² / 50 = 4 of 100 rows."""
    baseline, current = {"a": 500, "b": 500}, {"a": 60, "b": 40, "new": 30}
    assert chi_squared(baseline, current, sum(current.values()), robust=False) == pytest.approx(
        math.sqrt(4 / 100)
    )
    assert chi_squared(baseline, {"new": 30}, 30, robust=False) == 0.0


def test_rare_categories_are_joined() -> None:
    """Otherwise one row of a category that occurred once would be a drift."""
    baseline = {"a": 5000, "b": 4998, "c": 1, "d": 1}
    found = chi_squared(baseline, {"a": 100, "b": 99, "c": 1}, 200, robust=False)
    assert found == pytest.approx(0.0, abs=0.01)
    assert chi_squared({"a": 7}, {"a": 9}, 9, robust=True) == 0.0


def robust_distances(kind: Any, draws: int) -> list[float]:
    generator = np.random.default_rng(3)
    found = []
    for _ in range(draws):
        one, other = (
            dict(zip("abcde", generator.multinomial(size, [0.5, 0.3, 0.1, 0.06, 0.04]).tolist(), strict=True))
            for size in (3000, 500)
        )
        found.append(kind(one, other))
    return found


@pytest.mark.parametrize(
    "kind",
    [
        lambda one, other: l_infinity(one, other, 500, robust=True),
        lambda one, other: chi_squared(one, other, 500, robust=True),
    ],
)
def test_robust_distance_of_samples_of_one_distribution_is_nothing(kind: Any) -> None:
    """Three pairs in a thousand may have one: at most ten of 1,000 are allowed here."""
    assert sum(distance > 0 for distance in robust_distances(kind, 1000)) <= 10


@given(counts)
def test_distance_to_itself_is_nothing(one: dict[str, int]) -> None:
    """Each method gives 0."""
    total = sum(one.values())
    for robust in (False, True):
        assert l_infinity(one, one, total, robust=robust) == 0.0
        assert chi_squared(one, one, total, robust=robust) == pytest.approx(0.0, abs=1e-9)
