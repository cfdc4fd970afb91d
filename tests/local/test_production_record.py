"""The record of production on the local cloud: it outlives tags, updates and its own loss."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

CHAMPION = "0f0cbb6e-3b0e-4a7e-9d3a-6a2f8f2f5a10"
SEEN = {"LastModified": "2024-01-01T00:00:00Z", "Key": "raw/a.csv"}
KEY = "arn:aws:kms:eu-central-1:000000000000:key/1"
# What the stacks owned before the record: parameters with a first value, which deployments wrote over.
FORMERLY = {
    "workflow": """\
Parameters:
  Project: {Type: String}
Resources:
  WatermarkParameter:
    Type: AWS::SSM::Parameter
    Properties:
      Name: !Sub /${Project}/data-watermark
      Type: String
      Value: '{"LastModified":"1970-01-01T00:00:00Z","Key":""}'
""",
    "verify": """\
Parameters:
  Project: {Type: String}
Resources:
  ChampionParameter:
    Type: AWS::SSM::Parameter
    Properties: {Name: !Sub "/${Project}/champion", Type: String, Value: none}
""",
}
PRODUCTION = """\
Parameters:
  Project: {Type: String}
  ExecutionId: {Type: String}
Resources:
  Topic: {Type: AWS::SNS::Topic}
Outputs:
  EndpointName: {Value: !Sub "${Project}-prd-${ExecutionId}"}
"""


@dataclass
class Delivered:
    """A project's stacks, and what Parameter Store holds of it."""

    rig: Any
    project: str
    stacks: Path

    def deploy(self, stack: str, **tags: str) -> None:
        """Bring a stack to the project's own template, with tags."""
        definition = f"{stack}.asl.json"
        self.rig.put(f"{self.project}/{definition}", (self.stacks / definition).read_text(encoding="utf-8"))
        place = json.dumps({"Bucket": self.rig.bucket, "Key": f"{self.project}/{definition}"})
        text = (self.stacks / f"{stack}.yml").read_text(encoding="utf-8")
        packaged = text.replace(f"S3Location: {definition}", f"S3Location: {place}")
        assert packaged != text
        bucket, key = self.rig.function("def handler(event, context): return {}")
        packaged = packaged.replace("Code: ../functions", f'Code: {{S3Bucket: "{bucket}", S3Key: "{key}"}}')
        given = {
            "Project": self.project,
            "ArtifactBucket": self.rig.bucket,
            "KmsKeyArn": KEY,
            "NotificationTopicArn": self.rig.sns.create_topic(Name=self.project)["TopicArn"],
            "ProductionParameter": self.name,
        }
        if stack == "workflow":
            given["SageMakerRoleArn"] = self.rig.role
        self.rig.deploy(f"{self.project}-{stack}", packaged, given, tags=tags)
        assert self.rig.settled(f"{self.project}-{stack}")["StackStatus"].endswith("_COMPLETE")

    @property
    def name(self) -> str:
        """The record's name."""
        return f"/{self.project}/production"

    def train(self) -> None:
        """Start a training, and see that it ends because there are no data."""
        machine = self.rig.outputs(f"{self.project}-workflow")["StateMachineArn"]
        given = {
            "PipelineExecutionId": "2",
            "ImageUri": "image",
            "Data": {"Workload": "tabular", "Prefix": f"{self.project}/raw/", "IntervalDays": 0},
        }
        started = self.rig.stepfunctions.start_execution(stateMachineArn=machine, input=json.dumps(given))
        ended = self.rig.until(
            lambda: self.rig.stepfunctions.describe_execution(executionArn=started["executionArn"]),
            lambda seen: seen["status"] != "RUNNING",
        )
        assert ended["error"] == "NoData", ended["cause"]
        assert f"s3://{self.rig.bucket}/{self.project}/raw/" in ended["cause"]

    def parameters(self) -> dict[str, str]:
        """Return the project's parameters."""
        found = self.rig.ssm.get_parameters_by_path(Path=f"/{self.project}/", Recursive=True)["Parameters"]
        return {each["Name"]: each["Value"] for each in found}

    def record(self) -> Any:
        """Return the record of production; None while there is none."""
        found = self.parameters().get(self.name)
        return json.loads(found) if found else None

    def serve(self) -> None:
        """Deploy what serves production, with what the training left beside its model."""
        parameters = {"Project": self.project, "ExecutionId": CHAMPION}
        self.rig.deploy(f"{self.project}-deploy-prd", PRODUCTION, parameters)
        self.rig.put(f"models/{CHAMPION}/watermark.json", json.dumps(SEEN))


@pytest.fixture
def delivered(fast: Any, local_folder: Path) -> Iterator[Callable[[], Delivered]]:
    """Return what makes a project without any stack."""
    made: list[Delivered] = []

    def make() -> Delivered:
        made.append(Delivered(fast, fast.unique("r")[:13], local_folder.parent / "stacks"))
        return made[-1]

    yield make
    for each in made:
        for stack in ("workflow", "verify", "deploy-prd"):
            fast.cloudformation.delete_stack(StackName=f"{each.project}-{stack}")


def test_a_project_that_kept_its_state_in_stacks_keeps_its_champion(
    delivered: Callable[[], Delivered],
) -> None:
    """Even where the update that takes the parameters out of the stacks changes a tag as well."""
    made = delivered()
    for stack, template in FORMERLY.items():
        made.rig.deploy(f"{made.project}-{stack}", template, {"Project": made.project})
    for name, value in (("champion", CHAMPION), ("data-watermark", json.dumps(SEEN))):
        made.rig.ssm.put_parameter(Name=f"/{made.project}/{name}", Value=value, Type="String", Overwrite=True)
    made.serve()
    for stack in FORMERLY:
        made.deploy(stack, CostCenter="43")
    made.train()
    assert made.record() == {"PipelineExecutionId": CHAMPION, "Watermark": SEEN}
    assert made.parameters().keys() == {made.name}


def test_a_changed_tag_leaves_the_record_as_it_is(delivered: Callable[[], Delivered]) -> None:
    """CloudFormation updates what it owns for a new tag, and puts a parameter's first value back."""
    made = delivered()
    made.serve()
    newest = {"LastModified": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}", "Key": "raw/b.csv"}
    written = {"PipelineExecutionId": "another", "Watermark": newest}
    made.rig.ssm.put_parameter(Name=made.name, Value=json.dumps(written), Type="String")
    for cost in ("42", "43"):
        for stack in ("workflow", "verify"):
            made.deploy(stack, CostCenter=cost)
        made.train()
        assert made.record() == written


def test_a_first_training_writes_no_record(delivered: Callable[[], Delivered]) -> None:
    """Without a stack that serves production no model is a champion."""
    made = delivered()
    made.deploy("workflow")
    made.train()
    assert made.record() is None
