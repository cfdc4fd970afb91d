"""Deployment of stacks by change sets: the changes are known before, and nothing is deleted first."""

from __future__ import annotations

import time
import uuid
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from delivery import cloudformation
from delivery.cloud import DeliveryError, pages, tags_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from delivery.cloud import Cloud
    from delivery.templates.template import Template

POLL_SECONDS = 2.0
TIMEOUT_SECONDS = 3600.0
CREATION_FAILED = "ROLLBACK_COMPLETE"  # of a stack's first creation; CloudFormation refuses an update of it
CAPABILITIES = ["CAPABILITY_IAM"]  # the platform's templates make roles, and use no transform


@dataclass(frozen=True)
class Change:
    """A change of one resource by a deployment."""

    action: str
    resource: str
    kind: str


@dataclass(frozen=True)
class Outcome:
    """The result of a deployment."""

    stack: str
    result: str
    changes: tuple[Change, ...] = ()
    outputs: Mapping[str, str] = field(default_factory=dict)

    def after(self, earlier: Outcome | None) -> Outcome:
        """Combine this deployment of the stack with an earlier one."""
        if earlier is None:
            return self
        return replace(self, result=earlier.result, changes=(*earlier.changes, *self.changes))


@dataclass(frozen=True)
class Stack:
    """A stack as it is deployed; parameters that are left out keep their values, or take their defaults."""

    name: str
    template: Template
    parameters: Mapping[str, str]
    tags: Mapping[str, str]


def find(cloud: Cloud, name: str) -> dict[str, Any] | None:
    """Describe the stack by name or id; None where it does not exist."""
    return cloudformation.describe(cloud.client("cloudformation"), name)


def resources(cloud: Cloud, name: str) -> list[tuple[str, str]]:
    """List types and physical ids of the stack's resources."""
    summaries = pages(
        cloud.client("cloudformation"), "list_stack_resources", "StackResourceSummaries", StackName=name
    )
    return [
        (one["ResourceType"], one["PhysicalResourceId"])
        for one in summaries
        if one.get("PhysicalResourceId") and one["ResourceStatus"] != "DELETE_COMPLETE"
    ]


def deploy(cloud: Cloud, stack: Stack) -> Outcome:
    """Create or update the stack.

    Raises:
        DeliveryError: The stack failed, with the reason, or cannot be changed like this.

    """
    recovered = recover(cloud, stack.name)
    present = wait(cloud, stack.name)
    name, changes = prepare(cloud, stack, present)
    if changes is None:
        return Outcome(stack.name, "no change", outputs=cloudformation.outputs(present))
    cloud.client("cloudformation").execute_change_set(StackName=stack.name, ChangeSetName=name)
    present = wait(cloud, stack.name)
    status = present["StackStatus"] if present else "gone"
    if status not in cloudformation.SUCCEEDED:
        raise DeliveryError(f"{stack.name} ended as {status}. {failure_reason(cloud, stack.name)}")
    result = "updated" if status == "UPDATE_COMPLETE" else "created"
    return Outcome(
        stack.name, f"{result} anew" if recovered else result, changes, cloudformation.outputs(present)
    )


def prepare(
    cloud: Cloud, stack: Stack, present: Mapping[str, Any] | None
) -> tuple[str, tuple[Change, ...] | None]:
    """Make a change set and list its changes of resources; None, and no change set, when nothing differs.

    Raises:
        DeliveryError: CloudFormation refuses the change, or the template lacks a parameter.

    """
    client = cloud.client("cloudformation")
    name = f"deploy-{uuid.uuid4().hex}"
    is_new = present is None or present["StackStatus"] == cloudformation.UNDER_REVIEW
    client.create_change_set(
        StackName=stack.name,
        ChangeSetName=name,
        ChangeSetType="CREATE" if is_new else "UPDATE",
        TemplateBody=stack.template.body,
        Parameters=request_parameters(stack, None if is_new else present),
        Tags=[{"Key": key, "Value": value} for key, value in merged_tags(stack, present).items()],
        Capabilities=CAPABILITIES,
    )
    change_set = await_change_set(client, stack.name, name)
    if change_set["Status"] == "CREATE_COMPLETE":
        return name, changes_of(change_set)
    client.delete_change_set(StackName=stack.name, ChangeSetName=name)
    reason = change_set.get("StatusReason", "CloudFormation gave no reason.")
    if cloudformation.has_no_changes(reason):
        return name, None
    raise DeliveryError(f"{stack.name} can't be changed: {reason}")


