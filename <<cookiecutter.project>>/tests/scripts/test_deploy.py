"""The project's own templates of the platform: small enough for a request, and fitting each other."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from delivery import deploy, stacks
from delivery.stacks import Stack
from delivery.templates.template import MAX_BODY, load_template

if TYPE_CHECKING:
    from delivery.cloud import Project
    from localcloud import Cloud


@pytest.mark.parametrize("name", ["pipeline.yml", "network.yml", "studio.yml"])
def test_templates_fit_a_request(project: Project, name: str) -> None:
    """CloudFormation takes 51,200 bytes; no bucket is there before the first stack."""
    template = load_template(project, name)
    assert len(template.body.encode()) <= MAX_BODY
    assert template.parameters["Project"]["Type"] == "String"


def test_the_pipeline_is_deployed_into_the_network(cloud: Cloud, project: Project) -> None:
    """The network comes to stand by its own template, and its outputs are values that the pipeline takes."""
    stack = Stack(
        project.stack("network"),
        load_template(project, "network.yml"),
        {"Project": project.name},
        {"project": project.name},
    )
    found = stacks.deploy(cloud, stack).outputs
    taken = load_template(project, "pipeline.yml").parameters
    given = deploy.pipeline_parameters(cloud, project, deploy.Choices({"Branch": "x"}, {"Owner": "risk"}))
    assert given == {
        **{name: found[name] for name in found if name in taken},
        "Tags": "Owner=risk",
        "Branch": "x",
    }
    assert len(given["SubnetIds"].split(",")) == 2
