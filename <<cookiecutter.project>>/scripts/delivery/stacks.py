"""Stacks, brought about by change sets: what changes is known before, and nothing is deleted first."""

from __future__ import annotations

import time
import uuid
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from scripts.delivery.cloud import DeliveryError, pages, tags_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from scripts.delivery.cloud import Cloud
    from scripts.delivery.templates import Template

POLL_SECONDS = 2.0
GIVE_UP_AFTER_SECONDS = 3600.0
NEVER_STOOD = "ROLLBACK_COMPLETE"  # a first creation that failed; CloudFormation takes no update of it
BARE = "REVIEW_IN_PROGRESS"  # a change set that was never executed
STANDS = ("CREATE_COMPLETE", "UPDATE_COMPLETE", "UPDATE_ROLLBACK_COMPLETE", "IMPORT_COMPLETE")
CAPABILITIES = ["CAPABILITY_IAM"]  # the platform's templates make roles, and use no transform
NOTHING_NEW = ("didn't contain changes", "No updates are to be performed")


@dataclass(frozen=True)
class Change:
    """What a deployment does to one resource."""

    action: str
    resource: str
    kind: str


@dataclass(frozen=True)
class Outcome:
    """How a deployment ended."""

    stack: str
    result: str
    changes: tuple[Change, ...] = ()
    outputs: Mapping[str, str] = field(default_factory=dict)

    def after(self, earlier: Outcome | None) -> Outcome:
        """Tell of two deployments of the stack as of one."""
        if earlier is None:
            return self
        return replace(self, result=earlier.result, changes=(*earlier.changes, *self.changes))


@dataclass(frozen=True)
class Stack:
    """What a stack is to be; parameters that are not given keep their values, else take their defaults."""

    name: str
    template: Template
    parameters: Mapping[str, str]
    tags: Mapping[str, str]


def find(cloud: Cloud, name: str) -> dict[str, Any] | None:
    """Describe the stack, by name or id, or give None when there is none."""
    try:
        (stack,) = cloud.client("cloudformation").describe_stacks(StackName=name)["Stacks"]
    except ClientError as error:
        if "does not exist" in str(error):
            return None
        raise
    return None if stack["StackStatus"] == "DELETE_COMPLETE" else dict(stack)


def outputs(stack: Mapping[str, Any] | None) -> dict[str, str]:
    """Give the outputs by name."""
    return {output["OutputKey"]: output["OutputValue"] for output in (stack or {}).get("Outputs", [])}


def given(stack: Mapping[str, Any]) -> dict[str, str]:
    """Give the parameters by name."""
    return {one["ParameterKey"]: one.get("ParameterValue", "") for one in stack.get("Parameters", [])}


def resources(cloud: Cloud, name: str) -> list[tuple[str, str]]:
    """List types and physical ids of what the stack has made."""
    found = pages(
        cloud.client("cloudformation"), "list_stack_resources", "StackResourceSummaries", StackName=name
    )
    return [
        (one["ResourceType"], one["PhysicalResourceId"])
        for one in found
        if one.get("PhysicalResourceId") and one["ResourceStatus"] != "DELETE_COMPLETE"
    ]


# Deployment


def deploy(cloud: Cloud, stack: Stack) -> Outcome:
    """Create or update the stack; raise DeliveryError with the reason when it does not come to stand."""
    recovered = recover(cloud, stack.name)
    present = settled(cloud, stack.name)
    name, changes = prepare(cloud, stack, present)
    if changes is None:
        return Outcome(stack.name, "no change", outputs=outputs(present))
    cloud.client("cloudformation").execute_change_set(StackName=stack.name, ChangeSetName=name)
    present = settled(cloud, stack.name)
    status = present["StackStatus"] if present else "gone"
    if status not in ("CREATE_COMPLETE", "UPDATE_COMPLETE"):
        raise DeliveryError(f"{stack.name} ended as {status}. {reason(cloud, stack.name)}")
    made = "updated" if status == "UPDATE_COMPLETE" else "created"
    return Outcome(stack.name, f"{made} anew" if recovered else made, changes, outputs(present))


def prepare(
    cloud: Cloud, stack: Stack, present: Mapping[str, Any] | None
) -> tuple[str, tuple[Change, ...] | None]:
    """Make a change set and list what it does to resources; None, and no change set, when nothing differs."""
    cloudformation = cloud.client("cloudformation")
    name = f"deploy-{uuid.uuid4().hex}"
    is_new = present is None or present["StackStatus"] == BARE
    cloudformation.create_change_set(
        StackName=stack.name,
        ChangeSetName=name,
        ChangeSetType="CREATE" if is_new else "UPDATE",
        TemplateBody=stack.template.body,
        Parameters=parameters(stack, None if is_new else present),
        Tags=[{"Key": key, "Value": value} for key, value in tags(stack, present).items()],
        Capabilities=CAPABILITIES,
    )
    made = await_change_set(cloudformation, stack.name, name)
    if made["Status"] == "CREATE_COMPLETE":
        return name, tuple(Change(**change) for change in changes_of(made))
    cloudformation.delete_change_set(StackName=stack.name, ChangeSetName=name)
    why = made.get("StatusReason", "CloudFormation gave no reason.")
    if any(words in why for words in NOTHING_NEW):
        return name, None
    raise DeliveryError(f"{stack.name} can't be changed: {why}")


