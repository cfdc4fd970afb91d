"""The assignment of rows to the train, validation and test splits, by the seed and a hash of their values."""

from dataclasses import dataclass
from typing import Annotated

import numpy as np
from numpy.typing import NDArray

from container.runtime.environment import Variable
from container.runtime.errors import UserError

TRAIN, VALIDATION, TEST = 0, 1, 2
NAMES = ("train", "validation", "test")
SMALLEST_SPREAD = 3  # rows of a class, of which fewer all train, since they can't be in every split
PARTS = 64  # in which keys are computed, to bound the memory; at most 256, the values of a byte
MAX_NOT_TRAINED = 0.9  # fraction of the rows that may validate and test together


def _fraction(name: str) -> Variable:
    return Variable(name, least=0, most=1, exclusive=True, refuse_blank=True)


@dataclass(frozen=True)
class SplitSettings:
    """Hold the seed, the fractions of the rows to validate and to test on, and the columns that bind rows.

    All rows with one value of the column `group` are on one side. The newest rows by the column `time` test.

    Raises:
        UserError: the fractions leave too few rows to train on.
    """

    seed: Annotated[int, Variable("SEED", refuse_blank=True)] = 0
    validation: Annotated[float, _fraction("VALIDATION_FRACTION")] = 0.15
    test: Annotated[float, _fraction("TEST_FRACTION")] = 0.2
    group: Annotated[str, Variable("GROUP")] = ""
    time: Annotated[str, Variable("TIME")] = ""

    def __post_init__(self) -> None:
        """Refuse fractions that leave less than a tenth to train on."""
        if self.validation + self.test > MAX_NOT_TRAINED:
            raise UserError(
                "VALIDATION_FRACTION and TEST_FRACTION leave less than a tenth of the rows to train on"
            )


def assign(
    classes: NDArray[np.integer], rows: NDArray[np.unsignedinteger], validation: float, test: float, seed: int
) -> NDArray[np.uint8]:
    """Return (n,) splits for (n,) class codes, all zero for a regression, and (n,) hashes of the rows.

    `validation` and `test` are fractions of the rows. Each class is divided in proportion, to within a row.
    """
    # A row's key is a pseudo-random number made of its hash and the seed. Of each class the rows with the
    # smallest keys test, the next ones validate, the others train. So a row's split depends on its values,
    # not on its position, and hardly on the other rows: when rows are added, almost no row that has trained
    # becomes a test row, and a later model can be compared with an earlier one on its test rows. A threshold
    # on the key (key / 2**64 < fraction) would not depend on other rows at all, but would miss the fractions
    # by chance, by much for small classes. Only integers decide, so every machine gives the same result.
    keys = _keys(rows, seed)
    result = np.full(len(classes), TRAIN, dtype=np.uint8)
    counts = np.bincount(classes, minlength=1)
    spread = np.where(counts >= SMALLEST_SPREAD, counts, 0)
    tested = _shares(spread, test)
    validated = _shares(spread - tested, validation / (1 - test))
    for code in np.flatnonzero(spread):
        most = counts[code] - 1  # at least one row trains
        held_out = _smallest(keys, classes == code, int(min(tested[code] + validated[code], most)))
        result[held_out] = VALIDATION
        result[_smallest(keys, held_out, int(min(tested[code], most)))] = TEST
    return result


def _smallest(keys: NDArray[np.uint64], among: NDArray[np.bool_], count: int) -> NDArray[np.bool_]:
    """Return (n,) marks of `count` marked rows: those with the smallest keys, of equal keys the first."""
    if not count:
        return np.zeros_like(among)
    greatest = _ranked(keys[among], count)
    chosen = np.asarray(among & (keys < greatest))
    equal = np.flatnonzero(among & (keys == greatest))
    chosen[equal[: count - np.count_nonzero(chosen)]] = True
    return chosen


def _ranked(keys: NDArray[np.uint64], rank: int) -> np.uint64:
    """Return the key of a rank, 1 for the smallest; the keys are reordered in place."""
    keys.partition(rank - 1)
    return np.uint64(keys[rank - 1])


def _shares(counts: NDArray[np.int64], fraction: float) -> NDArray[np.int64]:
    """Return how many rows of each class make up a fraction, so that the sums over classes are right too."""
    millionths = round(fraction * 1_000_000)
    ends = (np.cumsum(counts) * millionths + 500_000) // 1_000_000
    return np.asarray(np.diff(ends, prepend=0))


def _keys(rows: NDArray[np.unsignedinteger], seed: int) -> NDArray[np.uint64]:
    """Return (n,) pseudo-random numbers of (n,) hashes; equal rows have different ones.

    The memory is bounded by computing the keys in parts; equal rows are in the same part.
    """
    keys = np.empty(len(rows), dtype=np.uint64)
    parts = rows.astype(np.uint8) % np.uint8(PARTS)
    start = splitmix64(np.array([seed % 2**64], dtype=np.uint64))
    for part in range(PARTS):
        members = np.flatnonzero(parts == part)
        hashes = rows[members].astype(np.uint64)
        with np.errstate(over="ignore"):
            repetitions = _repetitions(hashes) * np.uint64(0x9E3779B97F4A7C15)
            keys[members] = splitmix64(splitmix64(start + hashes) + repetitions)
    return keys


def _repetitions(rows: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return (n,) counts of the equal rows before each row."""
    order = np.argsort(rows, kind="stable")
    _, begins, groups = np.unique(rows[order], return_index=True, return_inverse=True)
    counts = np.empty(len(rows), dtype=np.uint64)
    counts[order] = (np.arange(len(rows)) - begins[groups]).astype(np.uint64)
    return counts


def splitmix64(state: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return the output function of SplitMix64, a bijection that spreads numbers evenly over 64 bits.

    Source: Steele, Lea and Flood, "Fast Splittable Pseudorandom Number Generators" (2014).
    """
    state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return state ^ (state >> np.uint64(31))
