"""Deployment: checked first, repeatable, and without deleting a deployed stack."""

from __future__ import annotations

import errno
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple
from unittest.mock import Mock

import pytest
import typer

from delivery import deploy, endpoints, stacks, view
from delivery.cloud import DeliveryError, Project
from delivery.stacks import Stack
from delivery.templates.template import Template, lint

if TYPE_CHECKING:
    from pathlib import Path

    from localcloud import Cloud

PARAMETER = """
Parameters:
  Project: {{Type: String}}
  Word: {{Type: String, Default: first}}
Resources:
  State:
    Type: AWS::SSM::Parameter
    Properties: {{Name: !Sub "/${{Project}}/{name}", Type: String, Value: !Ref Word}}
Outputs:
  Word: {{Value: !Ref Word}}
"""


def test_a_file_that_can_not_be_read_is_reported_in_a_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    """What the system refuses ends a command as what AWS refuses does."""
    app = typer.Typer()

    @app.command()
    def read() -> None:
        raise OSError(errno.EACCES, "Permission denied", "pipeline.yml")

    argv, sys.argv = sys.argv, ["deploy"]
    try:
        with pytest.raises(SystemExit, match="1"):
            view.run(app, "python scripts/deploy", Mock())
    finally:
        sys.argv = argv
    assert capsys.readouterr().err == "error: [Errno 13] Permission denied: 'pipeline.yml'\n"


def small(folder: Path, project: Project, kind: str = "pipeline", name: str = "word") -> Stack:
    """Describe a stack with one parameter of SSM."""
    path = folder / f"{name}.yml"
    path.write_text(PARAMETER.format(name=name), encoding="utf-8")
    mine = {"Project": project.name}
    return Stack(project.stack(kind), Template(path), mine, {"project": project.name})


def test_a_deployment_can_be_repeated(cloud: Cloud, project: Project, tmp_path: Path) -> None:
    """What was chosen once stays chosen, and without a difference nothing is done."""
    stack = small(tmp_path, project)
    made = stacks.deploy(cloud, stack)
    assert (made.result, made.outputs) == ("created", {"Word": "first"})
    assert [(change.action, change.resource) for change in made.changes] == [("Add", "State")]
    assert stacks.deploy(cloud, stack).result == "no change"
    changed = stacks.deploy(cloud, replace(stack, parameters={**stack.parameters, "Word": "second"}))
    assert (changed.result, changed.outputs) == ("updated", {"Word": "second"})
    assert stacks.deploy(cloud, stack).outputs == {"Word": "second"}


def test_tags_are_added_to_those_there_are(cloud: Cloud, project: Project, tmp_path: Path) -> None:
    """A repeated deployment without an owner does not take the owner away."""
    stack = small(tmp_path, project)
    stacks.deploy(cloud, replace(stack, tags={"project": project.name, "Owner": "risk"}))
    stacks.deploy(cloud, replace(stack, parameters={**stack.parameters, "Word": "other"}))
    found = stacks.find(cloud, stack.name)
    assert found
    assert stacks.merged_tags(stack, found) == {"project": project.name, "Owner": "risk"}


def test_a_parameter_that_the_template_lacks_is_refused(
    cloud: Cloud, project: Project, tmp_path: Path
) -> None:
    """Before anything is made, with the names that there are."""
    stack = small(tmp_path, project)
    with pytest.raises(DeliveryError, match=r"word\.yml has no Wrod; it takes Project, Word\."):
        stacks.deploy(cloud, replace(stack, parameters={**stack.parameters, "Wrod": "x"}))
    assert stacks.find(cloud, stack.name) is None


def failed_creation(cloud: Cloud, project: Project, folder: Path, kind: str) -> Stack:
    """Leave a stack behind whose first creation failed, because a name was taken."""
    cloud.client("ssm").put_parameter(Name=f"/{project.name}/word", Type="String", Value="taken")
    stack = small(folder, project, kind)
    with pytest.raises(DeliveryError, match=r"ended as ROLLBACK_COMPLETE\. State: "):
        stacks.deploy(cloud, stack)
    cloud.client("ssm").delete_parameter(Name=f"/{project.name}/word")
    return stack


