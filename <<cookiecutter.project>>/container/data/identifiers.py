"""Columns that only name or number the rows: ids, saved indexes and row numbers.

A name with a word such as id, uuid or key, or an index's name, marks a column in which most values differ.
The values alone mark whole numbers, none of them missing, that all differ although they lie close together,
in any order of the rows, over all files or within each. Where some are missing, the others must follow
their rows: the third after a number is larger or smaller by three. Of n values drawn from a range of s, all
differ with a probability of about exp(-n² / 2s), so measured values repeat long before they are that dense.
Evenly spaced values in the order of the rows are marked too. Years, other moments, ages, ranks and counts are
dense as well: their names, or the form of a date or of seconds since 1970, tell them from row numbers.
"""

import re
from collections.abc import Collection, Iterator
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
DENSE, DENSE_IN_ORDER = 10, 5  # n² / 2s; in the order of the rows, less is needed
NAMED = "its name is that of an id or an index, and most of its values differ; name it in kinds to keep it"
NUMBERING = "its whole numbers lie close together and all differ, as row numbers; name it in kinds to keep it"
_EPOCH = (631_152_000, 4_102_444_800)  # 1990 and 2100, in seconds since 1970
_DAYS = (18_000_000, 22_000_000)  # as in 20260131
_DIGITS = re.compile("[+-]?[0-9][0-9.,' \u00a0\u2009\u202f\u2019]*")  # as in 1,000
_WORD = re.compile(r"[A-Z]+(?![a-zà-ÿ])|[A-Z]?[a-zà-ÿ]+|\d+")
_ID = re.compile("ids?|u?uid|guid|pk|key|identifier|idx|rownum")
_LAST_OF_ID = re.compile(  # order_no, userid; but not paid
    "no|nr|number|(?!.*(paid|bid|acid|grid|solid|valid|liquid|fluid|humid|rapid|void|kid|covid)$).{2,}id"
)
_UNNAMED = re.compile(r"Unnamed: \d+(\.\d+)*|\.\.\.\d+|__index_level_\d+__")  # by pandas and R
_INDEX = re.compile(r"index|level_0|rows?|row[._]?names|row_number", re.IGNORECASE)
_MEASURE = re.compile(
    "(age|rank|score|count|freq|frequency|dist|distance|amount|price|size|length|weight|height|depth|temperature|"
    "t|ts|time|timestamp|datetime|date|epoch|period|second|minute|hour|day|week|month|quarter|season|year|yr|"
    "decade|jahr|datum|tag|monat|woche|fecha|año|ano|mes|dia|année|annee|jour|mois)s?"
)

Numbers = NDArray[np.int64]


def find(table: InspectedTable, kept: Collection[str]) -> tuple[dict[str, str], dict[str, str]]:
    """Return the reasons to leave out columns: of those that their names mark, and of those their values do.

    The names in `kept` are passed over. The memory is that of one column at a time.
    """
    named, numbering = {}, {}
    for position, stats in table.stats.items():
        name = table.source.name(position)
        if not name or name in kept or position == table.position or not stats.present:
            continue
        if stats.whole >= stats.numbers * NEARLY_ALL and _is_named(table, position):
            named[name] = NAMED
        elif stats.present >= table.rows.kept * MOST and _is_numbering(table, position):
            numbering[name] = NUMBERING
    return named, numbering


def is_id(name: str) -> bool:
    """Return whether a name is that of an id, such as Id, loan_id, customerId, userid or order_no."""
    words = [word.lower() for word in _WORD.findall(name)]
    last = words[-1] if len(words) > 1 or name.lower().endswith("id") else ""
    return any(map(_ID.fullmatch, words)) or _LAST_OF_ID.fullmatch(last) is not None


def is_numbering(values: Numbers) -> bool:
    """Return whether (n,) whole numbers, in the order of their rows, number the rows."""
    if len(values) < MIN_NUMBERS:
        return False
    least, greatest, steps = int(values.min()), int(values.max()), np.diff(values)
    in_order = bool((steps > 0).all() or (steps < 0).all())
    even = in_order and bool((steps == steps[0]).all())
    density = len(values) ** 2 / (2 * (greatest - least + 1))
    if not even and density < (DENSE_IN_ORDER if in_order else DENSE):
        return False
    if any(_EPOCH[0] * unit <= least and greatest <= _EPOCH[1] * unit for unit in (1, 10**3, 10**6, 10**9)):
        return even and abs(int(steps[0])) == 1
    months = values // 100 % 100
    if _DAYS[0] < least and greatest < _DAYS[1] and months.min() > 0 and months.max() <= 12:  # noqa: PLR2004 - December
        return False
    return in_order or len(np.unique(values)) == len(values)


def _is_named(table: InspectedTable, position: str) -> bool:
    name, stats = table.source.name(position), table.stats[position]
    unnamed, index = _UNNAMED.fullmatch(name), _INDEX.fullmatch(name)
    if not (unnamed or index or is_id(name)):
        return False
    if (unnamed and stats.numbers) or stats.distinct >= stats.present * MOST:
        return True
    if index and stats.whole == stats.present:
        steps = np.diff(np.concatenate([numbers for _, numbers in _numbers(table, position)]))
        return bool(np.count_nonzero(steps == 1) >= len(steps) * NEARLY_ALL)  # one index after the other
    cells = pl.concat_str(pl.all(), separator="\x1f").hash().approx_n_unique()
    rows = table.kept.select(cells).collect(engine="streaming").item() if stats.distinct >= MIN_NUMBERS else 0
    return bool(
        0 < rows * NEARLY_ALL <= stats.distinct
    )  # as many ids as rows, of which copies are in the table


def _is_numbering(table: InspectedTable, position: str) -> bool:
    name, stats = table.source.name(position), table.stats[position]
    files = len(table.source.tables)
    if any(_MEASURE.fullmatch(word.lower()) for word in (name, *_WORD.findall(name))):
        return False
    if stats.distinct * (files + 0.1) < stats.present:  # approximate
        return False
    style = _number_format(table, position)
    if style is None and stats.whole < stats.present:
        return False
    found = list(_numbers(table, position, style))
    if stats.present < table.rows.kept and not all(_follow(*each) for each in found):
        return False
    parts = [numbers for _, numbers in found]
    return is_numbering(np.concatenate(parts)) or (files > 1 and all(map(is_numbering, parts)))


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
