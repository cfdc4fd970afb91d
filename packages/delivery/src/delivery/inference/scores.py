"""Scores of predictions against labels, and the difference of each row."""

from __future__ import annotations

import math
import operator
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from delivery.inference.predictions import Answer

WORST_ROWS = 5


class Target(Protocol):
    """What a model predicts, as the project's container reads it."""

    @property
    def name(self) -> str:
        """The column's name."""

    @property
    def classes(self) -> tuple[str, ...] | None:
        """The labels of a classification."""

    def encode(self, text: str, /) -> float:
        """Return a label as a number, or the position of its class; NaN when missing; raise ValueError."""


def score(labels: Sequence[str], answers: Sequence[Answer], target: Target) -> dict[str, float]:
    """Score predictions against labels: rows, mse, rmse, mae and r2, or rows and accuracy for classes.

    Labels are read as the training reads them; those that are missing or can't be read are counted.
    """
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


def differences(labels: Sequence[str], values: Sequence[Any], target: Target) -> list[float | None]:
    """Return each prediction minus its label, and for classes 1 minus the probability of the label's class.

    A row without a label that can be read has none.
    """
    return [
        _difference(_read(label, target), value, target) for label, value in zip(labels, values, strict=True)
    ]


def numbers(labels: Sequence[str], target: Target) -> list[float | None]:
    """Return the labels of a regression as numbers; None for those that are missing or can't be read."""
    values = (_read(label, target) for label in labels)
    return [None if value is None or math.isnan(value) else value for value in values]


def worst_rows(found: Sequence[float | None], rows: int = WORST_ROWS) -> list[int]:
    """Return the positions of the rows with the largest differences, the largest first."""
    known = [(abs(value), -position) for position, value in enumerate(found) if value is not None]
    return [-position for _, position in sorted(known, reverse=True)[:rows]]


def unreadable_label(labels: Sequence[str], target: Target) -> str:
    """Return why the first label that can't be read can't be, with its row, or nothing."""
    for row, label in enumerate(labels, 1):
        try:
            target.encode(label)
        except ValueError as error:
            return f"row {row}: {error}"
    return ""


def _difference(label: float | None, value: Any, target: Target) -> float | None:
    if label is None or math.isnan(label):
        return None
    if target.classes is None:
        return float(value) - label
    return 1.0 - float(value["probabilities"][target.classes[int(label)]])


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
