"""Profiles of a table, column by column. The profiles of its parts merge into the profile of the whole."""

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

MAX_TEXTS = 120  # different texts of a column that are counted, as by the analyzer
BUCKETS = 10  # of a column's numbers, as in the analyzer's files
MAX_OTHER_COLUMNS = 100  # that a baseline does not have: requests may name any number of columns


@dataclass
class ColumnProfile:
    """Accumulate the profile of one column, whose cells are whole numbers, other numbers, text or missing.

    `known_texts` are those of a baseline's column, which are counted however many other texts there are.
    """

    name: str
    known_texts: frozenset[str] = frozenset()
    missing: int = 0
    integral: int = 0
    fractional: int = 0
    text: int = 0
    written_as_float: bool = False  # some whole number was written like 3.0 or 1e5
    minimum: float = math.inf
    maximum: float = -math.inf
    moments: Moments = field(default_factory=Moments)
    quantiles: Quantiles = field(default_factory=Quantiles)
    distinct: Distinct = field(default_factory=Distinct)
    texts: dict[str, int] = field(default_factory=dict)
    truncated: bool = False  # there were too many texts, so that only the known ones are counted

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
        """Return the narrowest type that holds every value; 3.0 is Fractional, as for the analyzer."""
        if self.text:
            return "String"
        if self.fractional or self.written_as_float:
            return "Fractional"
        return "Integral" if self.integral else "Unknown"

    @property
    def is_numeric(self) -> bool:
        """Tell whether every value is a number."""
        return self.inferred_type in {"Integral", "Fractional"}

    @property
    def categories(self) -> dict[str, int]:
        """Return the counted texts when they can be categories: few, and not dates, which do not recur."""
        dates = bool(self.texts) and any(
            all(values.parse_timestamp(text, style) is not None for text in self.texts)
            for style in values.DATE_FORMATS
        )
        return {} if dates or (self.truncated and not self.known_texts) else self.texts

    def update(self, cells: pl.Series) -> None:
        """Add cells: text as a file has it, or numbers where a reader had numbers."""
        present, numbers = _read(cells)
        is_number = np.isfinite(numbers)
        finite = numbers if is_number.all() else numbers[is_number]
        whole = finite == np.floor(finite)
        self.missing += len(cells) - len(present)
        self.integral += int(whole.sum())
        self.fractional += len(finite) - int(whole.sum())
        self.text += len(present) - len(finite)
        if not self.written_as_float and whole.any():
            numeric = present.filter(pl.Series(is_number)) if len(finite) < len(present) else present
            self.written_as_float = _is_written_as_float(numeric.filter(pl.Series(whole)))
        self._update_numbers(finite)
        if self.truncated and not self.known_texts:
            self._update_distinct(present, numbers)
            return
        # Different texts are fewer than cells, so that hashing them once takes less time.
        counts = present.value_counts()
        self._tally(zip(_as_text(counts[:, 0]), counts[:, 1], strict=True))
        self._update_distinct(*_read(counts[:, 0]))

    def merge(self, other: "ColumnProfile") -> None:
        """Add the profile of the same column of another part."""
        self.missing += other.missing
        self.integral += other.integral
        self.fractional += other.fractional
        self.text += other.text
        self.written_as_float |= other.written_as_float
        self.minimum = min(self.minimum, other.minimum)
        self.maximum = max(self.maximum, other.maximum)
        self.moments += other.moments
        self.quantiles.merge(other.quantiles)
        self.distinct.merge(other.distinct)
        self.truncated |= other.truncated
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

    def _tally(self, counts: Iterable[tuple[str, int]]) -> None:
        """Add counted texts, and leave out all but the known ones as soon as there are too many."""
        tally = dict(self.texts)
        for text, count in counts:
            if not self.truncated or text in self.known_texts:
                tally[text] = tally.get(text, 0) + count
            self.truncated = self.truncated or len(tally) > MAX_TEXTS + len(self.known_texts)
            if self.truncated and not self.known_texts:
                break
        known = {text: count for text, count in tally.items() if text in self.known_texts}
        self.texts = known if self.truncated else tally


