"""Predictions for a CSV file, through an endpoint or from a saved model."""

from __future__ import annotations

import csv
import io
import json
import math
import operator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, TypeAlias

from container.data import values
from container.data.schema import Target
from container.runtime.errors import UserError
from local.project import LocalError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from container.data.schema import Schema
    from container.data.values import NumberFormat

Answer: TypeAlias = float | str

LONGEST_CELL = 33_554_432  # of the container
csv.field_size_limit(LONGEST_CELL)


@dataclass(frozen=True)
class Table:
    """Rows to predict: the columns' names, the fields as text, and labels when the file has them."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    labels: tuple[str, ...] | None
    formats: Mapping[str, NumberFormat] = field(default_factory=dict)  # where the rows have plain numbers
    remarks: tuple[str, ...] = ()  # on how the file of images was read

    at_once: ClassVar[int] = 500  # rows of a request
    suffix: ClassVar[str] = ".csv"  # of a file of training data

    def body(self, start: int, stop: int) -> str:
        """Write the rows from start to stop as CSV with a header."""
        text = io.StringIO()
        writer = csv.writer(text)  # its line break, "\\r\\n", is what it quotes within a cell
        writer.writerow(self.columns)
        writer.writerows(self.spelled(self.rows[start:stop]))
        return text.getvalue()

    def packed(self, target: str) -> bytes:
        """Write the rows with their labels as a file of training data."""
        text = io.StringIO()
        writer = csv.writer(text)
        writer.writerow([*self.columns, target])
        style = self.formats.get(target)
        labels = [label if style is None else style.spell(label) for label in self.labels or ()]
        writer.writerows([*row, label] for row, label in zip(self.spelled(self.rows), labels, strict=True))
        return text.getvalue().encode()

    def spelled(self, rows: Sequence[Sequence[str]]) -> list[list[str]]:
        """Return rows whose plain numbers have the formats of their columns, as requests have them."""
        styles = [self.formats.get(name) for name in self.columns]
        return [
            [cell if style is None else style.spell(cell) for style, cell in zip(styles, row, strict=True)]
            for row in rows
        ]


def read_table(text: str, target: str) -> Table:
    """Read CSV with a header; the target's column, where there is one, becomes the labels.

    Blank lines are skipped.

    Raises:
        LocalError: the text is not a table.
    """
    header, *rows = _rows(text)
    return _table(header, rows, target)


def read_file(path: Path, schema: Schema, delimiter: str = "auto") -> Table:
    """Read a file as `prepare` reads it; the target's column, where there is one, becomes the labels.

    Hive's folders around the file name columns where the model has them. `delimiter` is that of CSV in
    project.toml.

    Raises:
        LocalError: the file can't be read, or is not a table.
    """
    from container.data import reading, tables  # noqa: PLC0415 - a terminal need not wait for polars

    if delimiter not in {"auto", *reading.DELIMITERS}:
        choices = ", ".join(("auto", *reading.DELIMITERS))
        raise LocalError(
            f"delimiter in [data] of project.toml is '{delimiter}', and must be one of {choices}."
        )
    path = path.absolute()
    try:
        found = tables.inspect(path, _root(path), delimiter)
        folders = {name for name, _ in found.folders}
        unused = folders.difference((schema.target.name, *(feature.name for feature in schema.features)))
        columns = tuple(name for name in found.columns if name not in unused)
        rows = tables.scan(found, columns).collect().rows()
    except UserError as error:
        raise LocalError(f"{error}.") from None
    except OSError as error:
        raise LocalError(f"{path} can't be read: {error.strerror}.") from None
    typed = {name for name in columns if found.kind_of(name) == "numbers"}
    formats = {name: style for name, style in schema.number_formats.items() if name in typed}
    width = len(found.columns) - len(folders)
    kept = [row for row in Table(columns, (), None, formats).spelled(rows) if any(row[:width])]
    if not kept:
        raise LocalError(f"{path} has no rows to predict below its header.")
    return _table(columns, kept, schema.target.name)


def _root(path: Path) -> Path:
    """Return the folder above those that name columns; the same column is named once."""
    root, names = path.parent, set[str]()
    for folder in path.parents:
        name, mark, _ = folder.name.partition("=")
        if mark and name in names:
            break
        if mark:
            names.add(name)
            root = folder.parent
    return root


def absent_columns(table: Table, schema: Schema) -> str:
    """Return which of the model's columns a table lacks, in a sentence, or nothing."""
    names = [feature.name for feature in schema.features]
    absent = [name for name in names if name not in table.columns]
    if not absent:
        return ""
    return (
        f"The file lacks {len(absent)} of the model's {len(names)} columns: {', '.join(absent)}. "
        "They are missing values in every row, and the predictions are made without them."
    )


def describe_cells(table: Table, schema: Schema) -> list[str]:
    """Return how many cells are missing or unknown to the model, and which columns it does not have."""
    from container.payload.errors import RequestError  # noqa: PLC0415 - as polars above
    from container.payload.feature_decoder import FeatureDecoder  # noqa: PLC0415 - as polars above

    cells = dict(zip(table.columns, zip(*table.rows, strict=True), strict=True))
    missing, unknown, refused = {}, {}, []
    for feature in schema.features:
        name, column = feature.name, cells.pop(feature.name, ())
        try:
            _, missing[name], unknown[name] = FeatureDecoder(feature).decode(column)
        except RequestError as error:  # an endpoint of another version of this code has taken it
            refused.append(f"this project would refuse what the endpoint took: {error.message}")
    return [
        *refused,
        *_counted("missing values", missing),
        *_counted("values that the model does not know", unknown),
        *_mostly_unknown(unknown, len(table.rows)),
        *([f"columns that the model does not use: {', '.join(map(repr, cells))}"] if cells else []),
    ]


