"""Which rows train, validate and test: a matter of the seed and of what the rows hold."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from container.errors import UserError

TRAIN, VALIDATION, TEST = 0, 1, 2
NAMES = ("train", "validation", "test")
# A class with fewer rows cannot be in every split, so it stays where the model learns.
SMALLEST_SPREAD = 3


def settings(environment: Mapping[str, str]) -> tuple[int, float, float]:
    """Read the seed, and the shares to validate and to test on; refuse what is out of range."""
    seed = _whole(environment.get("SEED", "0"))
    validation = _fraction(environment, "VALIDATION_FRACTION", "0.15")
    test = _fraction(environment, "TEST_FRACTION", "0.2")
    if validation + test > 0.9:  # noqa: PLR2004
        raise UserError(
            "VALIDATION_FRACTION and TEST_FRACTION leave less than a tenth of the rows to train on"
        )
    return seed, validation, test


def assign(
    classes: NDArray[np.int64], rows: NDArray[np.uint64], validation: float, test: float, seed: int
) -> NDArray[np.uint8]:
    """Return each row's split for (n,) class codes, all zero for a regression, and (n,) hashes of the rows.

    Each class is spread over the splits in proportion, to a row. Which rows those are depends on what they
    hold, not on where they stand, and hardly on the others: the smallest keys of a class are tested, the
    next validate, the others train. So what a model has learned from is not what a later one is tested on,
    and the two can be compared there, when rows have been added in the meantime. Integer arithmetic alone
    decides, so every machine and every version of every library gives the same answer.
    """
    order = np.lexsort((_keys(rows, seed), classes))
    counts = np.bincount(classes, minlength=1)
    spread = order[(counts >= SMALLEST_SPREAD)[classes[order]]]
    result = np.full(len(classes), TRAIN, dtype=np.uint8)
    tested = _first(classes[spread], test)
    result[spread[tested]] = TEST
    rest = spread[~tested]
    result[rest[_first(classes[rest], validation / (1 - test))]] = VALIDATION
    learned = np.bincount(classes[result == TRAIN], minlength=len(counts))
    for code in np.flatnonzero((learned == 0) & (counts > 0)):
        result[order[classes[order] == code][-1]] = TRAIN
    return result


def _first(classes: NDArray[np.int64], fraction: float) -> NDArray[np.bool_]:
    """Choose the first of each class, of (n,) sorted classes as many as make up the fraction."""
    wanted = np.bincount(classes[_every(len(classes), fraction)], minlength=int(classes.max(initial=0)) + 1)
    _, begins, codes = np.unique(classes, return_index=True, return_inverse=True)
    return np.asarray(np.arange(len(classes)) - begins[codes] < wanted[classes], dtype=np.bool_)


def _every(count: int, fraction: float) -> NDArray[np.bool_]:
    """Choose a fraction of places, evenly spaced."""
    millionths = round(fraction * 1_000_000)
    steps = (np.arange(count + 1, dtype=np.int64) * millionths + 500_000) // 1_000_000
    return np.asarray(np.diff(steps) > 0, dtype=np.bool_)


def _keys(rows: NDArray[np.uint64], seed: int) -> NDArray[np.uint64]:
    """Return a pseudo-random number a row, of rows that hold the same another one for each."""
    with np.errstate(over="ignore"):
        start = mixed(np.array([seed % 2**64], dtype=np.uint64))
        return mixed(mixed(start + rows) + _repetitions(rows) * np.uint64(0x9E3779B97F4A7C15))


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


def _whole(text: str) -> int:
    try:
        return int(text)
    except ValueError as error:
        raise UserError(f"SEED is '{text}', and must be a whole number") from error


def _fraction(environment: Mapping[str, str], name: str, default: str) -> float:
    text = environment.get(name, default)
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 < value < 1:
        raise UserError(f"{name} is '{text}', and must lie between 0 and 1")
    return value
