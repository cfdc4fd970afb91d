"""Suggest a baseline, with which later data is compared."""

from collections.abc import Iterator
from pathlib import Path

import polars as pl

from container.data.schema import Schema
from container.monitor import baseline_file
from container.monitor.baseline_file import LISTED, READING
from container.monitor.constraints import by_frequency, suggest
from container.monitor.files import Document, constraints_document, statistics_document, write
from container.monitor.profile import MAX_TEXTS, TableProfile
from container.monitor.reading import of_baseline
from container.monitor.settings import DRIFT_THRESHOLD
from container.runtime.errors import UserError


def write_baseline(
    profile: TableProfile, output: Path, threshold: float = DRIFT_THRESHOLD, schema: Path | None = None
) -> str:
    """Write statistics.json and constraints.json; return the outcome in one line.

    `threshold` is the distance, from 0 to 1, above which later data has drifted. `schema` is the directory of
    the schema by which requests are read; constraints.json keeps it for columns that need it, and the names
    of those that the model does not see.

    Raises:
        UserError: the data has no rows, or the schema cannot be read.
    """
    if not profile.rows:
        raise UserError("the data has no rows: a baseline needs at least one")
    listed = dict(_take_listed(profile))
    documents = _documents(profile, threshold)
    if listed:
        documents["constraints.json"][LISTED] = listed
    read_by = of_baseline(Schema.read(schema / "schema.json")) if schema else None
    if read_by and (read_by.features or read_by.left_out):
        documents["constraints.json"][READING] = read_by.to_json()
    for name, document in documents.items():
        write(output / name, document)
    return f"Completed: a baseline of {profile.rows} rows and {len(profile.columns)} columns was suggested."


def _take_listed(profile: TableProfile) -> Iterator[tuple[str, dict[str, int]]]:
    """Take the counted texts out of columns that have more than the analyzer lists.

    Its files have no distribution of such a column: with one of some texts, the analyzer would compare it as
    if the column had no others.
    """
    for column in profile.columns.values():
        if column.known_texts and (column.truncated or len(column.texts) > MAX_TEXTS):
            if column.text:
                yield column.name, dict(by_frequency(column.texts))
            column.known_texts, column.texts, column.truncated = frozenset(), {}, True


def add_columns(source: Path, added: pl.DataFrame, output: Path) -> None:
    """Write the baseline of a directory with more columns, whose number of rows may be another."""
    profile = TableProfile()
    profile.update(added)
    for name, more in _documents(profile, DRIFT_THRESHOLD).items():
        document = baseline_file.document(source / name)
        write(output / name, document | {"features": document["features"] + more["features"]})


def _documents(profile: TableProfile, threshold: float) -> dict[str, Document]:
    suggested = [suggest(column) for column in profile.columns.values()]
    return {
        "statistics.json": statistics_document(profile),
        "constraints.json": constraints_document(suggested, threshold),
    }
