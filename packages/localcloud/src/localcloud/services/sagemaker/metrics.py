"""The metrics that an endpoint has in CloudWatch, collected and stored in batches."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from localcloud.core import ministack
from localcloud.core.clock import now

if TYPE_CHECKING:
    from localcloud.core.service import Json

NAMESPACE = "AWS/SageMaker"
CLIENT_ERROR, SERVER_ERROR = 4, 5  # the classes of HTTP's status codes
UNITS = {"ModelLatency": "Microseconds", "OverheadLatency": "Microseconds"}


@dataclass
class Metrics:
    """The metrics of one variant of one endpoint since they were last stored."""

    endpoint: str
    variant: str
    values: dict[str, Counter[float]] = field(default_factory=dict)
    since: float = 0.0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, status: int, model_seconds: float, overhead_seconds: float, instances: int) -> None:
        """Count an invocation by the container's status, which is 0 if the container gave none."""
        measured = {
            "Invocations": 1.0,
            "InvocationsPerInstance": 1.0 / instances,
            "Invocation4XXErrors": float(status // 100 == CLIENT_ERROR),
            "Invocation5XXErrors": float(not status or status // 100 >= SERVER_ERROR),
            "ModelLatency": float(round(model_seconds * 1e6)),
            "OverheadLatency": float(round(max(0.0, overhead_seconds) * 1e6)),
        }
        with self.lock:
            self.since = self.since or now()
            for name, value in measured.items():
                self.values.setdefault(name, Counter())[value] += 1

    def flush(self) -> None:
        """Store the counts in CloudWatch."""
        with self.lock:
            values, self.values, self.since = self.values, {}, 0.0
        if not values:
            return
        dimensions = [
            {"Name": "EndpointName", "Value": self.endpoint},
            {"Name": "VariantName", "Value": self.variant},
        ]
        time = now()
        data: list[Json] = [
            {
                "MetricName": name,
                "Dimensions": dimensions,
                "Timestamp": time,
                "Unit": UNITS.get(name, "None"),
                "Values": list(counted),
                "Counts": [float(count) for count in counted.values()],
            }
            for name, counted in values.items()
        ]
        ministack.put_metrics(NAMESPACE, data)