def _counted(what: str, counts: Mapping[str, int]) -> Iterator[str]:
    if total := sum(counts.values()):
        places = ", ".join(f"{name}: {count}" for name, count in counts.items() if count)
        yield f"{what}: {total} ({places})"


def _mostly_unknown(unknown: Mapping[str, int], rows: int) -> Iterator[str]:
    if names := ", ".join(name for name, count in unknown.items() if count > rows / 2):
        yield f"warning: most cells of {names} are unknown to the model: are they written as in training?"


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]], target: str) -> Table:
    if target not in columns:
        return Table(tuple(columns), tuple(map(tuple, rows)), None)
    at = columns.index(target)
    return Table(
        columns=(*columns[:at], *columns[at + 1 :]),
        rows=tuple((*row[:at], *row[at + 1 :]) for row in rows),
        labels=tuple(row[at] for row in rows),
    )


def _rows(text: str) -> list[list[str]]:
    """Read the header and at least one row below it, all of one width."""
    try:
        rows = [row for row in csv.reader(io.StringIO(text), strict=True) if row]
    except csv.Error as error:
        raise LocalError(f"The file is not CSV: {error}.") from None
    if len(rows) < 2:  # noqa: PLR2004 - a header and one row
        raise LocalError("The file has no rows to predict: it needs a header and at least one row.")
    width = len(rows[0])
    for number, row in enumerate(rows[1:], 1):
        if len(row) != width:
            raise LocalError(f"Row {number} has {len(row)} cells, and the header has {width}.")
    return rows


def predict(
    table: Table, ask: Callable[[str], list[Answer]], rows_a_request: int | None = None
) -> list[Answer]:
    """Ask for all rows in requests of at most `rows_a_request` rows, else of as many as the table says."""
    answers: list[Answer] = []
    most = rows_a_request or table.at_once
    for start in range(0, len(table.rows), most):
        stop = min(start + most, len(table.rows))
        part = ask(table.body(start, stop))
        if len(part) != stop - start:
            raise LocalError(f"{stop - start} rows were sent and {len(part)} predictions came back.")
        answers.extend(part)
    return answers


def read_answers(body: bytes) -> list[Answer]:
    """Read the container's JSON answer: numbers, or labels with their probabilities."""
    predictions = json.loads(body)["predictions"]
    return [each["label"] if isinstance(each, dict) else float(each) for each in predictions]


def score(labels: tuple[str, ...], answers: list[Answer], target: Target | None = None) -> dict[str, float]:
    """Score predictions against labels: rows, mse, rmse, mae and r2, or rows and accuracy for classes.

    Labels are read as the training reads them; those that are missing or can't be read are counted. Without a
    target, labels are those of a prepared split.
    """
    target = target or _target_of(labels, answers)
    known, predicted, missing = [], [], 0
    for label, answer in zip(labels, answers, strict=True):
        value = _read(label, target)
        if value is None or math.isnan(value):
            missing += value is not None
            continue
        known.append(value)
        predicted.append(float(answer if target.classes is None else target.classes.index(str(answer))))
    unreadable = len(labels) - len(known) - missing
    counts = {"rows": len(known), "rows without a label": missing, "unreadable labels": unreadable}
    scores: dict[str, float] = {name: count for name, count in counts.items() if count or name == "rows"}
    if not known:
        return scores
    if target.classes is not None:
        return scores | {"accuracy": sum(map(operator.eq, known, predicted)) / len(known)}
    errors = [after - before for before, after in zip(known, predicted, strict=True)]
    return scores | _regression_score(known, errors)


def unreadable_label(labels: tuple[str, ...], target: Target) -> str:
    """Return why the first label that can't be read can't be, with its row, or nothing."""
    for row, label in enumerate(labels, 1):
        try:
            target.encode(label)
        except ValueError as error:
            return f"row {row}: {error}"
    return ""


def _target_of(labels: tuple[str, ...], answers: list[Answer]) -> Target:
    texts = {str(answer) for answer in answers if isinstance(answer, str)}
    if not texts:
        return Target("label", "regression")
    texts.update(label for label in labels if not values.is_missing(label.strip()))
    return Target.of_classes("label", tuple(sorted(texts)))


def _read(label: str, target: Target) -> float | None:
    try:
        return target.encode(label)
    except ValueError:
        return None


def _regression_score(labels: list[float], errors: list[float]) -> dict[str, float]:
    squares = math.fsum(error * error for error in errors)
    mean = math.fsum(labels) / len(labels)
    spread = math.fsum((label - mean) ** 2 for label in labels)
    mse = squares / len(labels)
    scores = {"mse": mse, "rmse": math.sqrt(mse), "mae": math.fsum(map(abs, errors)) / len(labels)}
    return scores | ({"r2": 1 - squares / spread} if spread else {})
