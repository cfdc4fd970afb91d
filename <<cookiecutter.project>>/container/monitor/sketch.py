"""What is kept of a column that is too long to keep: its quantiles, and how many different values it has.

Both merge: the sketches of a table's parts together say the same of it as one sketch of the whole.
"""

from dataclasses import dataclass, field
from typing import Protocol, cast

import datasketches
import numpy as np
from numpy.typing import NDArray

from container.data.split import mixed
from container.runtime.typing import FloatArray

# The analyzer's parameters. The library shrinks lower levels by a factor of its own, 2/3: what is read of a
# sketch is its items, each counting 2^level, which holds for any factor.
SIZE = 2048
SHRINKING = 0.64

# Where Apache DataSketches keeps what in a stored KLL sketch; the form is the same in all its languages. (The
# iterator of 5.2 takes every weight for one when the lowest level is empty, as it may be after a merge.)
_FLAGS, _IS_EMPTY, _IS_SINGLE = 3, 1, 4
_LEVELS, _SHORT, _LONG = 18, 8, 20

HashArray = NDArray[np.uint64]
_KEPT_HASHES = 4096
_HASHES = 2.0**64


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
        """Add finite numbers."""
        self._kll.update(values)

    def merge(self, other: "Quantiles") -> None:
        """Add the numbers of another sketch."""
        self._kll.merge(other._kll)  # noqa: SLF001

    def stored(self) -> bytes:
        """Return the sketch in the library's own form."""
        return self._kll.serialize()

    @classmethod
    def restored(cls, stored: bytes) -> "Quantiles":
        """Return the sketch that was stored. Raises RuntimeError or ValueError for what is none."""
        return cls(cast("_Kll", datasketches.kll_doubles_sketch.deserialize(stored)))

    def levels(self) -> list[FloatArray]:
        """Return the kept numbers by level: each of level i stands for 2^i of the numbers that came in."""
        stored = self._kll.serialize()
        if stored[_FLAGS] & _IS_EMPTY:
            return []
        if stored[_FLAGS] & _IS_SINGLE:
            return [np.frombuffer(stored, np.float64, offset=_SHORT)]
        bounds = np.frombuffer(stored, np.uint32, count=stored[_LEVELS], offset=_LONG)
        # The least and the greatest number stand before the kept ones.
        kept = np.frombuffer(stored, np.float64, offset=_LONG + bounds.nbytes)[2:]
        lowest, *higher = np.split(kept, bounds[1:] - bounds[0])
        # The library fills the lowest level from its end.
        return [lowest[::-1], *higher]


@dataclass
class Distinct:
    """Count different values: the smallest hashes are kept, and where the last of them lies tells how many.

    Exact up to 4,096 values, within some 1.6 % beyond (one standard error). The library's own sketches for
    this take one value a call, which costs more than all the rest of a profile.
    """

    _hashes: HashArray = field(default_factory=lambda: np.empty(0, np.uint64))

    def update(self, hashes: HashArray) -> None:
        """Add values by their hashes, which must be spread evenly over 64 bits."""
        kept = self._hashes
        if len(kept) == _KEPT_HASHES:
            hashes = hashes[hashes < kept[-1]]
        fresh = np.unique(hashes)
        places = np.searchsorted(kept, fresh)
        is_new = np.append(kept, fresh[-1:] + 1)[places] != fresh
        self._hashes = np.insert(kept, places[is_new], fresh[is_new])[:_KEPT_HASHES]

    def merge(self, other: "Distinct") -> None:
        """Add the values of another sketch."""
        self.update(other._hashes)  # noqa: SLF001

    def stored(self) -> bytes:
        """Return the kept hashes, smallest first, eight bytes each."""
        return self._hashes.astype("<u8").tobytes()

    @classmethod
    def restored(cls, stored: bytes) -> "Distinct":
        """Return the sketch that was stored. Raises ValueError for what is none."""
        return cls(np.unique(np.frombuffer(stored, "<u8").astype(np.uint64))[:_KEPT_HASHES])

    def estimate(self) -> int:
        """Return how many different values there were."""
        if len(self._hashes) < _KEPT_HASHES:
            return len(self._hashes)
        return round((_KEPT_HASHES - 1) * _HASHES / float(self._hashes[-1]))


def hashes(numbers: FloatArray) -> HashArray:
    """Return a hash a number, equal for equal numbers on every machine."""
    return mixed((numbers + 0.0).view(np.uint64))  # there are two zeros


def ranks(levels: list[FloatArray], points: FloatArray) -> NDArray[np.int64]:
    """Return how many of the sketched numbers are below each point."""
    below = [np.searchsorted(np.sort(level), points) * 2**power for power, level in enumerate(levels)]
    return cast("NDArray[np.int64]", np.sum(below, axis=0, dtype=np.int64))
