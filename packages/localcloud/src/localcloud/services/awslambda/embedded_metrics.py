"""Metrics in log lines: CloudWatch's embedded metric format."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from localcloud.core.metrics import Metric

if TYPE_CHECKING:
    from collections.abc import Iterator

    from localcloud.core.metrics import Dimensions
    from localcloud.core.service import Json


def metrics(log: str) -> Iterator[tuple[Metric, float]]:
    """Find the metrics in a function's output; a line of another form has none."""
    for line in log.splitlines():
        if '"_aws"' not in line:
            continue
        try:
            yield from _of_line(json.loads(line))
        except (ValueError, KeyError, TypeError, AttributeError):
            continue


def _of_line(line: Json) -> list[tuple[Metric, float]]:
    """Return the metrics of one line, under each of its sets of dimensions."""
    return [
        (
            Metric(
                directive["Namespace"], metric["Name"], metric.get("Unit", "None"), _dimensions(line, names)
            ),
            value,
        )
        for directive in line["_aws"]["CloudWatchMetrics"]
        for names in directive["Dimensions"]
        for metric in directive["Metrics"]
        for value in _numbers(line[metric["Name"]])
    ]


def _dimensions(line: Json, names: list[str]) -> Dimensions:
    """Return one set of dimensions, whose values are members of the line."""
    return tuple((name, str(line[name])) for name in names)


def _numbers(value: Any) -> list[float]:
    """Return a metric's value or values."""
    return [float(each) for each in (value if isinstance(value, list) else [value])]
