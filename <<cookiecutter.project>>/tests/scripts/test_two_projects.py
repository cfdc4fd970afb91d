"""Two projects live in one account, though the name of one begins the other's."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from delivery import deploy, stacks, teardown
from delivery.cloud import Project
from delivery.inventory import Inventory
from delivery.templates.packaging import Uploads, package
from delivery.templates.template import Template, load_template

from pipeline.parameters import render
from pipeline.reader import read_settings
from pipeline.run import Run

if TYPE_CHECKING:
    from collections.abc import Callable

    from localcloud import Cloud

ROOT = Path(__file__).resolve().parents[2]
STACKS = ("workflow", "verify", "governor")
NAMES = itertools.count(1)


def rendered(settings: Path, platform: dict[str, str]) -> dict[str, Any]:
    """Give what the build renders for the project of the settings."""
    run = Run(
        commit="3f2a91c",
        data_version="newest",
        execution_id="0f0cbb6e-3b0e-4a7e-9d3a-6a2f8f2f5a10",
        image_uri=f"{platform['RepositoryUri']}:1",
        artifact_bucket=platform["ArtifactBucket"],
        kms_key_arn=platform["KmsKeyArn"],
        sagemaker_role_arn=platform["SageMakerRoleArn"],
        notification_topic_arn=platform["NotificationTopicArn"],
    )
    return render(read_settings(settings), run)


def deliver(cloud: Cloud, project: Project, settings: Path) -> None:
    """Deploy the network, the pipeline, and what that deploys per commit."""
    mark, platform = {"project": project.name}, {}
    for kind in ("network", "pipeline"):
        found = deploy.pipeline_parameters(cloud, project, deploy.Choices({}, {}))
        parameters = {"Project": project.name, **found}
        stack = stacks.Stack(project.stack(kind), load_template(project, f"{kind}.yml"), parameters, mark)
        platform = dict(stacks.deploy(cloud, stack).outputs)
    files = rendered(settings, platform)
    uploads = Uploads(cloud.client("s3"), platform["ArtifactBucket"], platform["KmsKeyArn"])
    for kind in STACKS:
        path = settings.with_name(f"{project.name}-{kind}.yml")
        path.write_text(package(ROOT / "stacks" / f"{kind}.yml", uploads), encoding="utf-8")
        given = files[f"{kind}.json"]
        stack = stacks.Stack(project.stack(kind), Template(path), given["Parameters"], given["Tags"])
        assert stacks.deploy(cloud, stack).result == "created"


@pytest.fixture
def two(cloud: Cloud, settings_of: Callable[..., str], tmp_path: Path) -> tuple[Project, Project]:
    """Deploy two projects, of which one has a name that names of the other begin or are like."""
    first = Project(f"twin-{next(NAMES)}", cloud.region, ROOT)
    second = replace(first, name=f"{first.name}-api")
    for project in (first, second):
        settings = tmp_path / f"{project.name}.toml"
        settings.write_text(settings_of(project.name, project.region), encoding="utf-8")
        deliver(cloud, project, settings)
    return first, second


def made(cloud: Cloud, project: Project) -> set[tuple[str, str]]:
    """Give what the project's stacks have made."""
    kinds = ("network", "pipeline", *STACKS)
    return {one for kind in kinds for one in stacks.resources(cloud, project.stack(kind))}


def test_two_projects_stand_side_by_side_and_one_goes_alone(
    cloud: Cloud, two: tuple[Project, Project]
) -> None:
    """Every resource belongs to one of them, and what is left of the first is nothing of the second's."""
    first, second = two
    of_the_first, of_the_second = (made(cloud, project) for project in two)
    assert len(of_the_first) == len(of_the_second)
    assert not of_the_first & of_the_second
    before = Inventory(cloud, second).items()
    teardown.remove_all(cloud, Inventory(cloud, first).items(), lambda _: None)
    assert Inventory(cloud, first).items() == []
    assert Inventory(cloud, second).items() == before
    assert made(cloud, second) == of_the_second
    machines = {one["name"] for one in cloud.client("stepfunctions").list_state_machines()["stateMachines"]}
    assert {second.stack(kind) for kind in STACKS} <= machines
    repositories = cloud.client("ecr").describe_repositories()["repositories"]
    assert {second.name, f"{second.name}/api"} <= {one["repositoryName"] for one in repositories}
