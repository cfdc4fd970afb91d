"""Metrics collected value by value, and stored in CloudWatch in batches."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from localcloud.core import ministack
from localcloud.core.clock import now

if TYPE_CHECKING:
    from localcloud.core.service import Json

# PutMetricData takes at most this number of values a metric.
MAX_VALUES = 150
Dimensions = tuple[tuple[str, str], ...]


class Metric(NamedTuple):
    """A metric as CloudWatch identifies it, and its unit."""

    namespace: str
    name: str
    unit: str
    dimensions: Dimensions


@dataclass
class Meter:
    """The values since the last flush, stored with the time of the first, in epoch seconds."""

    values: dict[Metric, Counter[float]] = field(default_factory=dict)
    began: float = 0.0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, metric: Metric, value: float) -> None:
        """Add one value."""
        with self.lock:
            self.began = self.began or now()
            self.values.setdefault(metric, Counter())[value] += 1

    def flush(self) -> None:
        """Store the values in CloudWatch."""
        with self.lock:
            values, began = self.values, self.began
            self.values, self.began = {}, 0.0
        for namespace in {metric.namespace for metric in values}:
            chosen = {metric: counted for metric, counted in values.items() if metric.namespace == namespace}
            ministack.put_metrics(namespace, _data(chosen, began))


def _data(values: dict[Metric, Counter[float]], began: float) -> list[Json]:
    """Return the values as PutMetricData takes them."""
    return [
        {
            "MetricName": metric.name,
            "Dimensions": [{"Name": name, "Value": value} for name, value in metric.dimensions],
            "Timestamp": began,
            "Unit": metric.unit,
            "Values": [value for value, _ in pairs],
            "Counts": [float(count) for _, count in pairs],
        }
        for metric, counted in values.items()
        for pairs in _batches(counted)
    ]


def _batches(counted: Counter[float]) -> list[list[tuple[float, int]]]:
    """Return the counted values in lists that CloudWatch takes."""
    pairs = list(counted.items())
    return [pairs[start : start + MAX_VALUES] for start in range(0, len(pairs), MAX_VALUES)]
