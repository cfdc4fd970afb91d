"""Columns that only name or number the rows: ids, saved indexes and row numbers.

A column is one by its name or by its values.

By its name: it has a word such as id, uuid or key, or is that of an index, and most of the values differ.
By its values: they are whole numbers that all differ although they lie close to one another. Of n values that
are drawn from a range of s whole numbers, all differ with a probability of about exp(-n² / 2s), so measured
values repeat long before they are that dense. The rule holds in any order of the rows, and for the numbers of
each file on their own. Evenly spaced values in the order of the rows number them too. Years, other moments,
ages, ranks and counts can be dense as well: their names, or their form, tell them from row numbers.
"""

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
import polars as pl
from numpy.typing import NDArray

from container.data import tables
from container.data.infer import InspectedTable

NEARLY_ALL = 0.95
MOST = 0.5  # share of an id's values that differ at least; two rows may belong to one order or customer
MIN_NUMBERS = 20  # fewer values may be a scale, such as heights from 58 to 72
DENSE, DENSE_IN_ORDER = 10, 5  # n² / 2s; in the order of the rows, less is needed
WORDS = frozenset({"id", "ids", "uid", "uuid", "guid", "pk", "key", "identifier", "rowid", "idx", "rownum"})
LAST_WORDS = frozenset({"no", "nr", "number"})  # as in order_no; number_of_rooms and number are measurements
INDEXES = frozenset({"index", "level_0", "row", "rows", "rownames", "row_names", "row.names", "row_number"})
MEASURES = frozenset(
    {
        *(
            "age",
            "rank",
            "score",
            "count",
            "freq",
            "frequency",
            "dist",
            "distance",
            "amount",
            "price",
            "size",
        ),
        *("length", "weight", "height", "depth", "temperature"),
        *("t", "ts", "time", "timestamp", "datetime", "date", "epoch", "period", "second", "minute", "hour"),
        *("day", "week", "month", "quarter", "season", "year", "yr", "decade"),
        *(
            "jahr",
            "datum",
            "tag",
            "monat",
            "woche",
            "fecha",
            "año",
            "ano",
            "mes",
            "dia",
            "année",
            "annee",
            "jour",
        ),
    }
)
_JOINED = re.compile(  # userid, but not paid
    r"(?!.*(paid|bid|acid|grid|solid|valid|liquid|fluid|humid|rapid|void|kid|covid)$).{2,}id"
)
_EPOCH = (631_152_000, 4_102_444_800)  # 1990 and 2100, in seconds since 1970
_UNNAMED = re.compile(r"Unnamed: \d+(\.\d+)*|\.\.\.\d+|__index_level_\d+__")
_WORD = re.compile(r"[A-Z]+(?![a-zà-ÿ])|[A-Z]?[a-zà-ÿ]+|\d+")
NAMED = "its name is that of an id or an index, and most of its values differ; name it in kinds to keep it"
NUMBERING = (
    "it numbers the rows: its values are whole numbers that lie close together and all differ; "
    "name it in kinds to keep it"
)

Numbers = NDArray[np.int64]


@dataclass(frozen=True)
class Identifiers:
    """Hold the reason to leave out each column that names or numbers the rows, by the column's name.

    Those in `numbering` are known by their values only. In a table without other columns they are used.
    """

    named: Mapping[str, str]
    numbering: Mapping[str, str]


def find(table: InspectedTable, kept: Collection[str]) -> Identifiers:
    """Return the columns that name or number the rows, but for those whose names are in `kept`.

    The memory is that of one column at a time.
    """
    named, numbering = [], []
    for position, stats in table.stats.items():
        name = table.source.name(position)
        numbers = stats.whole >= stats.present * NEARLY_ALL
        if not name or name in kept or position == table.target or not stats.present:
            continue
        if (numbers or not stats.numbers) and _is_named(table, position):
            named.append(name)
        elif numbers and _is_numbering(table, position):
            numbering.append(name)
    return Identifiers(dict.fromkeys(named, NAMED), dict.fromkeys(numbering, NUMBERING))


