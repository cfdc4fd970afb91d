"""Teardown: all of the project goes, in an order that works, and nothing of a neighbour of similar name."""

from __future__ import annotations

import json
import re
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

from delivery import inventory, stacks, teardown
from delivery.cloud import DeliveryError, Project
from delivery.endpoints import stage_of
from delivery.inventory import Inventory, Item
from delivery.templates.template import Template

if TYPE_CHECKING:
    from localcloud import Cloud

EXECUTION = "0f0cbb6e-3b0e-4a7e-9d3a-6a2f8f2f5a10"
PLATFORM = """
Parameters:
  Project: {Type: String}
Resources:
  Bucket:
    Type: AWS::S3::Bucket
    DeletionPolicy: Retain
    Properties: {VersioningConfiguration: {Status: Enabled}, Tags: [{Key: project, Value: !Ref Project}]}
  Key:
    Type: AWS::KMS::Key
    DeletionPolicy: Retain
    Properties:
      KeyPolicy: {Version: "2012-10-17", Statement: []}
      Tags: [{Key: project, Value: !Ref Project}]
  Repository:
    Type: AWS::ECR::Repository
    Properties: {RepositoryName: !Ref Project}
  Models:
    Type: AWS::SageMaker::ModelPackageGroup
    Properties: {ModelPackageGroupName: !Ref Project}
Outputs:
  Bucket: {Value: !Ref Bucket}
  Key: {Value: !Ref Key}
"""
STATE = """
Parameters:
  Project: {Type: String}
Resources:
  Setting:
    Type: AWS::SSM::Parameter
    Properties: {Name: !Sub "/${Project}/setting", Type: String, Value: none}
"""


def deploy(cloud: Cloud, project: Project, kind: str, text: str, folder: Path) -> dict[str, str]:
    path = folder / f"{project.name}-{kind}.yml"
    path.write_text(text, encoding="utf-8")
    stack = stacks.Stack(
        project.stack(kind), Template(path), {"Project": project.name}, {"project": project.name}
    )
    return dict(stacks.deploy(cloud, stack).outputs)


def furnish(cloud: Cloud, project: Project, folder: Path) -> dict[str, str]:
    """Make a small project with data of two versions, a deleted file, an image, models, logs and state."""
    made = deploy(cloud, project, "pipeline", PLATFORM, folder)
    deploy(cloud, project, "verify", STATE, folder)
    s3, logs = cloud.client("s3"), cloud.client("logs")
    for body in (b"1", b"2"):
        s3.put_object(Bucket=made["Bucket"], Key="raw/a.csv", Body=body)
    s3.put_object(Bucket=made["Bucket"], Key="raw/b.csv", Body=b"3")
    s3.delete_object(Bucket=made["Bucket"], Key="raw/b.csv")
    s3.create_multipart_upload(Bucket=made["Bucket"], Key="raw/c.csv")
    manifest = json.dumps({"schemaVersion": 2, "config": {}, "layers": []})
    cloud.client("ecr").put_image(repositoryName=project.name, imageManifest=manifest, imageTag="1")
    for _ in range(2):
        cloud.client("sagemaker").create_model_package(ModelPackageGroupName=project.name)
    for name in ("/aws/lambda/{}-api", "/aws/sagemaker/Endpoints/{}-prd-" + EXECUTION):
        logs.create_log_group(logGroupName=name.format(project.name))
    cloud.client("ssm").put_parameter(Name=f"/{project.name}/paused", Type="String", Value="no")
    look_again(cloud, project)
    return made


def look_again(cloud: Cloud, project: Project) -> None:
    """Make the schedule that the governor makes."""
    cloud.client("scheduler").create_schedule(
        Name=project.stack(inventory.RETRY),
        ScheduleExpression="at(2100-01-01T00:00:00)",
        FlexibleTimeWindow={"Mode": "OFF"},
        ActionAfterCompletion="DELETE",
        Target={"Arn": "arn:aws:states:eu-central-1:000000000000:stateMachine:x", "RoleArn": "arn:role"},
    )


def kinds(items: list[Item]) -> list[str]:
    return list(dict.fromkeys(item.kind for item in items))


def key_state(cloud: Cloud, key: str) -> str:
    return str(cloud.client("kms").describe_key(KeyId=key)["KeyMetadata"]["KeyState"])


def test_everything_goes_and_the_neighbour_stays(cloud: Cloud, project: Project, tmp_path: Path) -> None:
    """A project `house` is torn down beside `house-prices`."""
    neighbour = Project(f"{project.name}-x", project.region, project.root)
    mine, theirs = (furnish(cloud, one, tmp_path) for one in (project, neighbour))
    before = Inventory(cloud, neighbour).items()
    found = Inventory(cloud, project).items()
    assert [item.name for item in found if item.kind == "stack"] == [
        project.stack("verify"),
        project.stack("pipeline"),
    ]
    said: list[str] = []
    teardown.remove_all(cloud, found, said.append)
    assert len(said) == len(found)
    assert Inventory(cloud, project).items() == []
    buckets = {bucket["Name"] for bucket in cloud.client("s3").list_buckets()["Buckets"]}
    assert (mine["Bucket"] in buckets, theirs["Bucket"] in buckets) == (False, True)
    assert (key_state(cloud, mine["Key"]), key_state(cloud, theirs["Key"])) == ("PendingDeletion", "Enabled")
    assert Inventory(cloud, neighbour).items() == before
    teardown.remove_all(cloud, before, said.append)


