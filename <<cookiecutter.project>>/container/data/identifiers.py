"""Columns that only name or number the rows: ids, saved indexes and row numbers.

A name with a word such as id, uuid or pk, or an index's name, marks a column in which most values differ.
Words such as no and key, which measurements have too, mark one in which nearly all differ. The values alone
mark whole numbers that count the rows: that go up or down by one from row to row, over all files or within
each, also where some are missing, or that begin at 0 or 1, all differ, and leave out fewer numbers than they
have, in any order of the rows. Rows that stand several times count once. Measured values may all differ as
well, be sorted, or evenly spaced: they stay, and the evaluation warns of one that carries nearly all
importance. Years, other moments, sweeps, ages, ranks and counts may go up by one too: their names tell them
from these.
"""

import functools
import re
from collections.abc import Callable, Collection, Iterator
from dataclasses import replace

import numpy as np
import polars as pl
from numpy.typing import NDArray

from container.data import columns, tables
from container.data.infer import InspectedTable
from container.data.values import NumberFormat

NEARLY_ALL = 0.95
MOST = 0.5  # share of an id's values that differ at least; two rows may belong to one order or customer
MIN_NUMBERS = 20  # fewer values may be a scale, such as heights from 58 to 72
MAX_COPIES = 4  # rows of one number on average, where rows stand several times
MAX_RANGE = 2  # times the numbers that differ, for row numbers of which some are left out
ALL = 0.99
NAMED = "its name is that of an id or an index, and most of its values differ; name it in kinds to keep it"
NUMBERING = "its whole numbers count the rows; name it in kinds to keep it"
_DIGITS = re.compile("[+-]?[0-9][0-9.,' \u00a0\u2009\u202f\u2019]*")  # as in 1,000
_WORD = re.compile(r"[A-Z]+(?![a-zà-ÿ])|[A-Z]?[a-zà-ÿ]+|\d+")
_ID = re.compile(  # userid, but not any word that ends in id, such as lipid or Kohlendioxid
    "ids?|u?uid|guid|pk|identifier|idx|rownum|(account|asset|case|client|cust|customer|device|doc|document|"
    "employee|event|group|house|household|item|kunden|loan|member|object|order|passenger|patient|person|"
    "product|record|row|sample|session|store|student|subject|ticket|trans|transaction|user|visitor)id"
)
_WEAK, _LAST_OF_WEAK = re.compile("key"), re.compile("no|nr|number|code")  # order_no, but not no alone
_SUM = re.compile("passengers?|visitors?|total|sum|mean|average|avg|min|max")
_UNNAMED = re.compile(r"Unnamed: \d+(\.\d+)*|\.\.\.\d+|__index_level_\d+__")  # by pandas and R
_INDEX = re.compile(r"index|level_0|rows?|row[._]?names|row_number", re.IGNORECASE)
_MEASURE = re.compile(
    "(age|rank|score|count|freq|frequency|dist|distance|amount|price|size|length|weight|height|depth|temperature|"
    "t|ts|time|timestamp|datetime|date|epoch|period|second|minute|hour|day|week|month|quarter|season|year|yr|"
    "decade|jahr|datum|tag|monat|woche|fecha|año|ano|mes|dia|année|annee|jour|mois|wavelength|wavenumber|nm|rpm|"
    "hz|angle|voltage|volt|speed|velocity|pressure|dose|concentration)s?"
)

Numbers = NDArray[np.int64]


def find(table: InspectedTable, kept: Collection[str]) -> tuple[dict[str, str], dict[str, str]]:
    """Return the reasons to leave out columns: of those that their names mark, and of those their values do.

    The names in `kept` are passed over. The memory is that of one column at a time.
    """
    named, numbering = {}, {}
    rows = functools.cache(lambda: _different_rows(table))
    for position, stats in table.stats.items():
        name = table.source.name(position)
        if not name or name in kept or position == table.position or not stats.present:
            continue
        if stats.whole >= stats.numbers * NEARLY_ALL and _is_named(table, position, rows):
            named[name] = NAMED
        elif stats.present >= table.rows.kept * MOST and _is_numbering(table, position, rows):
            numbering[name] = NUMBERING
    return named, numbering


def is_id(name: str) -> bool:
    """Return whether a name is that of an id, such as Id, loan_id, customerId, userid or order_no."""
    return any(map(_ID.fullmatch, _words(name)))


def is_weak(name: str) -> bool:
    """Return whether a name is perhaps that of an id, such as order_no, sku.key or zip_code."""
    words = _words(name)
    if any(map(_SUM.fullmatch, words)):
        return False
    return any(map(_WEAK.fullmatch, words)) or (
        len(words) > 1 and _LAST_OF_WEAK.fullmatch(words[-1]) is not None
    )


