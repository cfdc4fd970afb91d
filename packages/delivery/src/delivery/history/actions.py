"""Actions of an execution of the pipeline, and what failed or waits in them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from botocore.exceptions import ClientError

from delivery import approval
from delivery.history.executions import stages_awaited
from delivery.history.jobs import job_records
from delivery.history.record import Record, seconds_since
from delivery.history.state_machines import explained

if TYPE_CHECKING:
    from datetime import datetime

    from delivery.cloud import Cloud

HOOK_FAILED = re.compile(r"validation functions failed: (\S+) \(")
REFUSED = re.compile(r"error: \S.*")
STATUS = {
    "Succeeded": "Succeeded",
    "Failed": "Failed",
    "InProgress": "InProgress",
    "Abandoned": "Stopped",
}


def list_actions(cloud: Cloud, pipeline: str, execution_id: str) -> list[dict[str, Any]]:
    """List the execution's actions, in the order in which they began."""
    found = cloud.client("codepipeline").list_action_executions(
        pipelineName=pipeline, filter={"pipelineExecutionId": execution_id}
    )
    return list(reversed(found["actionExecutionDetails"]))


def action_records(cloud: Cloud, pipeline: str, execution_id: str) -> list[Record]:
    """Read what the execution's actions did, each state machine with its jobs, and what it waits for."""
    found: list[Record] = []
    for action in list_actions(cloud, pipeline, execution_id):
        found.append(_action_record(cloud, action))
        if action["input"]["actionTypeId"]["provider"] == "StepFunctions":
            external = external_id(action)
            found += job_records(cloud, external.rpartition(":")[2]) if external else []
    return found + _waiting(cloud, pipeline, execution_id)


def failure(cloud: Cloud, pipeline: str, execution_id: str) -> str:
    """Return which of the execution's actions failed last, and why; empty where none did."""
    failed = [each for each in list_actions(cloud, pipeline, execution_id) if each["status"] == "Failed"]
    if not failed:
        return ""
    record = _action_record(cloud, failed[-1])
    return f"{record.name}: {record.reason or 'failed without a reason'}"


def stack_action(cloud: Cloud, pipeline: str, execution_id: str, stack: str) -> Record | None:
    """Read the action that deployed the stack in the execution, if it has begun."""
    for action in list_actions(cloud, pipeline, execution_id):
        if action["input"].get("resolvedConfiguration", {}).get("StackName") == stack:
            return _action_record(cloud, action)
    return None


def external_id(action: dict[str, Any]) -> str:
    """Return the id of what an action started, empty while there is none."""
    return str(action.get("output", {}).get("executionResult", {}).get("externalExecutionId", ""))


def _waiting(cloud: Cloud, pipeline: str, execution_id: str) -> list[Record]:
    return [
        Record(stage, "InProgress", 0.0, f"waits until execution {other} leaves the stage")
        for stage, other in stages_awaited(cloud, pipeline, execution_id)
    ]


def _action_record(cloud: Cloud, action: dict[str, Any]) -> Record:
    status = STATUS[action["status"]]
    name, began = action["actionName"], action["startTime"]
    if status == "InProgress":
        return Record(name, status, seconds_since(began), *_asked(cloud, action))
    seconds = (action["lastUpdateTime"] - began).total_seconds()
    result = action.get("output", {}).get("executionResult", {})
    reason = result.get("errorDetails", {}).get("message", "") if status == "Failed" else ""
    if failed := HOOK_FAILED.search(reason):
        reason = f"{reason} {_said_by_hook(cloud, failed[1], began)}".strip()
    elif reason:
        reason = f"{explained(reason)} {_said_by_build(action)}".strip()
    return Record(name, status, seconds, reason, _build_log(action))


def _said_by_hook(cloud: Cloud, function: str, since: datetime) -> str:
    """Read from a hook's log why it failed: CodeDeploy only knows that it did."""
    group, start = f"/aws/lambda/{function}", int(since.timestamp() * 1000)
    try:
        found = cloud.client("logs").filter_log_events(logGroupName=group, startTime=start)["events"]
    except ClientError:  # the group is deleted with the stack
        return ""
    lines = [event["message"] for event in found]
    results = [json.loads(line) for line in lines if line.startswith('{"event": "Hook ended"')]
    return str(results[-1].get("Reason", "")) if results else ""


def _asked(cloud: Cloud, action: dict[str, Any]) -> tuple[str, ...]:
    """Read what a person is asked, with what is known of the model."""
    if action["input"]["actionTypeId"]["category"] != "Approval":
        return ()
    asked = action["input"].get("resolvedConfiguration", {}).get("CustomData", "")
    known = approval.describe_model(cloud, action["pipelineExecutionId"])
    said = (asked, known and f"Its evaluation: {known}", approval.HOW)
    return ("\n".join(filter(None, said)),)


def _build_log(action: dict[str, Any]) -> str:
    """Name the log of a build, from the project's folder."""
    address = _external_url(action)
    return f".local/logs/builds/{address.rpartition('/')[2]}" if address.startswith("file:") else ""


def _said_by_build(action: dict[str, Any]) -> str:
    """Read from a build's log what its commands refused: CodeBuild says no more than which of them failed."""
    parts = urlsplit(_external_url(action))
    try:
        text = Path(unquote(parts.path)).read_text(encoding="utf-8") if parts.scheme == "file" else ""
    except (OSError, UnicodeDecodeError):
        return ""
    said = REFUSED.findall(text)
    return said[-1] if said else ""


def _external_url(action: dict[str, Any]) -> str:
    return str(action.get("output", {}).get("executionResult", {}).get("externalExecutionUrl", ""))
