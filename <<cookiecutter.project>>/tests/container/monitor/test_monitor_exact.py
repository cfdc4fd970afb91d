"""Sums are exact: neither the order nor the cut of a table changes a digit."""

import math
from fractions import Fraction
from itertools import pairwise
from sys import float_info

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from container.monitor.exact_sums import Moments, moments

numbers = st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=40)


def expected(values: list[float]) -> Moments:
    exact = [Fraction(value) for value in values]
    unit = 2**1128
    total, squares = sum(exact) * unit, sum(value * value for value in exact) * unit * unit
    assert total.denominator == squares.denominator == 1
    return Moments(len(values), total.numerator, squares.numerator)


@given(numbers)
def test_moments_equal_those_of_exact_arithmetic(values: list[float]) -> None:
    """No digit is lost, from the smallest float to the greatest."""
    assert moments(np.array(values)) == expected(values)


@given(numbers, st.lists(st.integers(0, 40), max_size=4))
def test_parts_add_up_to_the_whole(values: list[float], cuts: list[int]) -> None:
    """Several instances that share a table come to the same sums as one."""
    whole = np.array(values)
    bounds = [0, *sorted(min(cut, len(values)) for cut in cuts), len(values)]
    parts = [moments(whole[start:end]) for start, end in pairwise(bounds)]
    assert sum(parts, Moments()) == moments(whole)


@pytest.mark.parametrize(
    "values",
    [
        [5e-324, 1e-320, -2e-310],
        [1e300, 1e-300, 0.0],
        [float_info.max, 1.0],
        [0.0, -0.0],
        [1.0, 2.0**-18, 2.0**-71],
        [1.0, 2.0**-72],
        [-(2.0**60) - 256, 3.0],
    ],
)
def test_numbers_of_every_size_are_added_exactly(values: list[float]) -> None:
    """The bits may lie close together or far apart."""
    found = moments(np.array(values))
    assert found == expected(values)
    assert isinstance(found.total, int)
    assert isinstance(found.squares, int)


def test_more_rows_than_one_exact_addition_takes() -> None:
    """Full mantissas over several chunks still add up exactly."""
    values = np.random.default_rng(5).normal(size=40_000) * 1e3
    assert moments(values) == expected(values.tolist())


def test_results_are_rounded_once() -> None:
    """Sums that cancel keep what a float sum would lose."""
    found = moments(np.array([1e16, 1.0, -1e16]))
    assert found.sum == 1.0
    assert found.mean == 1 / 3
    assert found.std_dev == pytest.approx(math.sqrt(2e32 / 3), rel=1e-15)
    assert moments(np.array([0.1] * 10)).std_dev == 0.0


def test_sum_beyond_the_greatest_float_stays_a_number() -> None:
    """JSON has no infinity."""
    found = moments(np.array([float_info.max, float_info.max]))
    assert found.sum == found.mean == float_info.max
    assert found.std_dev == 0.0
