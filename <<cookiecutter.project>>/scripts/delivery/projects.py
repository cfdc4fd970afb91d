"""Projects that were made in Studio: Service Catalog or SageMaker has named the stack of their pipeline."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from scripts.delivery import stacks
from scripts.delivery.cloud import DeliveryError, pages

if TYPE_CHECKING:
    from collections.abc import Mapping

    from scripts.delivery.cloud import Cloud, Project

NAMED = ("SC-", "SP-")
ID_OF_THE_STACK = "aws:cloudformation:stack-id"


def find(cloud: Cloud, project: Project) -> dict[str, Any] | None:
    """Describe the stack of the project's pipeline if that was made in Studio."""
    for stack in pages(cloud.client("cloudformation"), "describe_stacks", "Stacks"):
        if is_of(stack, project):
            return dict(stack)
    return None


def is_of(stack: Mapping[str, Any], project: Project) -> bool:
    """Tell whether a stack is the project's pipeline, made in Studio."""
    given = stacks.given(stack)
    return (
        stack["StackName"].startswith(NAMED)
        and given.get("Project") == project.name
        and bool(given.get("SageMakerProjectId"))
    )


def outlived(cloud: Cloud, marks: Mapping[str, str], project: Project) -> bool:
    """Tell whether such a stack has made what bears these marks; by its id one is known when it is gone."""
    stack_id = marks.get(ID_OF_THE_STACK, "")
    if not stack_id.partition(":stack/")[2].startswith(NAMED):
        return False
    try:
        (stack,) = cloud.client("cloudformation").describe_stacks(StackName=stack_id)["Stacks"]
    except ClientError as error:
        if "does not exist" in str(error):
            return False
        raise
    return is_of(stack, project)


def delete(cloud: Cloud, name: str, stack_id: str) -> None:
    """Have SageMaker delete the project with its stack, and wait for that."""
    stacks.settled(cloud, stack_id)
    sagemaker = cloud.client("sagemaker")
    sagemaker.delete_project(ProjectName=name)
    deadline = time.monotonic() + stacks.GIVE_UP_AFTER_SECONDS
    while time.monotonic() < deadline:
        status = status_of(sagemaker, name)
        if status in ("DeleteCompleted", None):
            return
        if status == "DeleteFailed":
            raise DeliveryError(
                f"SageMaker did not delete project {name}. {stacks.reason(cloud, stack_id)} "
                "Repeat when that is mended."
            )
        time.sleep(stacks.POLL_SECONDS)
    raise DeliveryError(f"Project {name} was not deleted within {stacks.GIVE_UP_AFTER_SECONDS:.0f} s.")


def status_of(sagemaker: Any, name: str) -> str | None:
    """Tell how a project stands; None when there is no such project any more."""
    try:
        return str(sagemaker.describe_project(ProjectName=name)["ProjectStatus"])
    except ClientError as error:
        if "does not exist" in str(error):
            return None
        raise
