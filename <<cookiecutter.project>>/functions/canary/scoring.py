"""Whether answers are those of the model that was evaluated, and how far they are from the truth."""

from __future__ import annotations

import math
from statistics import fmean, median
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .golden_file import Row

NEARLY_ZERO = 1e-12


def same(recorded: Any, answered: Any, tolerance: float, precision: float = 0.0) -> bool:
    """Tell whether an answer is the recorded one; numbers may differ by the relative tolerance.

    By `precision`, which is absolute, they may differ in any case.
    """
    if isinstance(recorded, dict):
        return (
            isinstance(answered, dict)
            and recorded.keys() == answered.keys()
            and all(same(recorded[key], answered[key], tolerance, precision) for key in recorded)
        )
    if is_number(recorded) and is_number(answered):
        return math.isclose(recorded, answered, rel_tol=tolerance, abs_tol=max(NEARLY_ZERO, precision))
    return type(recorded) is type(answered) and bool(recorded == answered)


def is_number(value: Any) -> bool:
    """Tell whether the value is a number and no truth value."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def error(rows: Sequence[Row], answers: Sequence[Any]) -> float:
    """Measure answers by the labels; 0 is perfect.

    Of numbers the mean absolute error, as a share of what guessing the median would have; of classes the
    share of the rows with another label.
    """
    if all(is_number(row.label) for row in rows):
        missed = fmean(abs(_number(a) - float(row.label)) for row, a in zip(rows, answers, strict=True))
        return missed / spread([float(row.label) for row in rows])
    return fmean(_label(a) != str(row.label) for row, a in zip(rows, answers, strict=True))


def spread(labels: Sequence[float]) -> float:
    """Give the mean distance from the median, or 1 where all labels are equal."""
    middle = median(labels)
    return fmean(abs(label - middle) for label in labels) or 1.0


def _number(answer: Any) -> float:
    return float(answer) if is_number(answer) else math.inf


def _label(answer: Any) -> str:
    return str(answer.get("label")) if isinstance(answer, dict) else str(answer)


def percentile(values: Sequence[float], share: float) -> float:
    """Give the smallest value that the share of all does not exceed (nearest rank)."""
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]
