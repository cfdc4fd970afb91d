"""Executions of state machines."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from delivery.cloud import Cloud

# A task that runs a job fails with the description of the job, which Step Functions may cut off.
DESCRIPTION = re.compile(
    r'(?:States\.TaskFailed: )?(\{\s*(?=")(?=.*"(?:Training|Processing)JobName"\s*:).*)', re.DOTALL
)
TEXTS = re.compile(r'"(\w+)"\s*:\s*("(?:\\.|[^\\"])*")')
TASK_FAILED = "States.TaskFailed"


def failure_reason(execution: Mapping[str, Any]) -> str:
    """Return the error of an execution and its cause, a job's description as why that job ended."""
    error, cause = execution.get("error") or "", execution.get("cause") or ""
    said = explained(cause)
    return said if said != cause and error == TASK_FAILED else ": ".join(filter(None, (error, said)))


def explained(cause: str) -> str:
    """Return a cause with the description of a job, if there is one, as why the job ended."""
    found = DESCRIPTION.search(cause)
    return f"{cause[: found.start()]}{_why(_members(found[1]))}" if found else cause


def _members(text: str) -> dict[str, Any]:
    try:
        return dict(json.JSONDecoder().raw_decode(text)[0])
    except ValueError:  # cut off
        return {name: json.loads(value, strict=False) for name, value in TEXTS.findall(text)}


def _why(job: dict[str, Any]) -> str:
    kind = "Training" if "TrainingJobName" in job else "Processing"
    reason = job.get("ExitMessage") or job.get("FailureReason")
    name, status = job.get(f"{kind}JobName", ""), job.get(f"{kind}JobStatus", "")
    if reason:
        return f"{kind.lower()} job {name}: {reason}"
    ended = {"Stopped": "was stopped", "Failed": "failed without a reason"}.get(status, "did not complete")
    return f"its {kind.lower()} job {name} {ended}"


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
