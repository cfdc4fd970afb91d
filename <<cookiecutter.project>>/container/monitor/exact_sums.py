"""Sums without rounding, so that the sums of a table's parts add up to that of the whole, however it is cut.

math.fsum does not serve: it rounds at its end, and its partial sums can't be sent to another process and
merged. A sum here is an integer, which is exact and merges by addition. Numbers are cut into limbs whose
products and sums fit in 53 bits, an error-free vector transformation (Rump, Ogita and Oishi 2008).
"""

import math
from dataclasses import dataclass
from fractions import Fraction
from sys import float_info

import numpy as np
from numpy.typing import NDArray

from container.runtime.typing import FloatArray

# A product of two limbs of 18 bits has 36 bits, and the sum of 32,768 of them 51, at most 53 where they
# are doubled or added below: a float's 53 bits hold it, so that every addition is exact.
_ROWS = 32768
_BITS = 18
_LIMB = 2.0**_BITS
_LIMBS = 4  # of numbers whose bits lie within 72; a mantissa alone has three
# Sums count in units of 2^-_UNIT, sums of squares in units of 2^-2*_UNIT: the last bit of the smallest float
# is 2^-1074, and a limb may begin 54 bits below it.
_UNIT = 1074 + 54


@dataclass(frozen=True)
class Moments:
    """Hold the count of numbers, their sum and the sum of their squares, both as integers in fixed units."""

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
        extra = 2**128  # so that isqrt keeps 128 bits below the root's integer part
        return _rounded(Fraction(math.isqrt(spread * extra * extra), self.count * 2**_UNIT * extra))


def moments(values: FloatArray) -> Moments:
    """Return the moments of (n,) finite numbers."""
    chunks = (values[start : start + _ROWS] for start in range(0, len(values), _ROWS))
    return sum((_similar_moments(chunk) or _any_moments(chunk) for chunk in chunks), Moments())


def _similar_moments(values: FloatArray) -> Moments | None:
    """Return the moments of numbers whose bits lie within 72, as most columns' do, in a third of the time.

    The result is None for other numbers.
    """
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


def _any_moments(values: FloatArray) -> Moments:
    """Return the moments of any numbers: limbs of one exponent are added as floats, the sums as integers."""
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
    total = sum(_sum(places, limb, 1, lowest - bits + _UNIT) for bits, limb in limbs.items())
    squares = sum(_sum(places, part, 2, 2 * (lowest + _UNIT) - bits) for bits, part in products.items())
    return Moments(len(values), total, squares)


def _limb(mantissas: FloatArray) -> tuple[FloatArray, FloatArray]:
    scaled = mantissas * _LIMB
    limb = np.trunc(scaled)
    return limb, scaled - limb


def _sum(places: NDArray[np.int32], limbs: FloatArray, step: int, shift: int) -> int:
    """Return the sum of (n,) limbs as an integer: a limb at a place counts 2^(step * place + shift)."""
    sums = np.bincount(places, weights=limbs)
    return sum(int(sums[place]) * 2 ** (step * int(place) + shift) for place in np.flatnonzero(sums))


def _rounded(value: Fraction) -> float:
    """Return the nearest float, or the greatest one where the value is beyond all floats."""
    try:
        return float(value)
    except OverflowError:
        return float_info.max if value > 0 else -float_info.max
