"""Footers of CSV files: a last line with a total or a count of rows, as programs and people add it."""

import math
import re
from collections.abc import Set as AbstractSet

import numpy as np
import polars as pl

from container.data import tables, values
from container.data.infer import MIN_ROWS, InspectedTable
from container.data.tables import Table
from container.data.values import NumberFormat
from container.runtime.errors import UserError

_WORDS = (
    "(grand |sub-?)?totals?|sums?|summe|gesamt|gesamtsumme|insgesamt|somme|suma|totale|total general|"
    "average|averages|mean|mittelwert|durchschnitt|moyenne|promedio"
)
_ROWS = "rows?|records?|observations?|lines?|entries|zeilen"
_FOOTER = re.compile(
    rf"(?:{_WORDS}) ?:?|"
    rf"(?:(?:number of |total )?(?:{_ROWS})|(?:(?:{_ROWS}) )?count|anzahl|n|{_WORDS}) ?[:=] ?[0-9][0-9.,]*|"
    rf"\(?(?:(?:{_WORDS})(?: ?[:=]| of)? ?)?[0-9][0-9.,]* (?:{_ROWS})"
    r"(?: (?:affected|selected|returned|exported|in total|in set.*))?\)?|"
    r"(?:sources?|notes?|quelle|data from database|last updated) ?:.*",
    re.IGNORECASE,
)
_NUMBER = re.compile(r"[-+(\u2212]?[^\w\s.,-]?[0-9][0-9.,' \u00a0\u202f]*(?:[eE][-+]?[0-9]+)? ?[^\w\s]?\)?")


def check(table: InspectedTable) -> None:
    """Refuse a file that ends in a footer, unless it has no target and is therefore not a row already.

    Raises:
        UserError: a last line is a footer with a target.
    """
    target = table.target.feature
    for file in table.source.tables:
        ends_in_one(file, target.name, table.source.reading.missing, target.number_format)


def ends_in_one(file: Table, target: str, missing: AbstractSet[str], style: NumberFormat | None) -> bool:
    """Return whether a file ends in a footer without a target, which is not a row.

    A footer is a last line with the text of one, once in its column, and numbers beside a gap, or a sum.
    `style` is how the target's numbers are written.

    Raises:
        UserError: it ends in a footer that has a target, or in one where no column is the target.
    """
    text = _footer(file.last, missing)
    if not text:
        return False
    rows, is_footer = tables.scan(file), pl.col(str(file.last.index(text))) == text
    once = rows.select(is_footer.sum()).collect(engine="streaming").item() == 1
    has_gap = not missing.isdisjoint(file.last)
    if not once or not (has_gap or _sums(rows.filter(~is_footer), file.last, style)):
        return False
    place = file.columns.index(target) if target in file.columns else len(file.last)
    if place < len(file.last) and file.last[place] in missing:
        return True
    raise UserError(
        f"{file.name}: the last line ({','.join(file.last)}) looks like a footer, not like a row: "
        f"remove it; where it is a row, write another word for '{text}', or fill in its empty cells"
    )


def _footer(cells: tuple[str, ...], missing: AbstractSet[str]) -> str:
    """Return the text that begins a footer, or nothing."""
    present = [cell for cell in cells if cell not in missing]
    if not present or not _FOOTER.fullmatch(present[0]):
        return ""
    return present[0] if all(map(_NUMBER.fullmatch, present[1:])) else ""


def _sums(above: pl.LazyFrame, last: tuple[str, ...], style: NumberFormat | None) -> bool:
    """Return whether a number is the sum or the mean of those above, and hardly by chance."""
    for place, number in enumerate(values.number(cell, style) for cell in last):
        cells = above.select(tables.number(pl.col(str(place)), style)).collect(engine="streaming")
        column = cells.to_series().drop_nulls().to_numpy()
        if number is not None and len(column) >= MIN_ROWS and np.ptp(column):
            for figure in (float(column.sum()), float(column.mean())):
                by_chance = figure.is_integer() and column.min() <= figure <= column.max()  # a flag's sum
                if not by_chance and math.isclose(number, figure, rel_tol=1e-6):
                    return True
    return False
