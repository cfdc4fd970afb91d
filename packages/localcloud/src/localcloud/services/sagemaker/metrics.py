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
UNITS = {"ModelLatency": "Microseconds", "OverheadLatency": "Microseconds"}


@dataclass
class Metrics:
    """What one variant of one endpoint has done since it was last stored."""

    endpoint: str
    variant: str
    values: dict[str, Counter[float]] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, status: int, model_seconds: float, overhead_seconds: float, instances: int) -> None:
        """Count one invocation by the container's status (0 when it gave none)."""
        measured = {
            "Invocations": 1.0,
            "InvocationsPerInstance": 1.0 / instances,
            "Invocation4XXErrors": float(400 <= status < 500),  # noqa: PLR2004
            "Invocation5XXErrors": float(not status or status >= 500),  # noqa: PLR2004
            "ModelLatency": float(round(model_seconds * 1e6)),
            "OverheadLatency": float(round(max(0.0, overhead_seconds) * 1e6)),
        }
        with self.lock:
            for name, value in measured.items():
                self.values.setdefault(name, Counter())[value] += 1

    def flush(self) -> None:
        """Store what was counted."""
        with self.lock:
            values, self.values = self.values, {}
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
