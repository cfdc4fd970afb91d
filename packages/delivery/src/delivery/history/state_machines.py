"""Executions of state machines."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

if TYPE_CHECKING:
    from delivery.cloud import Cloud


def describe_execution(cloud: Cloud, execution_arn: str) -> dict[str, Any] | None:
    """Describe the execution, or return None when it does not exist."""
    try:
        return dict(cloud.client("stepfunctions").describe_execution(executionArn=execution_arn))
    except ClientError as error:
        if error.response["Error"]["Code"] == "ExecutionDoesNotExist":
            return None
        raise


def ended_execution(cloud: Cloud, execution_arn: str) -> dict[str, Any] | None:
    """Describe the execution when it has ended, with any status."""
    found = describe_execution(cloud, execution_arn)
    return found if found and found["status"] != "RUNNING" else None


def execution_output(cloud: Cloud, execution_arn: str) -> dict[str, Any]:
    """Give the execution's output, empty while there is none."""
    execution = describe_execution(cloud, execution_arn) or {}
    return dict(json.loads(execution.get("output") or "{}"))
