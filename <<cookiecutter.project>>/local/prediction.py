"""Predictions for a CSV file, through an endpoint or from a saved model."""

from __future__ import annotations

import csv
import io
import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, TypeAlias

from container.data.values import is_missing
from local.project import LocalError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

Answer: TypeAlias = float | str

LONGEST_CELL = 33_554_432  # of the container
csv.field_size_limit(LONGEST_CELL)


@dataclass(frozen=True)
class Table:
    """Rows to predict: the columns' names, the fields as text, and labels when the file has them."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    labels: tuple[str, ...] | None

    at_once: ClassVar[int] = 500  # rows of a request

    def body(self, start: int, stop: int) -> str:
        """Write the rows from start to stop as CSV with a header."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(self.columns)
        writer.writerows(self.rows[start:stop])
        return text.getvalue()


def read_table(text: str, target: str) -> Table:
    """Read CSV with a header; the target's column, where there is one, becomes the labels.

    Blank lines are skipped.

    Raises:
        LocalError: the text is not a table.
    """
    header, *rows = _rows(text)
    if target not in header:
        return Table(tuple(header), tuple(map(tuple, rows)), None)
    at = header.index(target)
    return Table(
        columns=(*header[:at], *header[at + 1 :]),
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


def differences(labels: tuple[str, ...], answers: list[Answer]) -> Iterator[float | None]:
    """Give prediction minus label for each row, None where the row has no label."""
    for row, (label, answer) in enumerate(zip(labels, answers, strict=True), 1):
        yield None if is_missing(label.strip()) else float(answer) - _number(label, row)


def _number(label: str, row: int) -> float:
    try:
        return float(label)
    except ValueError:
        raise LocalError(f"Row {row} has the label {label!r}, and the model predicts numbers.") from None


def is_hit(label: str, answer: Answer) -> bool:
    """Tell whether a class is the label's; truth values and whole numbers are spelled in several ways."""
    text, predicted = label.strip(), str(answer)
    if text == predicted or (predicted in {"true", "false"} and text.lower() == predicted):
        return True
    try:
        return float(text) == float(predicted)
    except ValueError:
        return False


def score(labels: tuple[str, ...], answers: list[Answer]) -> dict[str, float]:
    """Score predictions against labels: rows, mse, rmse, mae and r2, or rows and accuracy for classes."""
    pairs = [pair for pair in zip(labels, answers, strict=True) if not is_missing(pair[0].strip())]
    if any(isinstance(answer, str) for answer in answers):
        hits = [is_hit(label, answer) for label, answer in pairs]
        return {"rows": len(hits), "accuracy": sum(hits) / len(hits)} if hits else {"rows": 0}
    errors = [each for each in differences(labels, answers) if each is not None]
    known = [float(label) for label, _ in pairs]
    return _regression_score(known, errors) if known else {"rows": 0}


def _regression_score(labels: list[float], errors: list[float]) -> dict[str, float]:
    squares = math.fsum(error * error for error in errors)
    mean = math.fsum(labels) / len(labels)
    spread = math.fsum((label - mean) ** 2 for label in labels)
    mse = squares / len(labels)
    scores = {
        "rows": len(labels),
        "mse": mse,
        "rmse": math.sqrt(mse),
        "mae": math.fsum(map(abs, errors)) / len(labels),
    }
    return scores | ({"r2": 1 - squares / spread} if spread else {})


def read_rows(path: Path) -> str:
    """Read the file's text, or say why it can't be read."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise LocalError(f"{path} can't be read: {error.strerror}.") from None
    except UnicodeDecodeError as error:
        raise LocalError(f"{path} is not UTF-8 text (byte {error.start}); save it as UTF-8 CSV.") from None
