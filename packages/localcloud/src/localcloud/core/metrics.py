"""Values on their way into CloudWatch: collected as they come, stored in batches."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from localcloud.core import ministack
from localcloud.core.clock import now

if TYPE_CHECKING:
    from localcloud.core.service import Json

# CloudWatch takes so many values a metric.
VALUES_MOST = 150
Dimensions = tuple[tuple[str, str], ...]


class Metric(NamedTuple):
    """What a value is a value of."""

    namespace: str
    name: str
    unit: str
    dimensions: Dimensions


@dataclass
class Meter:
    """What was measured since it was last stored; the time of a batch is that of its first value."""

    values: dict[Metric, Counter[float]] = field(default_factory=dict)
    began: float = 0.0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, metric: Metric, value: float) -> None:
        """Take one value."""
        with self.lock:
            self.began = self.began or now()
            self.values.setdefault(metric, Counter())[value] += 1

    def flush(self) -> None:
        """Store what was measured."""
        with self.lock:
            values, began = self.values, self.began
            self.values, self.began = {}, 0.0
        for namespace in {metric.namespace for metric in values}:
            chosen = {metric: counted for metric, counted in values.items() if metric.namespace == namespace}
            ministack.put_metrics(namespace, data(chosen, began))


def data(values: dict[Metric, Counter[float]], began: float) -> list[Json]:
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
        for pairs in batches(counted)
    ]


def batches(counted: Counter[float]) -> list[list[tuple[float, int]]]:
    """Return the counted values in lists that CloudWatch takes."""
    pairs = list(counted.items())
    return [pairs[start : start + VALUES_MOST] for start in range(0, len(pairs), VALUES_MOST)]
