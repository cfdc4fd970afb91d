"""Deploy the project's CloudFormation stacks and read what became of them."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from local.project import LocalError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from localcloud import Cloud

POLL_SECONDS = 0.1
LONGEST_BODY = 51_200  # bytes of a template that a request may hold
GIVE_UP_AFTER_SECONDS = 1800
UNUSABLE = ("ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "CREATE_FAILED", "DELETE_FAILED")


@dataclass(frozen=True)
class StackSettings:
    """Parameters and tags of a stack."""

    parameters: Mapping[str, str]
    tags: Mapping[str, str]


def find_stack(cloud: Cloud, name: str) -> dict[str, Any] | None:
    """Describe the stack, or return None when it does not exist."""
    try:
        stacks = cloud.client("cloudformation").describe_stacks(StackName=name)["Stacks"]
    except ClientError as error:
        if "does not exist" in str(error):
            return None
        raise
    return dict(stacks[0]) if stacks else None


def outputs(cloud: Cloud, name: str) -> dict[str, str]:
    """Give the stack's outputs by name."""
    stack = find_stack(cloud, name)
    if stack is None:
        raise LocalError(f"The local cloud has no stack {name}; 'python -m local run' deploys it.")
    return {output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", [])}


def parameters(cloud: Cloud, name: str) -> dict[str, str]:
    """Return the stack's parameters by name; none for a stack that does not exist."""
    stack = find_stack(cloud, name) or {}
    return {each["ParameterKey"]: each["ParameterValue"] for each in stack.get("Parameters", [])}


def deploy(cloud: Cloud, name: str, template: Path, settings: StackSettings) -> None:
    """Create or update the stack and wait until the operation ends."""
    cloudformation = cloud.client("cloudformation")
    arguments = {
        "StackName": name,
        **_template(cloud, name, template),
        "Parameters": [{"ParameterKey": k, "ParameterValue": v} for k, v in settings.parameters.items()],
        "Tags": [{"Key": key, "Value": value} for key, value in settings.tags.items()],
        "Capabilities": ["CAPABILITY_IAM", "CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND"],
    }
    status = _settled(cloud, name)
    if status in UNUSABLE:  # as CodePipeline's REPLACE_ON_FAILURE does
        cloudformation.delete_stack(StackName=name)
        status = _settled(cloud, name)
    if status is None:
        cloudformation.create_stack(**arguments)
    elif not _update(cloudformation, arguments):
        return
    status = _settled(cloud, name)
    if status not in ("CREATE_COMPLETE", "UPDATE_COMPLETE"):
        raise LocalError(f"Stack {name} ended as {status}: {failure_reason(cloud, name)}")


def _template(cloud: Cloud, name: str, template: Path) -> dict[str, str]:
    """Give the template itself, or the address in S3 of one that is too long for a request."""
    text = template.read_text(encoding="utf-8")
    if len(text.encode()) <= LONGEST_BODY:
        return {"TemplateBody": text}
    s3, bucket, key = cloud.client("s3"), f"{name}-templates", template.name
    # S3 takes no constraint for the region that it was born in.
    place = {"CreateBucketConfiguration": {"LocationConstraint": cloud.region}}
    with contextlib.suppress(s3.exceptions.BucketAlreadyOwnedByYou):
        s3.create_bucket(Bucket=bucket, **({} if cloud.region == "us-east-1" else place))
    s3.put_object(Bucket=bucket, Key=key, Body=text.encode())
    return {"TemplateURL": f"https://s3.{cloud.region}.amazonaws.com/{bucket}/{key}"}


def _update(cloudformation: Any, arguments: dict[str, Any]) -> bool:
    try:
        cloudformation.update_stack(**arguments)
    except ClientError as error:
        if "No updates are to be performed" in str(error):
            return False
        raise
    return True


def _settled(cloud: Cloud, name: str) -> str | None:
    """Wait until no operation is in progress; give the stack's status, or None when it is gone."""
    deadline = time.monotonic() + GIVE_UP_AFTER_SECONDS
    while time.monotonic() < deadline:
        stack = find_stack(cloud, name)
        if stack is None or stack["StackStatus"] == "DELETE_COMPLETE":
            return None
        if not stack["StackStatus"].endswith("_IN_PROGRESS"):
            return str(stack["StackStatus"])
        time.sleep(POLL_SECONDS)
    raise LocalError(
        f"Stack {name} did not settle within {GIVE_UP_AFTER_SECONDS} s; see .local/logs/cloud.log."
    )


def failure_reason(cloud: Cloud, name: str) -> str:
    """Give the reason of the first resource that failed in the stack's last operation."""
    events = cloud.client("cloudformation").describe_stack_events(StackName=name)["StackEvents"]
    reason = "no resource gave a reason; see .local/logs/cloud.log"
    for event in events:  # newest first
        own = event["ResourceType"] == "AWS::CloudFormation::Stack"
        if own and event.get("ResourceStatusReason") == "User Initiated":
            break
        if event["ResourceStatus"].endswith("_FAILED") and event.get("ResourceStatusReason"):
            reason = f"{event['LogicalResourceId']}: {event['ResourceStatusReason']}"
    return reason
