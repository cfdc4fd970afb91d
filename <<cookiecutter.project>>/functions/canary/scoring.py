"""Comparison of answers with the recorded ones, and their error by the labels."""

from __future__ import annotations

import math
from statistics import fmean, median
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .golden_set import GoldenRequest

MIN_ABSOLUTE_TOLERANCE = 1e-12  # a relative tolerance alone would accept nothing but 0 for a recorded 0


def matches(recorded: Any, answer: Any, relative_tolerance: float, absolute_tolerance: float = 0.0) -> bool:
    """Return whether the answer equals the recorded one; numbers may differ by either tolerance."""
    if isinstance(recorded, dict):
        return (
            isinstance(answer, dict)
            and recorded.keys() == answer.keys()
            and all(
                matches(recorded[key], answer[key], relative_tolerance, absolute_tolerance)
                for key in recorded
            )
        )
    if is_number(recorded) and is_number(answer):
        absolute = max(MIN_ABSOLUTE_TOLERANCE, absolute_tolerance)
        return math.isclose(recorded, answer, rel_tol=relative_tolerance, abs_tol=absolute)
    return type(recorded) is type(answer) and bool(recorded == answer)


def is_number(value: Any) -> bool:
    """Return whether the value is a number; a bool, which Python counts as an int, is not."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def error(requests: Sequence[GoldenRequest], answers: Sequence[Any]) -> float:
    """Measure the error of the answers by the labels; 0 is perfect.

    For numbers it is the mean absolute error as a share of the error that predicting the median would have.
    For classes it is the share of the requests that got another label.
    """
    pairs = list(zip(requests, answers, strict=True))
    if all(is_number(request.label) for request in requests):
        labels = [float(request.label) for request in requests]
        absolute_error = fmean(abs(_number(answer) - float(request.label)) for request, answer in pairs)
        return absolute_error / median_deviation(labels)
    return fmean(_label(answer) != str(request.label) for request, answer in pairs)


def median_deviation(labels: Sequence[float]) -> float:
    """Return the mean absolute deviation from the median, or 1 where all labels are equal."""
    middle = median(labels)
    return fmean(abs(label - middle) for label in labels) or 1.0


def _number(answer: Any) -> float:
    return float(answer) if is_number(answer) else math.inf


def _label(answer: Any) -> str:
    return str(answer.get("label")) if isinstance(answer, dict) else str(answer)


def percentile(values: Sequence[float], share: float) -> float:
    """Return the smallest value that at least the share of all values does not exceed (nearest rank)."""
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]
