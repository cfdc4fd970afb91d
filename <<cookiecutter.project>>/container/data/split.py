"""Which rows train, validate and test: a matter of the seed and of what the rows hold."""

from dataclasses import dataclass
from typing import Annotated

import numpy as np
from numpy.typing import NDArray

from container.runtime.environment import Variable
from container.runtime.errors import UserError

TRAIN, VALIDATION, TEST = 0, 1, 2
NAMES = ("train", "validation", "test")
# A class with fewer rows cannot be in every split, so it stays where the model learns.
SMALLEST_SPREAD = 3
PARTS = 64  # at most 256
MAX_NOT_TRAINED = 0.9  # fraction of the rows that may validate and test together


def _fraction(name: str) -> Variable:
    return Variable(name, least=0, most=1, exclusive=True, refuse_blank=True)


@dataclass(frozen=True)
class SplitSettings:
    """Hold the seed, and the fractions of the rows to validate and to test on.

    Raises:
        UserError: the fractions leave too few rows to train on.
    """

    seed: Annotated[int, Variable("SEED", refuse_blank=True)] = 0
    validation: Annotated[float, _fraction("VALIDATION_FRACTION")] = 0.15
    test: Annotated[float, _fraction("TEST_FRACTION")] = 0.2

    def __post_init__(self) -> None:
        """Refuse fractions that leave less than a tenth to train on."""
        if self.validation + self.test > MAX_NOT_TRAINED:
            raise UserError(
                "VALIDATION_FRACTION and TEST_FRACTION leave less than a tenth of the rows to train on"
            )


def assign(
    classes: NDArray[np.integer], rows: NDArray[np.unsignedinteger], validation: float, test: float, seed: int
) -> NDArray[np.uint8]:
    """Return each row's split for (n,) class codes, all zero for a regression, and (n,) hashes of the rows.

    Each class is spread over the splits in proportion, to a row. Which rows those are depends on what they
    hold, not on where they stand, and hardly on the others: the smallest keys of a class are tested, the
    next validate, the others train. So what a model has learned from is not what a later one is tested on,
    and the two can be compared there, when rows have been added in the meantime. Integer arithmetic alone
    decides, so every machine and every version of every library gives the same answer.
    """
    keys = _keys(rows, seed)
    result = np.full(len(classes), TRAIN, dtype=np.uint8)
    counts = np.bincount(classes, minlength=1)
    spread = np.where(counts >= SMALLEST_SPREAD, counts, 0)
    tested = _shares(spread, test)
    validated = _shares(spread - tested, validation / (1 - test))
    for code in np.flatnonzero(spread):
        most = counts[code] - 1  # one is left to learn from
        held = _smallest(keys, classes == code, int(min(tested[code] + validated[code], most)))
        result[held] = VALIDATION
        result[_smallest(keys, held, int(min(tested[code], most)))] = TEST
    return result


def _smallest(keys: NDArray[np.uint64], among: NDArray[np.bool_], count: int) -> NDArray[np.bool_]:
    """Mark as many of the marked rows, those with the smallest keys; of equal ones the first."""
    if not count:
        return np.zeros_like(among)
    greatest = _ranked(keys[among], count)
    chosen = np.asarray(among & (keys < greatest))
    equal = np.flatnonzero(among & (keys == greatest))
    chosen[equal[: count - np.count_nonzero(chosen)]] = True
    return chosen


def _ranked(keys: NDArray[np.uint64], rank: int) -> np.uint64:
    """Return the smallest key but for `rank - 1` of them; the keys lose their order."""
    keys.partition(rank - 1)
    return np.uint64(keys[rank - 1])


def _shares(counts: NDArray[np.int64], fraction: float) -> NDArray[np.int64]:
    """Return how many of each class make up the fraction: evenly spaced ones of the rows by class."""
    millionths = round(fraction * 1_000_000)
    ends = (np.cumsum(counts) * millionths + 500_000) // 1_000_000
    return np.asarray(np.diff(ends, prepend=0))


def _keys(rows: NDArray[np.unsignedinteger], seed: int) -> NDArray[np.uint64]:
    """Return a pseudo-random number a row, of rows that hold the same another one for each.

    What this takes besides the result stays small: equal rows are in the same part of them.
    """
    found = np.empty(len(rows), dtype=np.uint64)
    parts = rows.astype(np.uint8) % np.uint8(PARTS)
    start = mixed(np.array([seed % 2**64], dtype=np.uint64))
    for part in range(PARTS):
        members = np.flatnonzero(parts == part)
        mine = rows[members].astype(np.uint64)
        with np.errstate(over="ignore"):
            found[members] = mixed(mixed(start + mine) + _repetitions(mine) * np.uint64(0x9E3779B97F4A7C15))
    return found


def _repetitions(rows: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return how many equal rows stand before each."""
    order = np.argsort(rows, kind="stable")
    _, begins, groups = np.unique(rows[order], return_index=True, return_inverse=True)
    found = np.empty(len(rows), dtype=np.uint64)
    found[order] = (np.arange(len(rows)) - begins[groups]).astype(np.uint64)
    return found


def mixed(state: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return SplitMix64's last step: numbers spread evenly over 64 bits, a different one for each."""
    state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return state ^ (state >> np.uint64(31))