def parameters(stack: Stack, present: Mapping[str, Any] | None) -> list[dict[str, Any]]:
    """Give each parameter its new value, or else the one it has; refuse names that the template lacks."""
    unknown = stack.parameters.keys() - stack.template.parameters.keys()
    if unknown:
        known = ", ".join(stack.template.parameters)
        raise DeliveryError(
            f"{stack.template.path.name} has no {', '.join(sorted(unknown))}; it takes {known}."
        )
    kept = given(present or {})
    found: list[dict[str, Any]] = []
    for name in stack.template.parameters:
        if name in stack.parameters:
            found.append({"ParameterKey": name, "ParameterValue": stack.parameters[name]})
        elif name in kept:
            found.append({"ParameterKey": name, "UsePreviousValue": True})
    return found


def tags(stack: Stack, present: Mapping[str, Any] | None) -> dict[str, str]:
    """Add the tags to those that the stack has."""
    kept = tags_of((present or {}).get("Tags"))
    return {key: value for key, value in kept.items() if not key.startswith("aws:")} | dict(stack.tags)


def await_change_set(cloudformation: Any, stack: str, name: str) -> dict[str, Any]:
    """Wait until the change set is made, or is not; with all its pages of changes."""
    deadline = time.monotonic() + GIVE_UP_AFTER_SECONDS
    while time.monotonic() < deadline:
        made = dict(cloudformation.describe_change_set(StackName=stack, ChangeSetName=name))
        if made["Status"] in ("CREATE_COMPLETE", "FAILED"):
            while "NextToken" in made:
                more = cloudformation.describe_change_set(
                    StackName=stack, ChangeSetName=name, NextToken=made.pop("NextToken")
                )
                made |= {**more, "Changes": [*made["Changes"], *more["Changes"]]}
            return made
        time.sleep(POLL_SECONDS)
    raise DeliveryError(f"The change set of {stack} was not made within {GIVE_UP_AFTER_SECONDS:.0f} s.")


def changes_of(change_set: Mapping[str, Any]) -> list[dict[str, str]]:
    """Say of each change what is done to which resource."""
    found = []
    for entry in change_set.get("Changes", []):
        change = entry["ResourceChange"]
        replaced = change.get("Replacement") in ("True", "Conditional")
        action = "Replace" if replaced and change["Action"] == "Modify" else change["Action"]
        found.append(
            {"action": action, "resource": change["LogicalResourceId"], "kind": change["ResourceType"]}
        )
    return found


# Waiting and removal


def settled(cloud: Cloud, name: str) -> dict[str, Any] | None:
    """Wait until nothing is in progress; describe the stack, or give None when it is gone."""
    deadline = time.monotonic() + GIVE_UP_AFTER_SECONDS
    while time.monotonic() < deadline:
        stack = find(cloud, name)
        if stack is None or stack["StackStatus"] == BARE or not stack["StackStatus"].endswith("_IN_PROGRESS"):
            return stack
        time.sleep(POLL_SECONDS)
    raise DeliveryError(f"{name} did not settle within {GIVE_UP_AFTER_SECONDS:.0f} s: look at its events.")


def recover(cloud: Cloud, name: str) -> bool:
    """Delete a stack that never stood, so that it can be made; leave every other one alone.

    It is deleted by its id: one that was made under the same name meanwhile is another.
    """
    stack = settled(cloud, name)
    if stack is None or stack["StackStatus"] != NEVER_STOOD:
        return False
    if stood(cloud, stack["StackId"]):
        raise DeliveryError(
            f"{name} is {NEVER_STOOD}, but stood before: look at its events before it is deleted."
        )
    delete(cloud, stack["StackId"])
    return True


def stood(cloud: Cloud, stack_id: str) -> bool:
    """Tell whether the stack was ever complete."""
    events = pages(cloud.client("cloudformation"), "describe_stack_events", "StackEvents", StackName=stack_id)
    complete = ("CREATE_COMPLETE", "UPDATE_COMPLETE")
    return any(
        event["PhysicalResourceId"] == stack_id and event["ResourceStatus"] in complete for event in events
    )


def delete(cloud: Cloud, name: str) -> None:
    """Delete the stack and wait until it is gone; raise DeliveryError with what did not let go."""
    cloud.client("cloudformation").delete_stack(StackName=name)
    left = settled(cloud, name)
    if left is not None:
        status = left["StackStatus"]
        raise DeliveryError(
            f"{left['StackName']} ended as {status}. {reason(cloud, name)} Repeat when that is mended."
        )


def reason(cloud: Cloud, name: str) -> str:
    """Give the reason of the first resource that failed in the stack's last operation."""
    found = "No resource gave a reason."
    events = pages(cloud.client("cloudformation"), "describe_stack_events", "StackEvents", StackName=name)
    for event in events:  # newest first
        why = event.get("ResourceStatusReason", "")
        if event["ResourceType"] == "AWS::CloudFormation::Stack" and why == "User Initiated":
            break
        if event["ResourceStatus"].endswith("_FAILED") and why and "cancelled" not in why:
            found = f"{event['LogicalResourceId']}: {why}"
    return found