@dataclass
class TableProfile:
    """Accumulate the profiles of a table's columns, in their order.

    `known_texts` names the expected columns, each with the texts to count. Of other columns the first by the
    alphabet are kept, so that the parts of a table may come in any order.
    """

    rows: int = 0
    columns: dict[str, ColumnProfile] = field(default_factory=dict)
    known_texts: Mapping[str, frozenset[str]] = field(default_factory=dict)

    def update(self, batch: pl.DataFrame) -> None:
        """Add rows."""
        self.rows += batch.height
        for cells in batch:
            self.update_column(cells.name, cells)

    def update_column(self, name: str, cells: pl.Series) -> None:
        """Add cells of one column; the caller counts the rows."""
        column = self._column(name)
        if column:
            column.update(cells)

    def merge(self, other: "TableProfile") -> None:
        """Add the profile of another part of the same table."""
        self.rows += other.rows
        for name, part in other.columns.items():
            column = self._column(name)
            if column:
                column.merge(part)

    def finalize(self) -> None:
        """Put expected columns first, and count as missing the cells of rows that came without a column."""
        others = self.columns.keys() - self.known_texts.keys()
        order = [*self.known_texts, *sorted(others)] if self.known_texts else list(self.columns)
        self.columns = {name: self.columns[name] for name in order if name in self.columns}
        for column in self.columns.values():
            column.missing = self.rows - column.present

    def _column(self, name: str) -> ColumnProfile | None:
        if name not in self.columns:
            self.columns[name] = ColumnProfile(name, self.known_texts.get(name, frozenset()))
            others = [other for other in self.columns if other not in self.known_texts]
            if self.known_texts and len(others) > MAX_OTHER_COLUMNS:
                del self.columns[max(others)]
        return self.columns.get(name)


@dataclass(frozen=True)
class Bucket:
    """Count the numbers from the lower bound to just below the upper, or up to it in the last bucket."""

    lower: float
    upper: float
    count: int


def buckets(column: ColumnProfile, levels: list[FloatArray]) -> list[Bucket]:
    """Count a numeric column's values, by its sketch's levels, in buckets of equal width."""
    bounds = _bounds(column.minimum, column.maximum)
    below = ranks(levels, np.array(bounds)).tolist()
    below[-1] = column.moments.count  # the last bucket contains its upper bound
    return [
        Bucket(lower, upper, after - before)
        for (lower, upper), (before, after) in zip(pairwise(bounds), pairwise(below), strict=True)
    ]


def _bounds(low: float, high: float) -> list[float]:
    steps = range(BUCKETS + 1)
    if math.isfinite((high - low) * BUCKETS):
        return [low + (high - low) * step / BUCKETS for step in steps]
    # The difference of the bounds overflows.
    return [low / BUCKETS * (BUCKETS - step) + high / BUCKETS * step for step in steps]


def _read(cells: pl.Series) -> tuple[pl.Series, FloatArray]:
    """Return the cells that hold a value, and (n,) their numbers, not finite where a cell is not a number."""
    if cells.dtype != pl.String:
        present = cells.drop_nulls()
        return present, present.cast(pl.Float64).to_numpy(writable=True)
    numbers = cells.cast(pl.Float64, strict=False).to_numpy(writable=True)
    if np.isfinite(numbers).all():
        return cells, numbers
    stripped = cells.str.strip_chars(values.BLANKS)
    present = stripped.to_frame().filter(~tables.missing(pl.first())).to_series()
    return present, present.cast(pl.Float64, strict=False).to_numpy(writable=True)


def _is_written_as_float(whole: pl.Series) -> bool:
    """Tell whether some of these whole numbers is written with a point or an exponent."""
    if whole.dtype != pl.String:
        return whole.dtype == pl.Float64 and len(whole) > 0
    return whole.cast(pl.Int128, strict=False).null_count() > 0


def _as_text(cells: pl.Series) -> Iterable[str]:
    """Return cells as a file would have them."""
    if cells.dtype != pl.Float64:
        return cells.cast(pl.String)
    return (str(int(number)) if number.is_integer() else repr(number) for number in cells)
