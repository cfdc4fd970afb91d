"""Stacks of the local cloud, deployed by one create or update: nobody looks at the changes before."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from delivery import cloudformation, stacks
from delivery.cloud import DeliveryError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from delivery.cloud import Cloud

POLL_SECONDS = 0.1
MAX_BODY = 51_200  # bytes of a template in a request
TIMEOUT_SECONDS = 1800.0
UNUSABLE = ("ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "CREATE_FAILED", "DELETE_FAILED")


@dataclass(frozen=True)
class StackSettings:
    """Parameters and tags of a stack."""

    parameters: Mapping[str, str]
    tags: Mapping[str, str]


def outputs(cloud: Cloud, name: str) -> dict[str, str]:
    """Return the stack's outputs by name.

    Raises:
        DeliveryError: The stack does not exist.

    """
    stack = stacks.find(cloud, name)
    if stack is None:
        raise DeliveryError(f"Stack {name} is not in the local cloud; 'python -m local run' deploys it.")
    return cloudformation.outputs(stack)


def parameters(cloud: Cloud, name: str) -> dict[str, str]:
    """Return the stack's parameters by name; none where the stack does not exist."""
    return cloudformation.parameters(stacks.find(cloud, name))


def deploy(cloud: Cloud, name: str, template: Path, settings: StackSettings) -> None:
    """Create or update the stack and wait until that is done.

    Raises:
        DeliveryError: The stack failed, or took too long.

    """
    client = cloud.client("cloudformation")
    arguments = {
        "StackName": name,
        **_template(cloud, name, template),
        "Parameters": [{"ParameterKey": k, "ParameterValue": v} for k, v in settings.parameters.items()],
        "Tags": [{"Key": key, "Value": value} for key, value in settings.tags.items()],
        "Capabilities": ["CAPABILITY_IAM", "CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND"],
    }
    status = _wait(client, name)
    if status in UNUSABLE:  # as CodePipeline's REPLACE_ON_FAILURE does
        client.delete_stack(StackName=name)
        status = _wait(client, name)
    if status is None:
        client.create_stack(**arguments)
    elif not _update(client, arguments):
        return
    status = _wait(client, name)
    if status not in cloudformation.SUCCEEDED:
        raise DeliveryError(f"Stack {name} ended as {status}: {failure_reason(cloud, name)}")


def _template(cloud: Cloud, name: str, template: Path) -> dict[str, str]:
    """Return the template itself, or the address in S3 of one that is too long for a request."""
    text = template.read_text(encoding="utf-8")
    if len(text.encode()) <= MAX_BODY:
        return {"TemplateBody": text}
    s3, bucket, key = cloud.client("s3"), f"{name}-templates", template.name
    # S3 refuses a location constraint for us-east-1, its default.
    location = {"CreateBucketConfiguration": {"LocationConstraint": cloud.region}}
    with contextlib.suppress(s3.exceptions.BucketAlreadyOwnedByYou):
        s3.create_bucket(Bucket=bucket, **({} if cloud.region == "us-east-1" else location))
    s3.put_object(Bucket=bucket, Key=key, Body=text.encode())
    return {"TemplateURL": f"https://s3.{cloud.region}.amazonaws.com/{bucket}/{key}"}


def _update(client: Any, arguments: dict[str, Any]) -> bool:
    try:
        client.update_stack(**arguments)
    except ClientError as error:
        if cloudformation.has_no_changes(str(error)):
            return False
        raise
    return True


def _wait(client: Any, name: str) -> str | None:
    """Wait until no operation is in progress; return the stack's status, or None where it is gone."""
    try:
        stack = cloudformation.wait(client, name, POLL_SECONDS, TIMEOUT_SECONDS)
    except TimeoutError as error:
        raise DeliveryError(f"Stack {error}; see .local/logs/cloud.log.") from None
    return str(stack["StackStatus"]) if stack else None


def failure_reason(cloud: Cloud, name: str) -> str:
    """Return why the first resource failed in the stack's last operation."""
    reason = cloudformation.failure_reason(cloud.client("cloudformation"), name)
    return reason or "no resource gave a reason; see .local/logs/cloud.log"
