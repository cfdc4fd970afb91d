"""How often texts stand in a column, exactly, however many there are, in bounded memory."""

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

MAX_COUNTED = 1_000_000  # texts that are counted at once: some 100 MB
TEXT, TIMES = "text", "times"
_COUNTS = pl.Schema({TEXT: pl.String, TIMES: pl.Int64})


@dataclass(frozen=True)
class ValueCounts:
    """Hold how many different texts there are, and how often each of the commonest stands there.

    These are none when each text of many stands there once, and else all or as many as were asked for.
    """

    distinct: int
    commonest: dict[str, int]


def count(texts: pl.LazyFrame, present: int, distinct: int, wanted: int) -> ValueCounts:
    """Count the texts of a column called TEXT, of which so many are present and about so many distinct."""
    if distinct > MAX_COUNTED:
        return _count_many(texts, present, wanted)
    counted = _counted(texts)
    return ValueCounts(counted.height, _levels(_commonest(counted, wanted)))


def _count_many(texts: pl.LazyFrame, present: int, wanted: int) -> ValueCounts:
    """Count texts by their hashes, which take eight bytes each, and then the commonest by themselves."""
    hashes, done = np.empty(present, dtype=np.uint64), 0
    for batch in texts.select(pl.col(TEXT).hash()).collect_batches(maintain_order=False):
        hashes[done : done + batch.height] = batch.to_series().to_numpy()
        done += batch.height
    hashes.sort()
    distinct = 1 + int(np.count_nonzero(hashes[1:] != hashes[:-1]))
    if distinct == present:
        return ValueCounts(distinct, {})
    frequent, found = _frequent(hashes, wanted), pl.DataFrame(schema=_COUNTS)
    for some in np.array_split(frequent, 1 + len(frequent) // MAX_COUNTED):
        counted = _counted(texts.filter(pl.col(TEXT).hash().is_in(pl.Series(some).implode())))
        found = _commonest(pl.concat([found, counted]), wanted)
    return ValueCounts(distinct, _levels(found))


def _frequent(hashes: NDArray[np.uint64], wanted: int) -> NDArray[np.uint64]:
    """Return those that stand most often among sorted hashes, as many as wanted and all that do as often."""
    first = np.concatenate([[True], hashes[1:] != hashes[:-1]])

    def standing(times: int) -> NDArray[np.bool_]:
        begins = len(hashes) - times + 1
        return np.asarray(first[:begins] & (hashes[:begins] == hashes[times - 1 :]))

    low, high = 1, len(hashes)
    while low < high:
        middle = (low + high + 1) // 2
        if np.count_nonzero(standing(middle)) >= wanted:
            low = middle
        else:
            high = middle - 1
    return hashes[standing(low).nonzero()]


def _counted(texts: pl.LazyFrame) -> pl.DataFrame:
    return texts.group_by(TEXT).len(TIMES).cast(_COUNTS).collect(engine="streaming")


def _commonest(counted: pl.DataFrame, wanted: int) -> pl.DataFrame:
    """Return the texts that stand most often, of equally frequent ones the first by name."""
    return counted.sort(TIMES, TEXT, descending=[True, False]).head(wanted)


def _levels(counted: pl.DataFrame) -> dict[str, int]:
    return dict(counted.iter_rows())