def _words(name: str) -> list[str]:
    return [word.lower() for word in _WORD.findall(name)]


def is_numbering(values: Numbers) -> bool:
    """Return whether (n,) whole numbers, in the order of their rows, number the rows."""
    if len(values) < MIN_NUMBERS:
        return False
    least, greatest, steps = int(values.min()), int(values.max()), np.diff(values)
    if abs(int(steps[0])) == 1 and (steps == steps[0]).all():
        return True
    if least not in {0, 1} or greatest - least >= MAX_RANGE * len(values) or (steps == steps[0]).all():
        return False
    return len(np.unique(values)) == len(values)


def _is_named(table: InspectedTable, position: str, rows: Callable[[], int]) -> bool:
    name, stats = table.source.name(position), table.stats[position]
    unnamed, index = _UNNAMED.fullmatch(name), _INDEX.fullmatch(name)
    strong = unnamed or is_id(name)
    if not (strong or index or is_weak(name)):
        return False
    if strong and ((unnamed and stats.numbers) or stats.distinct >= stats.present * MOST):
        return True
    if index and stats.whole == stats.present:
        steps = np.diff(np.concatenate([numbers for _, numbers in _numbers(table, position)]))
        if np.count_nonzero(steps == 1) >= len(steps) * NEARLY_ALL:
            return True  # one index after the other
    if stats.distinct * MAX_COPIES < stats.present * NEARLY_ALL:  # approximate
        return False
    different = table.kept.select(pl.col(position).filter(pl.col(position) != "").n_unique())
    distinct = different.collect(engine="streaming").item()
    if distinct >= stats.present * ALL:
        return True
    return stats.distinct >= MIN_NUMBERS and distinct >= rows() * (NEARLY_ALL if strong else ALL)


def _different_rows(table: InspectedTable) -> int:
    """Return how many rows differ, of a table with copies."""
    cells = pl.concat_str(pl.all(), separator="\x1f").hash()
    return int(table.kept.select(cells.n_unique()).collect(engine="streaming").item())


def _is_numbering(table: InspectedTable, position: str, rows: Callable[[], int]) -> bool:
    name, stats = table.source.name(position), table.stats[position]
    files = len(table.source.tables)
    if any(_MEASURE.fullmatch(word.lower()) for word in (name, *_WORD.findall(name))):
        return False
    if stats.distinct * (max(files, MAX_COPIES) + 0.1) < stats.present:  # approximate
        return False
    style = _number_format(table, position)
    if style is None and stats.whole < stats.present:
        return False
    found = list(_numbers(table, position, style))
    if stats.present < table.rows.kept:  # a file has a step less than numbers
        return stats.present - files >= MIN_NUMBERS - 1 and all(_follow(*each) for each in found)
    parts = [numbers for _, numbers in found]
    values = np.concatenate(parts)
    if is_numbering(values) or (files > 1 and all(map(is_numbering, parts))):
        return True
    distinct, first = np.unique(values, return_index=True)
    return bool(
        len(distinct) < len(values)
        and is_numbering(values[np.sort(first)])
        and len(distinct) >= rows() * ALL  # as many numbers as rows, of which copies are in the table
    )


def _number_format(table: InspectedTable, position: str) -> NumberFormat | None:
    """Return how a column of whole numbers is written, as in 1,000, or None for plain and other numbers."""
    stats = table.stats[position]
    if stats.numbers == stats.present or not all(
        map(_DIGITS.fullmatch, (str(stats.least), str(stats.greatest)))
    ):
        return None
    column = columns.infer_column(table, position).column
    return column.feature.number_format if column and column.whole and not column.feature.strays else None


def _follow(rows: Numbers, numbers: Numbers) -> bool:
    """Return whether numbers differ as the places of their rows do."""
    return bool((np.diff(numbers) == np.diff(rows)).all() or (np.diff(numbers) == -np.diff(rows)).all())


def _numbers(
    table: InspectedTable, position: str, style: NumberFormat | None = None
) -> Iterator[tuple[Numbers, Numbers]]:
    """Yield the places of a column's whole numbers and these, file by file."""
    number = tables.whole(pl.col(position), style).alias("number")
    for file in table.source.tables:
        rows = replace(table, source=replace(table.source, tables=(file,))).kept
        numbers = rows.select(number).collect(engine="streaming").to_series()
        yield numbers.is_not_null().arg_true().to_numpy().astype(np.int64), numbers.drop_nulls().to_numpy()
