"""Exact counts of the texts of a column, in bounded memory for any number of texts."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import polars as pl
from numpy.typing import NDArray

MAX_COUNTED = 1_000_000  # distinct texts that are counted together, in about 100 MB
TEXT, TIMES = "text", "times"
_COUNTS = pl.Schema({TEXT: pl.String, TIMES: pl.Int64})


@dataclass(frozen=True)
class ValueCounts:
    """Hold the number of distinct texts, and the counts of the commonest, by text.

    `commonest` has as many as were asked for, or all if there are fewer. It is empty where more than
    MAX_COUNTED texts all differ.
    """

    distinct: int
    commonest: dict[str, int]


@dataclass(frozen=True)
class Texts:
    """Hold the texts of a column named TEXT, which has `present` rows and about `distinct` texts.

    `mark` is the mark before decimals in the files, if it is known.
    """

    frame: pl.LazyFrame
    present: int
    distinct: int
    mark: str = ""

    @cached_property
    def weighted(self) -> pl.LazyFrame:
        """Return the texts and how often each occurs, each text once if they are few enough to be held."""
        if self.distinct > MAX_COUNTED:
            return self.frame.with_columns(pl.lit(1, dtype=pl.Int64).alias(TIMES))
        return _counted(self.frame).sort(TEXT).lazy()

    def count(self, wanted: int) -> ValueCounts:
        """Count the texts, and return the counts of the commonest."""
        if self.distinct > MAX_COUNTED:
            return _count_many(self.frame, self.present, wanted)
        counted = self.weighted.collect()
        return ValueCounts(counted.height, dict(_commonest(counted, wanted).iter_rows()))


def _count_many(texts: pl.LazyFrame, present: int, wanted: int) -> ValueCounts:
    """Count hashes of texts, of eight bytes each, and then the texts of the most frequent hashes."""
    hashes, done = np.empty(present, dtype=np.uint64), 0
    for batch in texts.select(pl.col(TEXT).hash()).collect_batches(maintain_order=False):
        hashes[done : done + batch.height] = batch.to_series().to_numpy()
        done += batch.height
    hashes.sort()
    distinct = 1 + int(np.count_nonzero(hashes[1:] != hashes[:-1]))
    if distinct == present:
        return ValueCounts(distinct, {})
    frequent, commonest = _frequent(hashes, wanted), pl.DataFrame(schema=_COUNTS)
    for some in np.array_split(frequent, 1 + len(frequent) // MAX_COUNTED):
        counted = _counted(texts.filter(pl.col(TEXT).hash().is_in(pl.Series(some).implode())))
        commonest = _commonest(pl.concat([commonest, counted]), wanted)
    return ValueCounts(distinct, dict(commonest.iter_rows()))


def _frequent(hashes: NDArray[np.uint64], wanted: int) -> NDArray[np.uint64]:
    """Return the `wanted` most frequent of sorted hashes, and those as frequent as the last of them."""
    first = np.concatenate([[True], hashes[1:] != hashes[:-1]])

    def at_least(times: int) -> NDArray[np.bool_]:
        begins = len(hashes) - times + 1
        return np.asarray(first[:begins] & (hashes[:begins] == hashes[times - 1 :]))

    low, high = 1, len(hashes)
    while low < high:
        middle = (low + high + 1) // 2
        if np.count_nonzero(at_least(middle)) >= wanted:
            low = middle
        else:
            high = middle - 1
    return hashes[at_least(low).nonzero()]


def _counted(texts: pl.LazyFrame) -> pl.DataFrame:
    return texts.group_by(TEXT).len(TIMES).cast(_COUNTS).collect(engine="streaming")


def _commonest(counted: pl.DataFrame, wanted: int) -> pl.DataFrame:
    """Return the most frequent texts, of equally frequent ones the first in alphabetical order."""
    return counted.sort(TIMES, TEXT, descending=[True, False]).head(wanted)
