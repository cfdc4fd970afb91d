"""Sketches of a column that is too long to keep: its quantiles, and its number of different values.

Both merge: the sketches of a table's parts together give the same as one sketch of the whole, exactly for
different values, and with the same error for quantiles.
"""

from dataclasses import dataclass, field
from typing import Protocol, cast

import datasketches
import numpy as np
from numpy.typing import NDArray

from container.data.split import splitmix64
from container.runtime.typing import FloatArray

# The analyzer's parameters of a KLL sketch (Karnin, Lang and Liberty 2016). The library shrinks lower levels
# by its own factor, 2/3; only the kept items are read, each of which counts 2^level whatever the factor is.
SIZE = 2048
SHRINKING = 0.64

# Positions in a serialized KLL sketch of Apache DataSketches, whose form is the same in all its languages. It
# is read here because the iterator of version 5.2 takes every weight for 1 when the lowest level is empty, as
# may happen after a merge.
_FLAGS, _IS_EMPTY, _IS_SINGLE = 3, 1, 4
_LEVELS, _SHORT, _LONG = 18, 8, 20

HashArray = NDArray[np.uint64]
_KEPT_HASHES = 4096
_HASHES = 2.0**64  # how many different hashes there are


class _Kll(Protocol):
    def update(self, values: FloatArray) -> None: ...
    def merge(self, other: "_Kll") -> None: ...
    def serialize(self) -> bytes: ...


def _new_kll() -> _Kll:
    return cast("_Kll", datasketches.kll_doubles_sketch(SIZE))


@dataclass
class Quantiles:
    """Keep a KLL sketch of numbers: all of them up to SIZE, beyond it a sample with nearly the same ranks."""

    _kll: _Kll = field(default_factory=_new_kll)

    def update(self, values: FloatArray) -> None:
        """Add (n,) finite numbers."""
        self._kll.update(values)

    def merge(self, other: "Quantiles") -> None:
        """Add the numbers of another sketch."""
        self._kll.merge(other._kll)  # noqa: SLF001 - an object of the same class

    def serialize(self) -> bytes:
        """Return the sketch in the library's own form."""
        return self._kll.serialize()

    @classmethod
    def deserialize(cls, serialized: bytes) -> "Quantiles":
        """Return the sketch that was serialized.

        Raises:
            RuntimeError: the library can't read it.
            ValueError: it ends too early.
        """
        return cls(cast("_Kll", datasketches.kll_doubles_sketch.deserialize(serialized)))

    def levels(self) -> list[FloatArray]:
        """Return the kept numbers by level: each number of level i counts as 2^i of the added ones."""
        serialized = self._kll.serialize()
        if serialized[_FLAGS] & _IS_EMPTY:
            return []
        if serialized[_FLAGS] & _IS_SINGLE:
            return [np.frombuffer(serialized, np.float64, offset=_SHORT)]
        bounds = np.frombuffer(serialized, np.uint32, count=serialized[_LEVELS], offset=_LONG)
        # The least and the greatest number come before the kept ones.
        kept = np.frombuffer(serialized, np.float64, offset=_LONG + bounds.nbytes)[2:]
        lowest, *higher = np.split(kept, bounds[1:] - bounds[0])
        # The library fills the lowest level from its end.
        return [lowest[::-1], *higher]


@dataclass
class Distinct:
    """Count different values by the smallest of their hashes: the greatest one kept gives their density.

    It is the k minimum values estimator (Beyer et al. 2007): exact up to 4,096 values, with a standard
    error of 1.6 % beyond. The library's own sketches for it take one value a call, which takes more time than
    all the rest of a profile.
    """

    _hashes: HashArray = field(default_factory=lambda: np.empty(0, np.uint64))

    def update(self, hashes: HashArray) -> None:
        """Add values by their (n,) hashes, which must be spread evenly over 64 bits."""
        kept = self._hashes
        if len(kept) == _KEPT_HASHES:
            hashes = hashes[hashes < kept[-1]]
        fresh, _ = np.unique(hashes, return_counts=True)  # counting sorts, which is faster than a hash table
        places = np.searchsorted(kept, fresh)
        # The appended number, which no fresh hash equals, is at the place of hashes beyond all kept ones.
        is_new = np.append(kept, fresh[-1:] + 1)[places] != fresh
        self._hashes = np.insert(kept, places[is_new], fresh[is_new])[:_KEPT_HASHES]

    def merge(self, other: "Distinct") -> None:
        """Add the values of another sketch."""
        self.update(other._hashes)  # noqa: SLF001 - an object of the same class

    def serialize(self) -> bytes:
        """Return the kept hashes, smallest first, eight bytes each."""
        return self._hashes.astype("<u8").tobytes()

    @classmethod
    def deserialize(cls, serialized: bytes) -> "Distinct":
        """Return the sketch that was serialized.

        Raises:
            ValueError: the length is not a multiple of eight bytes.
        """
        return cls(np.unique(np.frombuffer(serialized, "<u8").astype(np.uint64))[:_KEPT_HASHES])

    def estimate(self) -> int:
        """Return about how many different values there were."""
        if len(self._hashes) < _KEPT_HASHES:
            return len(self._hashes)
        return round((_KEPT_HASHES - 1) * _HASHES / float(self._hashes[-1]))


def hashes(numbers: FloatArray) -> HashArray:
    """Return (n,) hashes of (n,) numbers, equal for equal numbers on every machine."""
    return splitmix64((numbers + 0.0).view(np.uint64))  # -0.0 + 0.0 is 0.0, which has other bits


def ranks(levels: list[FloatArray], points: FloatArray) -> NDArray[np.int64]:
    """Return how many of the sketched numbers are below each of the (n,) points."""
    below = [np.searchsorted(np.sort(level), points) * 2**power for power, level in enumerate(levels)]
    return cast("NDArray[np.int64]", np.sum(below, axis=0, dtype=np.int64))
