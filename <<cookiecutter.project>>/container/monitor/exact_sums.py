"""Sums without rounding, so that the parts of a table add up to the whole, however it was cut."""

import math
from dataclasses import dataclass
from fractions import Fraction
from sys import float_info

import numpy as np
from numpy.typing import NDArray

from container.runtime.typing import FloatArray

# A float's mantissa is cut in three limbs of 18 bits; the sums of their products over this many rows fit in a
# float's 53 bits, so that every addition below is exact.
_ROWS = 32768
_BITS = 18
_LIMB = 2.0**_BITS
_LIMBS = 4
# The sum counts in units of 2^-_UNIT, the squares in units of 2^-2*_UNIT: no float's last bit is smaller.
_UNIT = 1074 + 54


@dataclass(frozen=True)
class Moments:
    """Hold how many numbers there are, their sum and the sum of their squares, both as exact integers."""

    count: int = 0
    total: int = 0
    squares: int = 0

    def __add__(self, other: "Moments") -> "Moments":
        """Return the moments of both parts together."""
        return Moments(self.count + other.count, self.total + other.total, self.squares + other.squares)

    @property
    def sum(self) -> float:
        """Return the sum, rounded once."""
        return _rounded(Fraction(self.total, 2**_UNIT))

    @property
    def mean(self) -> float:
        """Return the mean, rounded once; there must be a number."""
        return _rounded(Fraction(self.total, self.count * 2**_UNIT))

    @property
    def std_dev(self) -> float:
        """Return the population's standard deviation, rounded once; there must be a number."""
        spread = self.count * self.squares - self.total * self.total
        extra = 2**128  # bits below the root's integer part
        return _rounded(Fraction(math.isqrt(spread * extra * extra), self.count * 2**_UNIT * extra))


def moments(values: FloatArray) -> Moments:
    """Add up finite numbers."""
    chunks = (values[start : start + _ROWS] for start in range(0, len(values), _ROWS))
    return sum((_alike(chunk) or _moments(chunk) for chunk in chunks), Moments())


def _alike(values: FloatArray) -> Moments | None:
    """Add up numbers whose bits all lie within 72, as those of most columns do, at a third of the cost."""
    top = int(np.frexp(np.abs(values).max())[1]) - _BITS
    places = [top + _UNIT - _BITS * place for place in range(_LIMBS)]
    rest = np.ldexp(values, -top)
    if places[-1] < 0 or not np.array_equal(np.ldexp(rest, top), values):
        return None
    limbs = []
    for _ in range(_LIMBS):
        limbs.append(np.trunc(rest))
        rest = (rest - limbs[-1]) * _LIMB
    if rest.any():
        return None
    total = sum(int(limb.sum()) * 2**place for limb, place in zip(limbs, places, strict=True))
    pairs = [(one, other) for one in range(_LIMBS) for other in range(one, _LIMBS)]
    squares = sum(
        (1 + (one < other)) * int(_product(limbs[one], limbs[other])) * 2 ** (places[one] + places[other])
        for one, other in pairs
    )
    return Moments(len(values), total, squares)


def _product(one: FloatArray, other: FloatArray) -> float:
    return float(np.einsum("i,i->", one, other))  # BLAS would take as many threads as there are processors


def _moments(values: FloatArray) -> Moments:
    mantissas, exponents = np.frexp(values)
    lowest = int(exponents.min())
    places = exponents - lowest
    high, rest = _limb(mantissas)
    middle, rest = _limb(rest)
    low = rest * _LIMB
    limbs = {18: high, 36: middle, 54: low}
    products = {
        36: high * high,
        54: 2 * high * middle,
        72: 2 * high * low + middle * middle,
        90: 2 * middle * low,
        108: low * low,
    }
    total = sum(_added(places, limb, 1, lowest - bits + _UNIT) for bits, limb in limbs.items())
    squares = sum(_added(places, part, 2, 2 * (lowest + _UNIT) - bits) for bits, part in products.items())
    return Moments(len(values), total, squares)


def _limb(mantissas: FloatArray) -> tuple[FloatArray, FloatArray]:
    scaled = mantissas * _LIMB
    limb = np.trunc(scaled)
    return limb, scaled - limb


def _added(places: NDArray[np.int32], limbs: FloatArray, step: int, shift: int) -> int:
    """Add limbs up as an integer: those at one place count 2^(step * place + shift) each."""
    sums = np.bincount(places, weights=limbs)
    return sum(int(sums[place]) * 2 ** (step * int(place) + shift) for place in np.flatnonzero(sums))


def _rounded(value: Fraction) -> float:
    try:
        return float(value)
    except OverflowError:
        return float_info.max if value > 0 else -float_info.max
