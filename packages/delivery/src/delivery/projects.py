"""Projects made in Studio, whose pipeline stack Service Catalog or SageMaker has named."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from delivery import cloudformation, stacks
from delivery.cloud import DeliveryError, pages

if TYPE_CHECKING:
    from collections.abc import Mapping

    from delivery.cloud import Cloud, Project

STUDIO_PREFIXES = ("SC-", "SP-")
STACK_ID = "aws:cloudformation:stack-id"


def find(cloud: Cloud, project: Project) -> dict[str, Any] | None:
    """Describe the project's pipeline stack if it was made in Studio; None otherwise."""
    for stack in pages(cloud.client("cloudformation"), "describe_stacks", "Stacks"):
        if is_pipeline(stack, project):
            return dict(stack)
    return None


def is_pipeline(stack: Mapping[str, Any], project: Project) -> bool:
    """Return whether a stack is the project's pipeline, made in Studio."""
    parameters = cloudformation.parameters(stack)
    return (
        stack["StackName"].startswith(STUDIO_PREFIXES)
        and parameters.get("Project") == project.name
        and bool(parameters.get("SageMakerProjectId"))
    )


def created(cloud: Cloud, tags: Mapping[str, str], project: Project) -> bool:
    """Return whether the pipeline stack, which may be deleted, has created the resource with these tags."""
    stack_id = tags.get(STACK_ID, "")
    if not stack_id.partition(":stack/")[2].startswith(STUDIO_PREFIXES):
        return False
    try:
        (stack,) = cloud.client("cloudformation").describe_stacks(StackName=stack_id)["Stacks"]
    except ClientError as error:
        if cloudformation.does_not_exist(error):
            return False
        raise
    return is_pipeline(stack, project)


def delete(cloud: Cloud, name: str, stack_id: str) -> None:
    """Delete the project with its stack by SageMaker, and wait until that is done.

    Raises:
        DeliveryError: The deletion failed or takes too long.

    """
    stacks.wait(cloud, stack_id)
    sagemaker = cloud.client("sagemaker")
    sagemaker.delete_project(ProjectName=name)
    deadline = time.monotonic() + stacks.TIMEOUT_SECONDS
    while time.monotonic() < deadline:
        status = status_of(sagemaker, name)
        if status in ("DeleteCompleted", None):
            return
        if status == "DeleteFailed":
            raise DeliveryError(
                f"SageMaker did not delete project {name}. {stacks.failure_reason(cloud, stack_id)} "
                "Repeat when that is mended."
            )
        time.sleep(stacks.POLL_SECONDS)
    raise DeliveryError(f"Project {name} was not deleted within {stacks.TIMEOUT_SECONDS:.0f} s.")


def status_of(sagemaker: Any, name: str) -> str | None:
    """Return the status of a project; None where it does not exist."""
    try:
        return str(sagemaker.describe_project(ProjectName=name)["ProjectStatus"])
    except ClientError as error:
        if cloudformation.does_not_exist(error):
            return None
        raise
