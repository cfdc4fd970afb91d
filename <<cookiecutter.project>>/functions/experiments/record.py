"""The record of a training, within the limits of MLflow."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any

# Limits of MLflow's REST API: it refuses a whole batch for one entry that breaks them.
INVALID_IN_NAME, MAX_NAME_LENGTH = re.compile(r"[^A-Za-z0-9_. :/-]"), 250
MAX_PARAM_LENGTH, MAX_TAG_LENGTH, MAX_PARAMS, MAX_METRICS = 6000, 5000, 100, 1000


@dataclass(frozen=True)
class RunRecord:
    """A run with its parameters, metrics and tags."""

    experiment: str
    run: str
    params: dict[str, str]
    metrics: dict[str, float]
    tags: dict[str, str]

    @classmethod
    def read(cls, event: dict[str, Any]) -> RunRecord:
        """Read the task's payload; cut texts to MLflow's limits and leave out metrics without a value."""
        params = {valid_name(name): str(value)[:MAX_PARAM_LENGTH] for name, value in event["Params"].items()}
        metrics = {
            valid_name(name): float(value)
            for name, value in event["Metrics"].items()
            if is_finite_number(value)
        }
        return cls(
            event["Experiment"],
            event["Run"],
            dict(sorted(params.items())[:MAX_PARAMS]),
            dict(sorted(metrics.items())[:MAX_METRICS]),
            {valid_name(name): str(value)[:MAX_TAG_LENGTH] for name, value in event["Tags"].items()},
        )


def valid_name(text: str) -> str:
    """Return a name that MLflow accepts."""
    return INVALID_IN_NAME.sub("_", text)[:MAX_NAME_LENGTH]


def is_finite_number(value: Any) -> bool:
    """Return whether the value is a finite number; a bool, which Python counts as an int, is not."""
    return type(value) in (int, float) and math.isfinite(value)
