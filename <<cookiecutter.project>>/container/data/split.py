"""The assignment of rows to the train, validation and test splits: by a hash of their values, or by time."""

from dataclasses import dataclass
from typing import Annotated

import numpy as np
from numpy.typing import NDArray

from container.runtime.environment import Variable
from container.runtime.errors import UserError
from container.runtime.typing import FloatArray

TRAIN, VALIDATION, TEST, LEFT_OUT = 0, 1, 2, 3
NAMES = ("train", "validation", "test")
SMALLEST_SPREAD = 3  # rows of a class, of which fewer all train, since they can't be in every split
FIXED = 2**64 - 1  # the hash of rows that have to train
PART = 1_000_000  # rows whose keys are computed together
MAX_NOT_TRAINED = 0.9  # fraction of the rows that may validate and test together


def _fraction(name: str) -> Variable:
    return Variable(name, least=0, most=1, exclusive=True, refuse_blank=True)


@dataclass(frozen=True)
class SplitSettings:
    """Hold the seed, the fractions of the rows to validate and to test on, and the columns that bind rows.

    All rows with one value of the column `group` are on one side. The newest rows by the column `time` test.

    Raises:
        UserError: the fractions leave too few rows to train on, or both columns are named.
    """

    seed: Annotated[int, Variable("SEED", refuse_blank=True)] = 0
    validation: Annotated[float, _fraction("VALIDATION_FRACTION")] = 0.15
    test: Annotated[float, _fraction("TEST_FRACTION")] = 0.2
    group: Annotated[str, Variable("GROUP")] = ""
    time: Annotated[str, Variable("TIME")] = ""

    def __post_init__(self) -> None:
        """Refuse fractions that leave less than a tenth to train on, and two columns that bind rows."""
        if self.validation + self.test > MAX_NOT_TRAINED:
            raise UserError(
                "VALIDATION_FRACTION and TEST_FRACTION leave less than a tenth of the rows to train on"
            )
        if self.group and self.time:
            raise UserError(
                f"GROUP is '{self.group}' and TIME is '{self.time}': a group may have old and new rows, so "
                "only one of them can decide the split"
            )


