"""boto3 clients whose calls end in time for the function to report."""

from __future__ import annotations

from functools import cache
from typing import Any

import boto3
from botocore.config import Config

CONTROL = Config(connect_timeout=2, read_timeout=5, retries={"mode": "standard", "total_max_attempts": 3})
# A golden request that failed or was late has failed: a second attempt would hide it.
RUNTIME = Config(connect_timeout=2, read_timeout=10, retries={"total_max_attempts": 1})


@cache
def control(service: str) -> Any:
    """Return a client of a control plane; one serves all invocations, as it takes long to make."""
    return boto3.client(service, config=CONTROL)  # type: ignore[call-overload]


def runtime() -> Any:
    """Create a client that invokes endpoints; a connection of an earlier invocation may be closed by now."""
    return boto3.client("sagemaker-runtime", config=RUNTIME)
