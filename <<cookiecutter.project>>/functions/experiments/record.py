"""What there is to say of a training."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any

# Of MLflow's REST API: it refuses other names, longer values and further entries, with all that come along.
STRANGE, LONGEST_NAME = re.compile(r"[^A-Za-z0-9_. :/-]"), 250
LONGEST_PARAM, LONGEST_TAG, MOST_PARAMS, MOST_METRICS = 6000, 5000, 100, 1000


@dataclass(frozen=True)
class Record:
    """A run by its name, with what it was given, what came of it, and what it belongs to."""

    experiment: str
    run: str
    params: dict[str, str]
    metrics: dict[str, float]
    tags: dict[str, str]

    @classmethod
    def read(cls, event: dict[str, Any]) -> Record:
        """Read the task's payload; texts are cut to what MLflow takes, and what is no number is no metric."""
        params = {named(name): str(value)[:LONGEST_PARAM] for name, value in event["Params"].items()}
        metrics = {named(name): float(value) for name, value in event["Metrics"].items() if is_number(value)}
        return cls(
            event["Experiment"],
            event["Run"],
            dict(sorted(params.items())[:MOST_PARAMS]),
            dict(sorted(metrics.items())[:MOST_METRICS]),
            {named(name): str(value)[:LONGEST_TAG] for name, value in event["Tags"].items()},
        )


def named(text: str) -> str:
    """Return a name that MLflow takes."""
    return STRANGE.sub("_", text)[:LONGEST_NAME]


def is_number(value: Any) -> bool:
    """Tell whether the value is a finite number and no truth value."""
    return type(value) in (int, float) and math.isfinite(value)