def assign(
    classes: NDArray[np.integer], rows: NDArray[np.unsignedinteger], validation: float, test: float, seed: int
) -> NDArray[np.uint8]:
    """Return (n,) splits for (n,) class codes, all zero for a regression, and (n,) hashes of the rows.

    `validation` and `test` are fractions of the rows. Rows of one hash, a block, are in one split. Each class
    is divided in proportion: to within a row where the hashes differ, else as nearly as blocks allow. A block
    that is larger than a split's share of all rows, or FIXED, trains. A split that has no row then takes the
    smallest block that a class can spare in train or test; it stays empty where none can (see `why_empty`).
    """
    # A block's key is a pseudo-random number made of its hash and the seed. Of each class the blocks with the
    # smallest keys test, the next ones validate, the others train. So a row's split depends on its values,
    # not on its position, and hardly on the other rows: when rows are added, almost no row that has trained
    # becomes a test row, and a later model can be compared with an earlier one on its test rows. A threshold
    # on the key (key / 2**64 < fraction) would not depend on other rows at all, but would miss the fractions
    # by chance, by much for small classes. Only integers decide, so every machine gives the same result.
    # Different rows may have one hash: of 32 bits, some do in large tables. They are in one split then, which
    # does no harm. The memory is that of the keys, of a copy, and of the first blocks: about 32 bytes a row.
    keys = _keys(rows, seed)
    result = np.full(len(classes), TRAIN, dtype=np.uint8)
    counts = np.bincount(classes, minlength=1)
    spread = np.where(counts >= SMALLEST_SPREAD, counts, 0)
    tested = _shares(spread, test)
    validated = _shares(spread - tested, validation / (1 - test))
    for number, shares, fraction in ((TEST, tested, test), (VALIDATION, validated, validation)):
        largest = max(1, round(fraction * len(classes)))
        missed = 0  # rows, of the shares of the classes so far
        for code in np.flatnonzero(spread):
            among = (classes == code) & (result == TRAIN)
            wanted = int(min(shares[code], np.count_nonzero(among) - 1))
            # What a class has too many of, another gives up in part only, or it would have no row here.
            chosen = _smallest(keys, among, wanted + max(missed, -(wanted // 2)), largest)
            missed += wanted - int(np.count_nonzero(chosen))
            result[chosen] = number
        for donor in (TRAIN, TEST):
            if not (result == number).any():
                result[_spare(keys, classes, (result == donor) & (spread > 0)[classes])] = number
    return result


def assign_by_time(moments: FloatArray, validation: float, test: float) -> NDArray[np.uint8]:
    """Return (n,) splits for (n,) moments: the newest rows test, those before validate, the oldest train.

    Equal moments are in one split, so `validation` and `test` are met as nearly as the moments allow. Rows
    whose moment is NaN are left out: they could be newer than the test rows. Three or more moments differ.
    """
    known = ~np.isnan(moments)
    times, counts = np.unique(moments[known], return_counts=True)
    since = np.cumsum(counts[::-1])[::-1]  # rows that are as new as each moment, or newer
    first_test = 2 + int(np.argmin(np.abs(since[2:] - test * since[0])))
    wanted = since[first_test] + validation * since[0]
    first_validation = 1 + int(np.argmin(np.abs(since[1:first_test] - wanted)))
    result = np.where(known, TRAIN, LEFT_OUT).astype(np.uint8)
    result[moments >= times[first_validation]] = VALIDATION
    result[moments >= times[first_test]] = TEST
    return result


def majorities(classes: NDArray[np.integer], groups: NDArray[np.unsignedinteger]) -> NDArray[np.int64]:
    """Return (n,) codes: of each row, the class that most rows of its group have, the first of equal ones."""
    _, numbers = np.unique(groups, return_inverse=True)
    size = int(classes.max(initial=0)) + 1
    pairs, counts = np.unique(numbers * size + classes, return_counts=True)
    order = np.lexsort((pairs, -counts))
    _, first = np.unique(pairs[order] // size, return_index=True)
    return np.asarray((pairs[order] % size)[first][numbers], dtype=np.int64)


def numbered(rows: NDArray[np.unsignedinteger]) -> NDArray[np.uint64]:
    """Return (n,) hashes that are different for equal rows, by (n,) hashes of the rows."""
    order = np.argsort(rows, kind="stable")
    _, begins, counts = np.unique(rows[order], return_index=True, return_counts=True)
    hashes = rows.astype(np.uint64)
    hashes[order] += (np.arange(len(rows)) - np.repeat(begins, counts)).astype(np.uint64) * np.uint64(2**32)
    return hashes


def why_empty(rows: NDArray[np.unsignedinteger], noun: str) -> str:
    """Return why `assign` left a split empty; `noun` is what has the hashes, such as "rows"."""
    differ = f"{len(np.unique(rows))} of {len(rows)} {noun} are distinct"
    if len(np.unique(rows)) < len(NAMES):
        return f"{differ}, and train, validation and test need one each"
    return f"{differ}, and no class has one to spare for each of train, validation and test: add rows"


def _smallest(
    keys: NDArray[np.uint64], among: NDArray[np.bool_], wanted: int, largest: int
) -> NDArray[np.bool_]:
    """Return (n,) marks of those marked rows whose keys are the smallest, about as many as wanted.

    Rows of one key are marked together, unless they are more than `largest`. One key at least stays unmarked.
    """
    ours = keys[among]
    for some in (min(max(wanted, 0) * 5 // 4 + 100, len(ours)), len(ours)):  # the first are enough in general
        ours.partition(some - 1)
        blocks, sizes = _blocks(ours[:some])
        small = sizes <= largest
        sums = np.concatenate([[0], np.cumsum(sizes * small)[:-1]])
        if sums[-1] >= wanted:
            break
    count = int(np.argmin(np.abs(sums - wanted)))
    if not count:
        return np.zeros_like(among)
    return np.asarray(among & (keys <= blocks[count - 1]) & ~np.isin(keys, blocks[:count][~small[:count]]))


def _spare(
    keys: NDArray[np.uint64], classes: NDArray[np.integer], among: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Return (n,) marks of the smallest block of the marked rows whose class has another, or of no row."""
    found = []
    for code in np.unique(classes[among]):
        blocks, sizes = _blocks(keys[among & (classes == code)])
        sizes[blocks == np.uint64(FIXED)] = len(keys)
        if len(blocks) > 1:
            found.append((int(sizes.min()), int(blocks[sizes.argmin()]), int(code)))
    if not found:
        return np.zeros_like(among)
    _, key, code = min(found)
    return np.asarray(among & (keys == np.uint64(key)) & (classes == code))


def _blocks(keys: NDArray[np.uint64]) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """Return the (m,) different keys, ascending, and how many rows have each; sort the keys in place."""
    if not len(keys):
        return keys, np.zeros(0, dtype=np.int64)
    keys.sort()
    ends = np.append(np.flatnonzero(keys[1:] != keys[:-1]), len(keys) - 1)
    return keys[ends], np.diff(ends, prepend=-1)


def _shares(counts: NDArray[np.int64], fraction: float) -> NDArray[np.int64]:
    """Return how many rows of each class make up a fraction, so that the sums over classes are right too."""
    millionths = round(fraction * 1_000_000)
    ends = (np.cumsum(counts) * millionths + 500_000) // 1_000_000
    return np.asarray(np.diff(ends, prepend=0))


def _keys(rows: NDArray[np.unsignedinteger], seed: int) -> NDArray[np.uint64]:
    """Return (n,) pseudo-random numbers of (n,) hashes, computed in parts to bound the memory."""
    keys = np.empty(len(rows), dtype=np.uint64)
    start = splitmix64(np.array([seed % 2**64], dtype=np.uint64))
    for begin in range(0, len(rows), PART):
        part = slice(begin, begin + PART)
        with np.errstate(over="ignore"):
            keys[part] = splitmix64(splitmix64(start + rows[part].astype(np.uint64)))
    keys[rows == np.uint64(FIXED)] = FIXED  # the last key is never among the smallest
    return keys


def splitmix64(state: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return the output function of SplitMix64, a bijection that spreads numbers evenly over 64 bits.

    Source: Steele, Lea and Flood, "Fast Splittable Pseudorandom Number Generators" (2014).
    """
    state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return state ^ (state >> np.uint64(31))
