"""The project's endpoints, known by name and by tag."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from scripts.delivery.cloud import pages, tags_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scripts.delivery.cloud import Cloud, Project

EXECUTION = r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"  # as CodePipeline names one


@dataclass(frozen=True)
class Endpoint:
    """An endpoint of a stage."""

    name: str
    stage: str
    serves: bool


def stage_of(project: Project, name: str) -> str | None:
    """Give the stage that a name belongs to; None for another project's, whose name may begin like ours."""
    found = re.fullmatch(rf"{re.escape(project.name)}-(dev|prd)-{EXECUTION}", name)
    return found[1] if found else None


def named(cloud: Cloud, project: Project, kind: str) -> Iterator[dict[str, Any]]:
    """Give what SageMaker has of a kind (Endpoint, EndpointConfig, Model) that is the project's."""
    sagemaker = cloud.client("sagemaker")
    operation = {
        "Endpoint": "list_endpoints",
        "EndpointConfig": "list_endpoint_configs",
        "Model": "list_models",
    }
    for entry in pages(sagemaker, operation[kind], f"{kind}s", NameContains=f"{project.name}-"):
        if stage_of(project, entry[f"{kind}Name"]) and is_ours(sagemaker, project, entry[f"{kind}Arn"]):
            yield entry


def is_ours(sagemaker: Any, project: Project, arn: str) -> bool:
    """Tell whether it bears the project's tag."""
    return tags_of(sagemaker.list_tags(ResourceArn=arn)["Tags"]).get("project") == project.name


def of_project(cloud: Cloud, project: Project) -> list[Endpoint]:
    """List the project's endpoints."""
    return [
        Endpoint(
            entry["EndpointName"],
            str(stage_of(project, entry["EndpointName"])),
            entry["EndpointStatus"] == "InService",
        )
        for entry in named(cloud, project, "Endpoint")
    ]