def request_parameters(stack: Stack, present: Mapping[str, Any] | None) -> list[dict[str, Any]]:
    """Return each parameter with its new value, or a mark that it keeps the value that it has.

    Raises:
        DeliveryError: The template lacks a parameter.

    """
    unknown = stack.parameters.keys() - stack.template.parameters.keys()
    if unknown:
        names = ", ".join(stack.template.parameters)
        raise DeliveryError(
            f"{stack.template.path.name} has no {', '.join(sorted(unknown))}; it takes {names}."
        )
    present_values = cloudformation.parameters(present)
    parameters: list[dict[str, Any]] = []
    for name in stack.template.parameters:
        if name in stack.parameters:
            parameters.append({"ParameterKey": name, "ParameterValue": stack.parameters[name]})
        elif name in present_values:
            parameters.append({"ParameterKey": name, "UsePreviousValue": True})
    return parameters


def merged_tags(stack: Stack, present: Mapping[str, Any] | None) -> dict[str, str]:
    """Add the tags to those that the stack has, except for CloudFormation's own, which begin with aws:."""
    present_tags = tags_of((present or {}).get("Tags"))
    return {key: value for key, value in present_tags.items() if not key.startswith("aws:")} | dict(
        stack.tags
    )


def await_change_set(client: Any, stack: str, name: str) -> dict[str, Any]:
    """Wait until the change set is made or has failed, and return it with all pages of its changes.

    Raises:
        DeliveryError: The change set takes too long.

    """
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while time.monotonic() < deadline:
        change_set = dict(client.describe_change_set(StackName=stack, ChangeSetName=name))
        if change_set["Status"] in ("CREATE_COMPLETE", "FAILED"):
            while "NextToken" in change_set:
                page = client.describe_change_set(
                    StackName=stack, ChangeSetName=name, NextToken=change_set.pop("NextToken")
                )
                change_set |= {**page, "Changes": [*change_set["Changes"], *page["Changes"]]}
            return change_set
        time.sleep(POLL_SECONDS)
    raise DeliveryError(f"The change set of {stack} was not made within {TIMEOUT_SECONDS:.0f} s.")


def changes_of(change_set: Mapping[str, Any]) -> tuple[Change, ...]:
    """Return the changes of a change set."""
    return tuple(change_of(entry["ResourceChange"]) for entry in change_set.get("Changes", []))


def change_of(change: Mapping[str, Any]) -> Change:
    """Return the change of one resource; a modification that may replace it counts as a replacement."""
    replaces = change.get("Replacement") in ("True", "Conditional")
    action = "Replace" if replaces and change["Action"] == "Modify" else change["Action"]
    return Change(action, change["LogicalResourceId"], change["ResourceType"])


def wait(cloud: Cloud, name: str) -> dict[str, Any] | None:
    """Wait until no operation is in progress, and describe the stack; None where it is gone.

    Raises:
        DeliveryError: An operation takes too long.

    """
    try:
        return cloudformation.wait(cloud.client("cloudformation"), name, POLL_SECONDS, TIMEOUT_SECONDS)
    except TimeoutError as error:
        raise DeliveryError(f"{error}: look at its events.") from None


def recover(cloud: Cloud, name: str) -> bool:
    """Delete a stack whose first creation failed, so that it can be created; return whether it was deleted.

    It is deleted by its id: a stack that was made under the same name meanwhile is another.

    Raises:
        DeliveryError: The stack was complete before, so there may be something to lose.

    """
    stack = wait(cloud, name)
    if stack is None or stack["StackStatus"] != CREATION_FAILED:
        return False
    if was_complete(cloud, stack["StackId"]):
        raise DeliveryError(
            f"{name} is {CREATION_FAILED}, but was complete before: look at its events first."
        )
    delete(cloud, stack["StackId"])
    return True


def was_complete(cloud: Cloud, stack_id: str) -> bool:
    """Return whether the stack was ever complete."""
    events = pages(cloud.client("cloudformation"), "describe_stack_events", "StackEvents", StackName=stack_id)
    return any(
        event["PhysicalResourceId"] == stack_id and event["ResourceStatus"] in cloudformation.SUCCEEDED
        for event in events
    )


def delete(cloud: Cloud, name: str) -> None:
    """Delete the stack and wait until it is gone.

    Raises:
        DeliveryError: A resource was not deleted, with the reason.

    """
    cloud.client("cloudformation").delete_stack(StackName=name)
    left = wait(cloud, name)
    if left is not None:
        status, reason = left["StackStatus"], failure_reason(cloud, name)
        raise DeliveryError(f"{left['StackName']} ended as {status}. {reason} Repeat when that is mended.")


def failure_reason(cloud: Cloud, name: str) -> str:
    """Return why the first resource failed in the stack's last operation."""
    reason = cloudformation.failure_reason(cloud.client("cloudformation"), name)
    return reason or "No resource gave a reason."
