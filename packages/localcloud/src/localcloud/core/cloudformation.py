"""The state of a stack that a service of ours deploys."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

if TYPE_CHECKING:
    from collections.abc import Callable

    from localcloud.core.service import Json

DONE = ("CREATE_COMPLETE", "UPDATE_COMPLETE")


def describe(cloudformation: Any, stack: str) -> Json:
    """Describe the stack; an empty description means that it does not exist.

    Raises:
        ClientError: CloudFormation refuses for another reason.
    """
    try:
        return dict(cloudformation.describe_stacks(StackName=stack)["Stacks"][0])
    except ClientError as error:
        if "does not exist" in str(error):
            return {}
        raise


def wait_until_settled(
    cloudformation: Any, stack: str, wait: Callable[[Callable[[], bool]], None]
) -> str | None:
    """Let `wait` poll until nothing is in progress, and return the status; None for a deleted stack."""
    status: str | None = None

    def over() -> bool:
        nonlocal status
        status = describe(cloudformation, stack).get("StackStatus")
        return not str(status).endswith("_IN_PROGRESS")

    wait(over)
    return None if status == "DELETE_COMPLETE" else status


def failure_reason(cloudformation: Any, stack: str) -> str:
    """Return the reason of the first resource that failed in the last operation."""
    events = cloudformation.describe_stack_events(StackName=stack)["StackEvents"]
    reason = "no resource gave a reason"
    for event in events:  # the newest first
        is_of_stack = event["PhysicalResourceId"] == event["StackId"]
        if is_of_stack and event.get("ResourceStatusReason") == "User Initiated":
            break
        if event["ResourceStatus"].endswith("_FAILED") and event.get("ResourceStatusReason"):
            reason = f"{event['LogicalResourceId']}: {event['ResourceStatusReason']}"
    return reason


def outputs(stack: Json) -> dict[str, str]:
    """Return the outputs of a described stack."""
    return {one["OutputKey"]: one["OutputValue"] for one in stack.get("Outputs", [])}
