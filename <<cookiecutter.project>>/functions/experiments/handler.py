"""A training, logged as a run of an MLflow tracking server."""

from __future__ import annotations

import os
from typing import Any

from .record import RunRecord
from .tracking import TrackingServer, log_run


def handler(event: dict[str, Any], context: Any) -> dict[str, str]:  # noqa: ARG001 - Lambda's signature
    """Log the run and return its id.

    Raises:
        TrackingError: the server did not accept the run.
    """
    server = TrackingServer(os.environ["MLFLOW_TRACKING_URI"])
    return {"RunId": log_run(server, RunRecord.read(event))}
