"""A training, written down as a run of an MLflow tracking server."""

from __future__ import annotations

import os
from typing import Any

from .record import Record
from .tracking import Tracking, log


def handler(event: dict[str, Any], context: Any) -> dict[str, str]:  # noqa: ARG001  # Lambda's signature
    """Log the run; a TrackingError tells what the server did not take."""
    return {"RunId": log(Tracking(os.environ["MLFLOW_TRACKING_URI"]), Record.read(event))}
