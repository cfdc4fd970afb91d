"""Distances are those of Deequ: exact where nothing is sketched, and without chance where they are robust."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from container.monitor.distances import CategoricalDistance, chi_squared, kolmogorov_smirnov, l_infinity
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
    """The largest difference is over the texts of both, and the new texts together."""
    size, total = sum(one.values()), sum(other.values())
    expected = max(abs(one.get(key, 0) / size - other.get(key, 0) / total) for key in "abcdef")
    new = sum(count for key, count in other.items() if key not in one) / total
    together = new - list(one.values()).count(1) / size
    assert l_infinity(one, other, total, robust=False) == pytest.approx(max(expected, together))


def test_texts_that_are_not_listed_count_all_the_same() -> None:
    """In a column with too many new texts only the known ones are counted one by one."""
    assert l_infinity({"a": 10}, {"a": 5}, 20, robust=False) == 0.75


def test_chi_squared_distance_is_the_effect_size() -> None:
    """The root of the test's statistic a row: (60 - 50)² / 50 + (40 - 50)² / 50 = 4 of 100 rows."""
    baseline, current = {"a": 500, "b": 500}, {"a": 60, "b": 40}
    assert chi_squared(baseline, current, 100, robust=False) == pytest.approx(math.sqrt(4 / 100))


@pytest.mark.parametrize("distance", [l_infinity, chi_squared])
@pytest.mark.parametrize("texts", [1, 100])
@pytest.mark.parametrize("listed", [True, False])
def test_new_texts_are_a_drift(distance: CategoricalDistance, texts: int, listed: bool) -> None:  # noqa: FBT001 - a parameter of the cases
    """In few texts or many, and where these are too many to be listed; all new is farther than half."""
    baseline = dict.fromkeys(map(str, range(100)), 10)
    new = {f"new{n}": 500 // texts for n in range(texts)} if listed else {}
    half = distance(baseline, dict.fromkeys(baseline, 5) | new, 1000, robust=True)
    whole = distance(baseline, new, 500, robust=True)
    assert 0.4 <= half < whole < math.inf


def test_new_texts_are_a_category_beyond_their_expected_share() -> None:
    """Cochran's rule expects five of 130 rows, where 30 are new: 25² / 5 + 25² / 125 = 130 of 130 rows."""
    found = chi_squared({"a": 500, "b": 500}, {"a": 50, "b": 50, "new": 30}, 130, robust=False)
    assert found == pytest.approx(1.0)


@pytest.mark.parametrize("distance", [l_infinity, chi_squared])
def test_a_few_new_texts_are_expected_where_the_baseline_has_rare_ones(distance: CategoricalDistance) -> None:
    """Twenty of 1,000 rows have a text of their own, so about twenty of 1,000 later rows have a new one."""
    common = {"a": 490, "b": 490}
    baseline = common | {f"rare{n}": 1 for n in range(20)}
    assert distance(baseline, common | {f"new{n}": 1 for n in range(20)}, 1000, robust=True) < 0.1
    assert distance({"a": 500, "b": 500}, {"a": 499, "b": 499, "new": 2}, 1000, robust=True) == 0.0


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
