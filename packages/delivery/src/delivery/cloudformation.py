"""Calls of CloudFormation that the scripts and the local commands share.

Each function takes boto3's client of CloudFormation, so it works on an account and on the local cloud.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

if TYPE_CHECKING:
    from collections.abc import Mapping

UNDER_REVIEW = "REVIEW_IN_PROGRESS"  # a change set that was never executed created the stack
SUCCEEDED = ("CREATE_COMPLETE", "UPDATE_COMPLETE")
WITHOUT_CHANGES = ("didn't contain changes", "No updates are to be performed")


def describe(client: Any, name: str) -> dict[str, Any] | None:
    """Describe a stack by name or id; None where it does not exist or is deleted."""
    try:
        (stack,) = client.describe_stacks(StackName=name)["Stacks"]
    except ClientError as error:
        if does_not_exist(error):
            return None
        raise
    return None if stack["StackStatus"] == "DELETE_COMPLETE" else dict(stack)


def does_not_exist(error: ClientError) -> bool:
    """Return whether a call failed because its stack does not exist; SageMaker uses the same words."""
    return "does not exist" in str(error)


def has_no_changes(reason: str) -> bool:
    """Return whether an update or a change set failed because it would change nothing."""
    return any(words in reason for words in WITHOUT_CHANGES)


def outputs(stack: Mapping[str, Any] | None) -> dict[str, str]:
    """Return the outputs of a described stack by name; none for None."""
    return {output["OutputKey"]: output["OutputValue"] for output in (stack or {}).get("Outputs", [])}


def parameters(stack: Mapping[str, Any] | None) -> dict[str, str]:
    """Return the parameters of a described stack by name; none for None."""
    declared = (stack or {}).get("Parameters", [])
    return {parameter["ParameterKey"]: parameter.get("ParameterValue", "") for parameter in declared}


def wait(client: Any, name: str, poll_seconds: float, timeout_seconds: float) -> dict[str, Any] | None:
    """Wait until no operation is in progress, and describe the stack; None where it is gone.

    Raises:
        TimeoutError: An operation is in progress after `timeout_seconds`.

    """
    deadline = time.monotonic() + timeout_seconds
    while time.monotonic() < deadline:
        stack = describe(client, name)
        status = stack["StackStatus"] if stack else ""
        if status == UNDER_REVIEW or not status.endswith("_IN_PROGRESS"):
            return stack
        time.sleep(poll_seconds)
    raise TimeoutError(f"{name} did not settle within {timeout_seconds:.0f} s")


def failure_reason(client: Any, name: str) -> str | None:
    """Return why the first resource failed in the stack's last operation; None where no resource says so."""
    first = None
    for page in client.get_paginator("describe_stack_events").paginate(StackName=name):
        for event in page["StackEvents"]:  # newest first
            reason = event.get("ResourceStatusReason", "")
            if event["ResourceType"] == "AWS::CloudFormation::Stack" and reason == "User Initiated":
                return first
            # CloudFormation cancels the resources that it makes at the same time as the one that fails.
            if event["ResourceStatus"].endswith("_FAILED") and reason and "cancelled" not in reason:
                first = f"{event['LogicalResourceId']}: {reason}"
    return first
