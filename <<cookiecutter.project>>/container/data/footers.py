"""Footers of CSV files: a last line with a total or a count of rows, as programs and people add it."""

import re
from collections.abc import Collection

import polars as pl

from container.data import tables
from container.data.infer import InspectedTable
from container.runtime.errors import UserError

_WORDS = (
    "(grand |sub-?)?totals?|sums?|summe|gesamt|gesamtsumme|insgesamt|somme|suma|totale|total general|"
    "average|averages|mean|mittelwert|durchschnitt|moyenne|promedio"
)
_ROWS = "rows?|records?|observations?|lines?|entries|zeilen"
_FOOTER = re.compile(
    rf"(?:{_WORDS}) ?:?|(?:(?:number of |total )?(?:{_ROWS})|count|anzahl|n|{_WORDS}) ?[:=] ?[0-9][0-9.,]*|"
    rf"\(?[0-9][0-9.,]* (?:{_ROWS})(?: (?:affected|selected|returned|exported|in set.*))?\)?|"
    r"(?:sources?|notes?|quelle|data from database|last updated) ?:.*",
    re.IGNORECASE,
)
_NUMBER = re.compile(r"[-+(\u2212]?[^\w\s.,-]?[0-9][0-9.,' \u00a0\u202f]*(?:[eE][-+]?[0-9]+)? ?[^\w\s]?\)?")


def check(table: InspectedTable) -> None:
    """Refuse a file that ends in a footer, unless it has no target and is therefore not a row already.

    Raises:
        UserError: a last line has a footer's text, once in its column, and else numbers and empty cells.
    """
    words = table.source.reading.missing
    for file in table.source.tables:
        text, place = _footer(file.last, words), file.columns.index(table.target.feature.name)
        if not text or (place < len(file.last) and file.last[place] in words):
            continue
        rows = tables.scan(file).select((pl.col(str(file.last.index(text))) == text).sum())
        if rows.collect(engine="streaming").item() == 1:
            raise UserError(
                f"{file.name}: the last line ({','.join(file.last)}) looks like a footer, not like a row: "
                "remove it; where it is a row, fill in its empty cells, or write another word for "
                f"'{text}'"
            )


def _footer(cells: tuple[str, ...], missing: Collection[str]) -> str:
    """Return the text that begins a footer, or nothing."""
    present = [cell for cell in cells if cell not in missing]
    if not present or len(present) == len(cells) or not _FOOTER.fullmatch(present[0]):
        return ""
    return present[0] if all(map(_NUMBER.fullmatch, present[1:])) else ""
