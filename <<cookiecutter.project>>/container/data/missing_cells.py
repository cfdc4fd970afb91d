"""The cells that count as missing although they hold a text, as the report lists them."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import polars as pl

from container.data import tables
from container.data.infer import Column, InferredTable, InspectedTable

WORD, STRAY = "a word for a missing value", "does not fit the column's kind"


@dataclass
class Found:
    """Hold how many cells count as missing for one reason, and where the first is, with its text."""

    column: str
    cells: int = 0
    first: str = ""
    text: str = ""
    why: str = WORD

    def add(self, times: int, where: str, text: str) -> None:
        """Count cells, the first of which is at a place."""
        if not self.cells:
            self.first, self.text = where, tables.shorten(text)
        self.cells += times


@dataclass
class _Counts:
    found: dict[tuple[str, str], Found] = field(default_factory=dict)

    def add(self, column: str, why: str, batch: pl.DataFrame, where: str) -> None:
        """Count each word of a column, and all strays together; the batch has rows and texts."""
        texts = batch.group_by("text", maintain_order=True).agg(pl.len(), pl.col(tables.ROW).first())
        for text, times, row in texts.rows():
            key = (column, text if why == WORD else "")
            self.found.setdefault(key, Found(column, why=why)).add(times, f"{where}: row {row}", text)


def count(table: InspectedTable, inferred: InferredTable) -> list[Found]:
    """Return the words for a missing value, each by itself, and the strays of each column, in one pass."""
    asked = list(_asked(table, inferred))
    counts = _Counts()
    if not asked:
        return []
    target = table.position
    for part in table.source.tables:
        frame = tables.scan(part, table.source.columns).with_row_index(tables.ROW, 1)
        used = {position for position, _ in asked}
        rows = frame.select(tables.ROW, *sorted(used | {target}), table.has_target.alias("kept"))
        for batch in rows.collect_batches(maintain_order=True):
            kept = batch.filter("kept")
            for position, column in asked:
                body = batch if position == target else kept
                name, cell = table.source.name(position), pl.col(position)
                missing = column.is_missing(cell) if column else table.source.missing(position)
                word = missing & (cell != "")
                texts = pl.col(tables.ROW), cell.alias("text")
                counts.add(name, WORD, body.filter(word).select(*texts), part.name)
                if column and column.feature.strays:
                    counts.add(name, STRAY, body.filter(column.is_stray(cell)).select(*texts), part.name)
    return list(counts.found.values())


def _asked(table: InspectedTable, inferred: InferredTable) -> Iterator[tuple[str, Column | None]]:
    """Yield the position of each column that holds words or strays, and the column unless it is dropped."""
    columns = {column.feature.name: column for column in (inferred.target, *inferred.columns)}
    for position, stats in table.stats.items():
        name = table.source.name(position)
        column = columns.get(name)
        lacking = position == table.position and table.rows.without_target
        if name and (lacking or stats.filled > stats.present or _may_hold_any(column)):
            yield position, column


def _may_hold_any(column: Column | None) -> bool:
    """Return whether a column has strays, or a number format in which a number may be a word for missing."""
    feature = column.feature if column else None
    return bool(feature and (feature.strays or (feature.number_format and feature.reading.numbers)))
