"""Splits are disjoint, complete, reproducible, fair to every class, and hardly changed by more rows."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from container.data import split

codes = st.lists(st.integers(0, 4), min_size=1, max_size=400).map(
    lambda found: np.array(found, dtype=np.int64)
)
fractions = st.tuples(st.floats(0.05, 0.4), st.floats(0.05, 0.4))
seeds = st.integers(-(2**70), 2**70)


def hashes(count: int, distinct: int = 2**32) -> np.ndarray:
    """Return what rows hold, as prepare sums it up; of few distinct ones many are equal."""
    return np.random.Generator(np.random.PCG64(count)).integers(0, distinct, count, dtype=np.uint64)


@given(codes, st.sampled_from([1, 3, 2**32]), fractions, seeds)
def test_every_row_has_one_split_and_keeps_it(
    classes: np.ndarray, distinct: int, parts: tuple[float, float], seed: int
) -> None:
    """Protects the test split from rows that trained, in every run with the same seed."""
    rows = hashes(len(classes), distinct)
    made = split.assign(classes, rows, *parts, seed)
    assert len(made) == len(classes)
    assert set(made.tolist()) <= {split.TRAIN, split.VALIDATION, split.TEST}
    assert np.array_equal(made, split.assign(classes, rows, *parts, seed))


@given(codes, st.sampled_from([1, 3, 2**32]), fractions, seeds)
def test_every_class_is_spread_in_proportion(
    classes: np.ndarray, distinct: int, parts: tuple[float, float], seed: int
) -> None:
    """Protects rare classes: they train, and are tested in proportion to within two rows."""
    made = split.assign(classes, hashes(len(classes), distinct), *parts, seed)
    for code, count in enumerate(np.bincount(classes)):
        mine = made[classes == code]
        assert count == 0 or (mine == split.TRAIN).any()
        if 0 < count < split.SMALLEST_SPREAD:
            assert (mine == split.TRAIN).all()
        elif count:
            assert abs((mine == split.TEST).sum() - count * parts[1]) <= 2


@given(codes, fractions, seeds, st.randoms(use_true_random=False))
def test_a_rows_split_does_not_depend_on_its_place(
    classes: np.ndarray, parts: tuple[float, float], seed: int, random: object
) -> None:
    """Protects comparisons with a former model from an export in another order."""
    rows, order = hashes(len(classes)), np.arange(len(classes))
    random.shuffle(order)  # type: ignore[attr-defined]
    made = split.assign(classes, rows, *parts, seed)
    assert np.array_equal(split.assign(classes[order], rows[order], *parts, seed), made[order])


@pytest.mark.parametrize("distinct", [400, 2**32])
@pytest.mark.parametrize("seed", range(5))
def test_what_has_trained_is_not_tested_when_rows_are_added(distinct: int, seed: int) -> None:
    """Protects a comparison on the new test rows: the former model has learned from none of them."""
    rows = hashes(8000, distinct)
    classes = np.array(rows % np.uint64(3), dtype=np.int64)
    before = split.assign(classes[:4000], rows[:4000], 0.15, 0.2, seed)
    after = split.assign(classes, rows, 0.15, 0.2, seed)[:4000]
    assert not ((before == split.TRAIN) & (after == split.TEST)).any()
    assert (before != after).mean() < 0.05
    assert (split.assign(classes, rows, 0.15, 0.2, seed)[4000:] == split.TEST).sum() > 700


def test_the_split_of_a_seed_is_fixed_for_good() -> None:
    """Protects comparisons across machines, versions and years: these rows never change."""
    made = split.assign(np.zeros(40, dtype=np.int64), np.arange(40, dtype=np.uint64), 0.15, 0.2, 7)
    assert "".join(map(str, made)) == "0100000102211200201020002000200200001000"


def test_another_seed_makes_another_split() -> None:
    """Protects against a seed that is ignored."""
    classes, rows = np.zeros(200, dtype=np.int64), hashes(200)
    assert not np.array_equal(
        split.assign(classes, rows, 0.15, 0.2, 1), split.assign(classes, rows, 0.15, 0.2, 2)
    )
