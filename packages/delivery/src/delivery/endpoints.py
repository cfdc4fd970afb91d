"""The project's endpoints, found by name and tag."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from delivery.cloud import pages, tags_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from delivery.cloud import Cloud, Project

EXECUTION_ID = r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"  # of CodePipeline


@dataclass(frozen=True)
class Endpoint:
    """An endpoint of a stage."""

    name: str
    stage: str
    serves: bool


def stage_of(project: Project, name: str) -> str | None:
    """Return the stage of an endpoint's name; None for another project's, whose name may begin like ours."""
    match = re.fullmatch(rf"{re.escape(project.name)}-(dev|prd)-{EXECUTION_ID}", name)
    return match[1] if match else None


def list_resources(cloud: Cloud, project: Project, kind: str) -> Iterator[dict[str, Any]]:
    """Yield the project's entries of a kind (Endpoint, EndpointConfig, Model) in SageMaker."""
    sagemaker = cloud.client("sagemaker")
    operation = {
        "Endpoint": "list_endpoints",
        "EndpointConfig": "list_endpoint_configs",
        "Model": "list_models",
    }
    for entry in pages(sagemaker, operation[kind], f"{kind}s", NameContains=f"{project.name}-"):
        if stage_of(project, entry[f"{kind}Name"]) and has_tag(sagemaker, project, entry[f"{kind}Arn"]):
            yield entry


def has_tag(sagemaker: Any, project: Project, arn: str) -> bool:
    """Return whether a resource has the project's tag."""
    return tags_of(sagemaker.list_tags(ResourceArn=arn)["Tags"]).get("project") == project.name


def of_project(cloud: Cloud, project: Project) -> list[Endpoint]:
    """List the project's endpoints."""
    return [
        Endpoint(
            entry["EndpointName"],
            str(stage_of(project, entry["EndpointName"])),
            entry["EndpointStatus"] == "InService",
        )
        for entry in list_resources(cloud, project, "Endpoint")
    ]
