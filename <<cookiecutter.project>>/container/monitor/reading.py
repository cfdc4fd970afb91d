"""Cells of requests in the spelling of the baseline, by the reading of the model's schema."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import polars as pl

from container.data import tables, values
from container.data.schema import Feature, Schema
from container.payload.errors import RequestError
from container.payload.feature_decoder import FeatureDecoder

_TRUTH = {word: str(int(value)) for word, value in values.TRUTH.items()}
Readers = Mapping[str, "ColumnReader"]


def of_baseline(schema: Schema) -> Schema:
    """Return a schema with the features whose requests may be spelled otherwise than the baseline."""
    return replace(schema, features=tuple(filter(_is_spelled_in_several_ways, schema.features)))


def counted_texts(schema: Schema) -> dict[str, frozenset[str]]:
    """Return the texts of each feature that a baseline counts however many others there are.

    They are the categories that the model knows of a column with more of them, if there is such a column.
    """
    texts = {
        feature.name: frozenset(feature.categories or ()) if feature.other else frozenset[str]()
        for feature in schema.features
    }
    return texts if any(texts.values()) else {}


def readers(schema: Schema | None) -> Readers:
    """Return a reader for each feature of a baseline's schema."""
    return {feature.name: ColumnReader(feature) for feature in (schema.features if schema else ())}


def _is_spelled_in_several_ways(feature: Feature) -> bool:
    if feature.kind == "date" or feature.strays or feature.boolean:
        return True
    if feature.number_format or feature.reading.words:
        return True
    return any(
        values.number(text) is not None or text.lower() in values.TRUTH or values.is_moment(text)
        for text in feature.categories or ()
    )


class ColumnReader:
    """Spell a column's cells as `prepare` writes them.

    A missing value is null, as is a date that the model can't read, and a stray where training had some.
    Other texts stay as they are.
    """

    def __init__(self, feature: Feature) -> None:
        self.decoder = FeatureDecoder(feature)
        self.feature = feature

    def texts(self, cells: pl.Series) -> pl.Series:
        """Return the cells of CSV as the baseline has them."""
        if self.feature.kind == "numeric":
            return self._numbers(cells)
        distinct = cells.unique()
        spelled = pl.Series([self.decoder.spell(text) for text in distinct], dtype=pl.String)
        return cells.replace_strict(distinct, spelled)

    def values(self, cells: Sequence[Any]) -> pl.Series | None:
        """Return values of JSON as the baseline has them, or None where they are its numbers already."""
        kinds = set(map(type, cells)) - {type(None)}
        if self.feature.kind != "numeric":
            return pl.Series(values=[self._spell(cell) for cell in cells], dtype=pl.String)
        if kinds <= {int, float} and not self.decoder.has_words:
            return None
        return self._numbers(pl.Series(values=[self.decoder.text(cell) for cell in cells], dtype=pl.String))

    def _spell(self, cell: Any) -> str | None:
        try:
            return self.decoder.spell(cell)
        except RequestError:  # the endpoint refuses the cell
            if self.feature.kind == "date":
                return None
            raise

    def _numbers(self, cells: pl.Series) -> pl.Series:
        cell, style = pl.first().str.strip_chars(values.BLANKS), self.feature.number_format
        number = tables.spell(cell, style)
        if self.feature.boolean:
            number = pl.coalesce(number, cell.str.to_lowercase().replace_strict(_TRUTH, default=None))
        read = number if self.feature.strays else pl.coalesce(number, cell)
        present = pl.when(~tables.missing(cell, self.feature.reading.missing, style)).then(read)
        return cells.to_frame().select(present).to_series()
