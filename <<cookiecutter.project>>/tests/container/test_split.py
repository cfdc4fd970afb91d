"""Splits are disjoint, complete, reproducible, fair to every class, and hardly changed by more rows.

Equal rows and the rows of a group are in one split, and time is never turned back.
"""

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


@given(codes, fractions, seeds)
def test_every_class_is_spread_in_proportion(
    classes: np.ndarray, parts: tuple[float, float], seed: int
) -> None:
    """Protects rare classes: they train, and are tested in proportion to within two rows."""
    made = split.assign(classes, hashes(len(classes)), *parts, seed)
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


@given(codes, st.integers(1, 40), fractions, seeds)
def test_equal_rows_are_in_one_split(
    classes: np.ndarray, distinct: int, parts: tuple[float, float], seed: int
) -> None:
    """Protects the test split from copies of rows that trained; every class trains, copies or not."""
    rows = hashes(len(classes), distinct) * np.uint64(5) + classes.astype(np.uint64)
    made = split.assign(classes, rows, *parts, seed)
    for row in np.unique(rows):
        assert len(set(made[rows == row].tolist())) == 1
    assert set(classes[made == split.TRAIN].tolist()) == set(classes.tolist())


@pytest.mark.parametrize("copies", [1, 2, 4, 10])
@pytest.mark.parametrize("seed", range(3))
def test_copies_leave_the_shares_of_each_class(copies: int, seed: int) -> None:
    """Protects a table in which each row occurs several times from a small or one-sided test split."""
    rows = np.repeat(hashes(300), copies)
    classes = np.array(rows % np.uint64(3), dtype=np.int64)
    made = split.assign(classes, rows, 0.15, 0.2, seed)
    for code in range(3):
        assert abs((made[classes == code] == split.TEST).mean() - 0.2) < 0.03
        assert abs((made[classes == code] == split.VALIDATION).mean() - 0.15) < 0.03


def test_what_stands_too_often_trains() -> None:
    """Protects the size of the test split from one row that makes up a third of the table."""
    rows = np.concatenate([np.full(100, 7, dtype=np.uint64), hashes(200)])
    for seed in range(5):
        made = split.assign(np.zeros(300, dtype=np.int64), rows, 0.15, 0.2, seed)
        assert (made[:100] == split.TRAIN).all()
        assert np.bincount(made).tolist() == [195, 45, 60]


def test_few_rows_that_differ_are_enough_for_three_splits() -> None:
    """Protects small tables, and those of a few groups, from an empty split."""
    rows = np.repeat(np.arange(3, dtype=np.uint64), [50, 10, 20])
    made = split.assign(np.zeros(80, dtype=np.int64), rows, 0.15, 0.2, 1)
    assert sorted(np.bincount(made).tolist()) == [10, 20, 50]
    assert np.bincount(made)[split.TRAIN] == 50
    for seed in range(20):
        rows = np.repeat(np.arange(3, dtype=np.uint64), [400, 40, 30])
        assert sorted(np.bincount(split.assign(np.zeros(470, dtype=np.int64), rows, 0.15, 0.2, seed))) == [
            30,
            40,
            400,
        ]
    rows = np.repeat(np.arange(3, dtype=np.uint64), [50, 10, 20])
    empty = split.assign(np.zeros(80, dtype=np.int64), rows % np.uint64(2), 0.15, 0.2, 1)
    assert not (empty == split.VALIDATION).any()
    assert split.why_empty(rows % np.uint64(2), "rows").startswith("2 of 80 rows are distinct")


def test_a_group_counts_with_the_class_of_most_of_its_rows() -> None:
    """Protects the balance of the classes where groups are kept together."""
    groups = np.array([5, 5, 5, 2, 2, 9], dtype=np.uint64)
    assert split.majorities(np.array([0, 2, 2, 1, 0, 1]), groups).tolist() == [2, 2, 2, 0, 0, 1]


@given(
    st.lists(st.integers(0, 30) | st.none(), min_size=3, max_size=200).filter(
        lambda found: len(set(found) - {None}) > 2
    ),
    fractions,
)
def test_the_newest_rows_test(found: list[int | None], parts: tuple[float, float]) -> None:
    """Protects an estimate for tomorrow: nothing that trains is as new as what validates, or tests."""
    moments = np.array([np.nan if moment is None else moment for moment in found], dtype=np.float64)
    made = split.assign_by_time(moments, *parts)
    assert np.array_equal(made == split.LEFT_OUT, np.isnan(moments))
    train, validation, test = (moments[made == number] for number in range(3))
    assert train.max() < validation.min() <= validation.max() < test.min()
    steps = np.unique(moments[~np.isnan(moments)], return_counts=True)[1].max()
    wanted = parts[1] * (len(train) + len(validation) + len(test))
    assert abs(len(test) - wanted) <= steps or len(np.unique(train)) == len(np.unique(validation)) == 1


def test_another_seed_makes_another_split() -> None:
    """Protects against a seed that is ignored."""
    classes, rows = np.zeros(200, dtype=np.int64), hashes(200)
    assert not np.array_equal(
        split.assign(classes, rows, 0.15, 0.2, 1), split.assign(classes, rows, 0.15, 0.2, 2)
    )


@pytest.mark.parametrize("seed", range(8))
def test_large_blocks_of_one_class_leave_another_its_share(seed: int) -> None:
    """Protects a table of few different rows from a test split of one class."""
    blocks = [(0, 250), *[(0, 90)] * 6, *[(1, 5)] * 100]
    classes = np.repeat([code for code, _ in blocks], [size for _, size in blocks])
    rows = np.repeat(np.arange(len(blocks), dtype=np.uint32), [size for _, size in blocks])
    splits = split.assign(classes, rows, 0.15, 0.2, seed)
    assert min(np.count_nonzero(splits[classes == 1] == number) for number in (1, 2)) >= 30