def test_a_list_removes_nothing(cloud: Cloud, project: Project, tmp_path: Path) -> None:
    """--dry-run may be run at any time."""
    furnish(cloud, project, tmp_path)
    first = Inventory(cloud, project).items()
    assert Inventory(cloud, project).items() == first
    listed = {"stack", "schedule", "images", "registered model", "bucket", "key", "log group", "parameter"}
    assert listed <= set(kinds(first))
    names, pipeline = (
        [item.kind for item in first],
        [item.name for item in first].index(project.stack("pipeline")),
    )
    assert max(names.index("images"), names.index("registered model")) < pipeline
    assert names.index("bucket") > pipeline


def test_the_command_lists_asks_and_removes(
    cloud: Cloud, project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A person who types another name, or asks for a list, loses nothing."""
    monkeypatch.setattr(teardown, "Account", lambda region: cloud if region == project.region else None)
    tearing_down = partial(CliRunner().invoke, teardown.app, obj=lambda: project)
    deploy(cloud, project, "verify", STATE, tmp_path)
    name = project.stack("verify")
    listed = tearing_down(["--dry-run"])
    assert name in listed.output
    assert "nothing was" in listed.output
    refused = tearing_down(input="house\n")
    assert isinstance(refused.exception, DeliveryError)
    assert stacks.find(cloud, name)
    removed = tearing_down(input=f"{project.name}\n")
    assert f"stack {name}: removed" in removed.output
    assert stacks.find(cloud, name) is None
    assert "There is nothing of" in tearing_down(["--yes"]).output


def test_whoever_repeats_it_goes_on(cloud: Cloud, project: Project, tmp_path: Path) -> None:
    """A resource that is already deleted, alone or with its stack, is not an error."""
    furnish(cloud, project, tmp_path)
    found = Inventory(cloud, project).items()
    teardown.remove_all(cloud, found[:3], lambda _: None)
    teardown.remove_all(cloud, found, lambda _: None)
    teardown.remove_all(cloud, [item for item in found if item.kind != "key"], lambda _: None)
    assert Inventory(cloud, project).items() == []


def test_a_stack_of_someone_else_is_not_touched(cloud: Cloud, project: Project, tmp_path: Path) -> None:
    """A stack may have our name by chance; then nothing at all is listed."""
    text = STATE.replace("Project: {Type: String}", "Owner: {Type: String, Default: x}").replace(
        "Project", "Owner"
    )
    path = tmp_path / "other.yml"
    path.write_text(text, encoding="utf-8")
    name = project.stack("deploy-dev")
    stacks.deploy(cloud, stacks.Stack(name, Template(path), {"Owner": "them"}, {}))
    with pytest.raises(DeliveryError, match=f"{name} is not the project's"):
        Inventory(cloud, project).items()
    assert stacks.find(cloud, name)


def test_a_given_key_and_a_marked_bucket_are_not_ours(cloud: Cloud, project: Project) -> None:
    """An organization may tag what it lends to a project; only CloudFormation's mark says who made it."""
    marks = [{"TagKey": "project", "TagValue": project.name}]
    key = cloud.client("kms").create_key(Tags=marks)["KeyMetadata"]["KeyId"]
    assert Inventory(cloud, project).items() == []
    assert key_state(cloud, key) == "Enabled"


@pytest.mark.parametrize(
    ("name", "stage"),
    [
        (f"house-prd-{EXECUTION}", "prd"),
        (f"house-dev-{EXECUTION}", "dev"),
        (f"house-dev-prd-{EXECUTION}", None),
        (f"house-prices-prd-{EXECUTION}", None),
        (f"house-prd-{EXECUTION}-2", None),
        ("house-prd-test", None),
    ],
)
def test_endpoints_are_known_by_their_whole_name(name: str, stage: str | None) -> None:
    """A project may be called house-dev."""
    assert stage_of(Project("house", "eu-central-1", Path()), name) == stage


def test_every_kind_can_be_removed() -> None:
    """What is listed and not known how to remove would stop halfway."""
    source = Path(inventory.__file__).read_text(encoding="utf-8")
    listed = set(re.findall(r'Item\(\s*"([a-z ]+)"', source))
    assert listed | {"Endpoint", "EndpointConfig", "Model"} == teardown.REMOVERS.keys()


def test_objects_go_in_portions() -> None:
    """S3 deletes at most a thousand a call."""
    portions: list[list[Any]] = list(teardown.chunks(range(5), 2))
    assert portions == [[0, 1], [2, 3], [4]]
