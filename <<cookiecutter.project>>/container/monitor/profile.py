"""Profiles: what is known of a table, column by column. Profiles of parts merge into that of the whole."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Literal

import numpy as np
import polars as pl

from container.data import tables, values
from container.monitor.exact_sums import Moments, moments
from container.monitor.sketch import Distinct, Quantiles, hashes, ranks
from container.runtime.typing import FloatArray

InferredType = Literal["Integral", "Fractional", "String", "Unknown"]

# The analyzer's own limits: how many different texts are counted one by one, and how many buckets numbers
# are spread over.
MOST_TEXTS = 120
BUCKETS = 10
# How many columns that a baseline does not have are looked at: requests may name any number of them.
MOST_OTHERS = 100


@dataclass
class ColumnProfile:
    """Accumulate what is known of one column; cells are whole numbers, other numbers, text or missing.

    `known` are texts that are counted however many others there are: those of a baseline's column.
    """

    name: str
    known: frozenset[str] = frozenset()
    missing: int = 0
    integral: int = 0
    fractional: int = 0
    text: int = 0
    pointed: bool = False  # a whole number was written like 3.0 or 1e5
    minimum: float = math.inf
    maximum: float = -math.inf
    moments: Moments = field(default_factory=Moments)
    quantiles: Quantiles = field(default_factory=Quantiles)
    distinct: Distinct = field(default_factory=Distinct)
    texts: dict[str, int] = field(default_factory=dict)
    crowded: bool = False  # there were too many texts, and only the known ones are counted

    @property
    def present(self) -> int:
        """Return how many cells hold a value."""
        return self.integral + self.fractional + self.text

    @property
    def completeness(self) -> float:
        """Return the share of cells that hold a value; there must be a cell."""
        return self.present / (self.present + self.missing)

    @property
    def inferred_type(self) -> InferredType:
        """Return the narrowest type that holds every value; 3.0 is Fractional, as the analyzer has it."""
        if self.text:
            return "String"
        if self.fractional or self.pointed:
            return "Fractional"
        return "Integral" if self.integral else "Unknown"

    @property
    def is_numeric(self) -> bool:
        """Tell whether every value is a number."""
        return self.inferred_type in {"Integral", "Fractional"}

    @property
    def categories(self) -> dict[str, int]:
        """Return the counted texts when they can be categories: few, and no dates, which never come again."""
        dates = bool(self.texts) and any(
            all(values.seconds(text, style) is not None for text in self.texts)
            for style in values.DATE_FORMATS
        )
        return {} if dates or (self.crowded and not self.known) else self.texts

    def update(self, cells: pl.Series) -> None:
        """Add cells: text as a file holds it, or numbers where a reader had numbers."""
        present, numbers = _read(cells)
        is_number = np.isfinite(numbers)
        finite = numbers if is_number.all() else numbers[is_number]
        whole = finite == np.floor(finite)
        self.missing += len(cells) - len(present)
        self.integral += int(whole.sum())
        self.fractional += len(finite) - int(whole.sum())
        self.text += len(present) - len(finite)
        if not self.pointed and whole.any():
            written = present.filter(pl.Series(is_number)) if len(finite) < len(present) else present
            self.pointed = _is_pointed(written.filter(pl.Series(whole)))
        self._update_numbers(finite)
        if self.crowded and not self.known:
            self._update_distinct(present, numbers)
            return
        counted = present.value_counts()
        self._tally(zip(_written(counted[:, 0]), counted[:, 1], strict=True))
        self._update_distinct(*_read(counted[:, 0]))

    def merge(self, other: "ColumnProfile") -> None:
        """Add what is known of the same column of another part."""
        self.missing += other.missing
        self.integral += other.integral
        self.fractional += other.fractional
        self.text += other.text
        self.pointed |= other.pointed
        self.minimum = min(self.minimum, other.minimum)
        self.maximum = max(self.maximum, other.maximum)
        self.moments += other.moments
        self.quantiles.merge(other.quantiles)
        self.distinct.merge(other.distinct)
        self.crowded |= other.crowded
        self._tally(other.texts.items())

    def _update_numbers(self, numbers: FloatArray) -> None:
        if not len(numbers):
            return
        self.minimum = min(self.minimum, float(numbers.min()))
        self.maximum = max(self.maximum, float(numbers.max()))
        self.moments += moments(numbers)
        self.quantiles.update(numbers)

    def _update_distinct(self, present: pl.Series, numbers: FloatArray) -> None:
        is_number = np.isfinite(numbers)
        self.distinct.update(hashes(numbers[is_number]))
        if not is_number.all():
            self.distinct.update(present.filter(pl.Series(~is_number)).hash().to_numpy())

    def _tally(self, counted: Iterable[tuple[str, int]]) -> None:
        tally = dict(self.texts)
        for text, count in counted:
            if not self.crowded or text in self.known:
                tally[text] = tally.get(text, 0) + count
            self.crowded = self.crowded or len(tally) > MOST_TEXTS + len(self.known)
            if self.crowded and not self.known:
                break
        self.texts = {text: tally[text] for text in tally if text in self.known} if self.crowded else tally


@dataclass
class TableProfile:
    """Accumulate what is known of a table's columns, in their order.

    `known` names the columns that are expected, each with the texts that are to be counted. Of others the
    first by the alphabet are kept, so that it does not matter which part of a table comes first.
    """

    rows: int = 0
    columns: dict[str, ColumnProfile] = field(default_factory=dict)
    known: Mapping[str, frozenset[str]] = field(default_factory=dict)

    def update(self, batch: pl.DataFrame) -> None:
        """Add rows."""
        self.rows += batch.height
        for cells in batch:
            self.update_column(cells.name, cells)

    def update_column(self, name: str, cells: pl.Series) -> None:
        """Add cells of one column; whoever does so counts the rows."""
        column = self._column(name)
        if column:
            column.update(cells)

    def merge(self, other: "TableProfile") -> None:
        """Add what is known of another part of the same table."""
        self.rows += other.rows
        for name, part in other.columns.items():
            column = self._column(name)
            if column:
                column.merge(part)

    def settle(self) -> None:
        """Put known columns first, and count as missing the cells of rows that came without a column."""
        others = self.columns.keys() - self.known.keys()
        order = [*self.known, *sorted(others)] if self.known else list(self.columns)
        self.columns = {name: self.columns[name] for name in order if name in self.columns}
        for column in self.columns.values():
            column.missing = self.rows - column.present

    def _column(self, name: str) -> ColumnProfile | None:
        if name not in self.columns:
            self.columns[name] = ColumnProfile(name, self.known.get(name, frozenset()))
            others = [other for other in self.columns if other not in self.known]
            if self.known and len(others) > MOST_OTHERS:
                del self.columns[max(others)]
        return self.columns.get(name)


@dataclass(frozen=True)
class Bucket:
    """Count the numbers from the lower bound to just below the upper, or up to it in the last bucket."""

    lower: float
    upper: float
    count: int


def buckets(column: ColumnProfile, levels: list[FloatArray]) -> list[Bucket]:
    """Spread a numeric column's values, by its sketch's levels, over equal widths from least to greatest."""
    bounds = _bounds(column.minimum, column.maximum)
    counted = ranks(levels, np.array(bounds)).tolist()
    counted[-1] = column.moments.count
    return [
        Bucket(lower, upper, after - before)
        for (lower, upper), (before, after) in zip(pairwise(bounds), pairwise(counted), strict=True)
    ]


def _bounds(low: float, high: float) -> list[float]:
    steps = range(BUCKETS + 1)
    if math.isfinite((high - low) * BUCKETS):
        return [low + (high - low) * step / BUCKETS for step in steps]
    return [low / BUCKETS * (BUCKETS - step) + high / BUCKETS * step for step in steps]


def _read(cells: pl.Series) -> tuple[pl.Series, FloatArray]:
    """Return the cells that hold a value, and their numbers: not finite where they are none."""
    if cells.dtype != pl.String:
        present = cells.drop_nulls()
        return present, present.cast(pl.Float64).to_numpy(writable=True)
    numbers = cells.cast(pl.Float64, strict=False).to_numpy(writable=True)
    if np.isfinite(numbers).all():
        return cells, numbers
    stripped = cells.str.strip_chars(values.BLANKS)
    present = stripped.to_frame().filter(~tables.missing(pl.first())).to_series()
    return present, present.cast(pl.Float64, strict=False).to_numpy(writable=True)


def _is_pointed(whole: pl.Series) -> bool:
    """Tell whether one of some whole numbers is not written as such."""
    if whole.dtype != pl.String:
        return whole.dtype == pl.Float64 and len(whole) > 0
    return whole.cast(pl.Int128, strict=False).null_count() > 0


def _written(cells: pl.Series) -> Iterable[str]:
    """Return cells as a file would hold them."""
    if cells.dtype != pl.Float64:
        return cells.cast(pl.String)
    return (str(int(number)) if number.is_integer() else repr(number) for number in cells)
