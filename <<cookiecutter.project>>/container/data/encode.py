"""Prepared tables, as the numbers that a model sees."""

import csv
import io
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import polars as pl

from container.data import comparable, dialects, split_keys, table_files, tables
from container.data.schema import Feature, Schema, Target
from container.data.split_keys import SplitKeys
from container.runtime.errors import UserError
from container.runtime.typing import FloatArray


@dataclass(frozen=True)
class TabularDataset:
    """Hold a prepared table as text and as numbers."""

    text: pl.DataFrame
    features: FloatArray  # (n, n_features), NaN for missing
    target: FloatArray  # (n,) numbers or class codes

    schema: Schema | None = None
    keys: SplitKeys | None = None  # by which its rows were split

    content_type: ClassVar[str] = "text/csv"

    def body(self, row: int) -> str:
        """Return a row as the body of a request, in which numbers have the format of their column."""
        cells = self.text.row(row)[1:]
        if self.schema is None:
            return line(cells)
        return line(tuple(map(Feature.spell, self.schema.features, cells)))

    def features_for(self, ours: Schema, theirs: Schema) -> FloatArray:
        """Return the (n, n_features) that a model of another schema sees.

        Raises:
            UserError: that model needs other columns.
        """
        return encode(rearranged(self.text, ours, theirs), theirs, "test.csv")


def read(directory: Path, schema: Schema) -> TabularDataset:
    """Read the prepared CSV file of a directory.

    Raises:
        UserError: the file does not fit the schema, or has no rows.
    """
    path = table_files.find(directory, table_files.CSV)[0]
    table = tables.inspect(path, directory, dialects.WRITTEN)
    expected = (schema.target.name, *(feature.name for feature in schema.features))
    if table.columns != expected:
        raise UserError(f"{table.name}: its columns are not the schema's: 'prepare' writes both")
    if not table.rows:
        raise UserError(f"{table.name}: there are no rows below the header")
    text = tables.scan(table).collect()
    target = _encode_target(text["0"], schema.target, table.name)
    keys = split_keys.read(directory / split_keys.FILE)
    if keys and len(keys.rows) != len(target):
        raise UserError(f"{table.name}: {split_keys.FILE} has {len(keys.rows)} keys: 'prepare' writes both")
    return TabularDataset(text, encode(text, schema, table.name), target, schema, keys)


def encode(text: pl.DataFrame, schema: Schema, name: str) -> FloatArray:
    """Return (n, n_features) for a frame whose columns are the target, then the features.

    The cells are those that `prepare` writes, with plain numbers. The result equals that of `Feature.encode`
    for the cells in the format of their column, but is computed by columns.
    """
    features = np.empty((text.height, len(schema.features)), dtype=np.float64)
    for place, feature in enumerate(schema.features):
        features[:, place] = encode_column(text[str(place + 1)], feature, name)
    return features


def rearranged(table: pl.DataFrame, schema: Schema, wanted: Schema) -> pl.DataFrame:
    """Return a table of one schema as a table of another; columns that only the first has are dropped.

    Raises:
        UserError: the schemas differ in their targets, or a column is missing, of another kind, or read
            otherwise.
    """
    target = schema.target
    if different := comparable.merged(target.name, target.classes or (), wanted.target.classes or ()):
        raise UserError(different)
    if not wanted.target.predicts_as(schema.target) or (
        wanted.target.classes is None
        and not comparable.same_numbers(table["0"], schema.target, wanted.target)
    ):
        raise UserError(f"it predicts {_described(wanted)}, and the new model {_described(schema)}")
    places = {feature.name: place for place, feature in enumerate(schema.features, 1)}
    columns = [pl.col("0")]
    for number, feature in enumerate(wanted.features, 1):
        place = places.get(feature.name)
        if place is None:
            raise UserError(f"it asks for the column '{feature.name}', which the new model does not have")
        existing = schema.features[place - 1]
        if (existing.kind, existing.format) != (feature.kind, feature.format):
            raise UserError(
                f"its column '{feature.name}' is {_kind(feature)}, and the new model's is {_kind(existing)}"
            )
        if different := comparable.difference(table[str(place)], existing, feature):
            raise UserError(different)
        columns.append(pl.col(str(place)).alias(str(number)))
    return table.select(columns)


def _described(schema: Schema) -> str:
    target = schema.target
    if target.classes is None:
        written = comparable.described(target.number_format) if target.number_format else "a number"
        return f"'{target.name}', {written}"
    shown = ", ".join(target.classes[:5]) + (", …" if len(target.classes) > 5 else "")  # noqa: PLR2004 - enough to recognise
    return f"'{target.name}', one of {shown}"


def _kind(feature: Feature) -> str:
    return f"a date like {feature.format}" if feature.kind == "date" else feature.kind


def line(cells: tuple[str, ...]) -> str:
    """Return a row as a line of CSV, without the line break."""
    text = io.StringIO()
    csv.writer(text).writerow(cells)  # with another line break, it would leave a cell's own unquoted
    return text.getvalue().removesuffix("\r\n")


def encode_column(cells: pl.Series, feature: Feature, name: str) -> FloatArray:
    """Return (n,) numbers of (n,) texts of a feature; `name` is that of the file, for messages."""
    return _numbers(cells, feature, name) if feature.kind == "numeric" else _codes(cells, feature)


def _encode_target(cells: pl.Series, target: Target, name: str) -> FloatArray:
    try:
        return _numbers(cells, target, name) if target.classes is None else _codes(cells, target)
    except ValueError as error:
        raise UserError(f"{name}: {error}") from error


def _codes(cells: pl.Series, column: Feature | Target) -> FloatArray:
    distinct = cells.unique()
    codes = [column.encode(text) for text in distinct]
    return cells.replace_strict(distinct, pl.Series(codes, dtype=pl.Float64)).to_numpy()


def _numbers(cells: pl.Series, column: Feature | Target, name: str) -> FloatArray:
    frame = cells.alias("cell").to_frame()
    cell = pl.col("cell")
    read = frame.select(
        tables.number(cell).alias("value"), (~tables.missing(cell, column.reading.missing)).alias("there")
    )
    wrong = (read["there"] & (read["value"].is_null() | read["value"].is_infinite())).arg_true()
    if len(wrong):
        row = int(wrong[0])
        raise UserError(
            f"{name}: row {row + 1}: '{column.name}' is '{cells[row]}', which is not a finite number"
        )
    return read["value"].fill_null(np.nan).to_numpy()