def test_a_failed_creation_is_created_anew(cloud: Cloud, project: Project, tmp_path: Path) -> None:
    """CloudFormation takes no update of it, and there is nothing in it to lose."""
    stack = failed_creation(cloud, project, tmp_path, "pipeline")
    assert stacks.deploy(cloud, stack).result == "created anew"


def test_a_failed_creation_of_production_is_deleted(cloud: Cloud, project: Project, tmp_path: Path) -> None:
    """The pipeline only creates and updates it, and would fail for ever."""
    stack = failed_creation(cloud, project, tmp_path, "deploy-prd")
    assert deploy.delete_failed_creation(cloud, project)
    assert stacks.find(cloud, stack.name) is None
    assert not deploy.delete_failed_creation(cloud, project)


def test_production_that_is_complete_or_serves_is_left_alone(
    cloud: Cloud, project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever its state, and whatever a stack says while an endpoint answers."""
    stack = small(tmp_path, project, "deploy-prd")
    stacks.deploy(cloud, stack)
    assert not deploy.delete_failed_creation(cloud, project)
    assert stacks.find(cloud, stack.name)
    serving = endpoints.Endpoint("the-endpoint", "prd", serves=True)
    monkeypatch.setattr(endpoints, "of_project", lambda *_: [serving])
    with pytest.raises(DeliveryError, match="the-endpoint serves production"):
        deploy.delete_failed_creation(cloud, project)


def test_a_broken_template_is_refused_before_it_is_sent(cloud: Cloud, tmp_path: Path) -> None:
    """cfn-lint says what is wrong, with the place."""
    path = tmp_path / "broken.yml"
    path.write_text("Resources:\n  Queue:\n    Type: AWS::SQS::Queue\n    Properties: {Nmae: x}\n")
    with pytest.raises(DeliveryError, match=r"(?s)cfn-lint refuses broken\.yml:.*Nmae"):
        Template(path).check(cloud)


@pytest.mark.parametrize("text", ["Branch", "=main", ""])
def test_a_parameter_is_a_pair(text: str) -> None:
    """Anything else is refused with the form to write."""
    with pytest.raises(DeliveryError, match="NAME=VALUE"):
        deploy.Choices.read([text], [])


@pytest.mark.parametrize(
    "choices",
    [deploy.Choices({"Project": "other"}, {}), deploy.Choices({}, {"project": "other"})],
    ids=["parameter", "tag"],
)
def test_a_stack_is_not_given_to_another_project(
    cloud: Cloud, project: Project, choices: deploy.Choices
) -> None:
    """Its key, bucket and pipeline would be replaced under names that teardown does not look for."""
    with pytest.raises(DeliveryError, match=rf"names the project {project.name}, .*: not other\."):
        deploy.deploy_stack(cloud, project, "pipeline", choices)
    assert stacks.find(cloud, project.stack("pipeline")) is None


class Settings(NamedTuple):
    """What a project's reader returns."""

    project: Settings | None = None
    name: str = "house"
    region: str = "eu-central-1"


def read_settings(path: Path) -> Settings:
    """Read project.toml as a project does, which refuses what is empty."""
    if not path.read_text(encoding="utf-8"):
        raise ValueError("project.name is missing.")
    return Settings(Settings())


def test_a_project_is_read_by_its_own_reader(tmp_path: Path) -> None:
    """Its folder, name and region are what the commands work on; what is wrong ends in a sentence."""
    path = tmp_path / "project.toml"
    with pytest.raises(DeliveryError, match=r"project\.toml does not exist: restore it, or name the folder"):
        Project.read(tmp_path, read_settings)
    path.touch()
    with pytest.raises(DeliveryError, match=r"project\.toml: project\.name is missing\."):
        Project.read(tmp_path, read_settings)
    path.write_text("x", encoding="utf-8")
    assert Project.read(tmp_path, read_settings) == Project("house", "eu-central-1", tmp_path)


def test_a_template_is_checked_with_the_settings_of_its_project(tmp_path: Path) -> None:
    """A rule that the project switches off is not reported."""
    path = tmp_path / "pipeline" / "broken.yml"
    path.parent.mkdir()
    path.write_text("Resources:\n  Queue:\n    Type: AWS::SQS::Queue\n    Properties: {Nmae: x}\n")
    (tmp_path / ".cfnlintrc.yaml").write_text("ignore_checks: [E3002]\n", encoding="utf-8")
    lint(path)