def _is_named(table: InspectedTable, position: str) -> bool:
    name, stats = table.source.name(position), table.stats[position]
    unnamed = bool(_UNNAMED.fullmatch(name))
    index = unnamed or name.lower() in INDEXES
    if not index and not is_id(name):
        return False
    if (unnamed and stats.numbers) or stats.distinct >= stats.present * MOST:
        return True
    if index and stats.whole == stats.present:
        steps = np.diff(np.concatenate(list(_numbers(table, position))))
        return bool(np.count_nonzero(steps == 1) >= len(steps) * NEARLY_ALL)  # indexes one after the other
    if stats.distinct < MIN_NUMBERS:
        return False
    cells = pl.concat_str(pl.all(), separator="\x1f").hash().approx_n_unique()
    rows = table.kept.select(cells).collect(engine="streaming").item()
    return bool(stats.distinct >= rows * NEARLY_ALL)  # as many ids as rows, where rows stand several times


def is_id(name: str) -> bool:
    """Return whether a name is that of an id, such as Id, loan_id, customerId, userid or order_no."""
    words = [word.lower() for word in _WORD.findall(name)]
    if not words:
        return False
    joined = _JOINED.fullmatch(words[-1])
    return bool(joined) or not WORDS.isdisjoint(words) or (len(words) > 1 and words[-1] in LAST_WORDS)


def _is_numbering(table: InspectedTable, position: str) -> bool:
    name, stats = table.source.name(position), table.stats[position]
    words = {word.lower().removesuffix("s") for word in _WORD.findall(name)} | {name.lower()}
    files = len(table.source.tables)
    if not MEASURES.isdisjoint(words) or stats.distinct * (files + 0.1) < stats.present:  # approximate
        return False
    if stats.present < table.stats[table.target].present * NEARLY_ALL:
        return False
    parts = list(_numbers(table, position))
    return is_numbering(np.concatenate(parts)) or (files > 1 and all(map(is_numbering, parts)))


def is_numbering(values: Numbers) -> bool:
    """Return whether (n,) whole numbers, in the order of their rows, number the rows."""
    if len(values) < MIN_NUMBERS:
        return False
    least, greatest = int(values.min()), int(values.max())
    steps = np.diff(values)
    in_order = bool((steps > 0).all() or (steps < 0).all())
    even = in_order and bool((steps == steps[0]).all())
    density = len(values) ** 2 / (2 * (greatest - least + 1))
    if not even and density < (DENSE_IN_ORDER if in_order else DENSE):
        return False
    if _are_moments(values) and not (even and abs(int(steps[0])) == 1):
        return False
    return in_order or len(np.unique(values)) == len(values)


def _are_moments(values: Numbers) -> bool:
    """Return whether whole numbers are dates such as 20260131 or 202601, or moments since 1970."""

    def within(first: int, last: int) -> bool:
        return first <= int(values.min()) and int(values.max()) <= last

    months, days = np.arange(1, 13), np.arange(1, 32)
    if within(180_001, 220_012):  # from 1800 to 2200
        return bool(np.isin(values % 100, months).all())
    if within(18_000_101, 22_001_231):
        return bool((np.isin(values // 100 % 100, months) & np.isin(values % 100, days)).all())
    return any(within(_EPOCH[0] * unit, _EPOCH[1] * unit) for unit in (1, 10**3, 10**6, 10**9))


def _numbers(table: InspectedTable, position: str) -> Iterator[Numbers]:
    """Yield the whole numbers of a column, file by file."""
    for file in table.source.tables:
        rows = replace(table, source=replace(table.source, tables=(file,))).kept
        numbers = rows.select(tables.whole(pl.col(position)).alias("number")).drop_nulls()
        yield numbers.collect(engine="streaming").to_series().to_numpy()
