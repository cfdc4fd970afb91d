"""The production record on the local cloud: it survives changed tags, updates and its own loss."""

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
# Parameters that stacks owned before the production record, and that deployments overwrote.
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
    """The stacks of a project, and its parameters in Parameter Store."""

    rig: Any
    project: str
    stacks: Path

    def deploy(self, stack: str, **tags: str) -> None:
        """Deploy a stack of the project's own template, with tags."""
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
        """Return the record's name."""
        return f"/{self.project}/production"

    def train(self) -> None:
        """Start a training, and check that it fails because no data exist."""
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
        """Return the production record, or None."""
        found = self.parameters().get(self.name)
        return json.loads(found) if found else None

    def serve(self) -> None:
        """Deploy the production stack, with the files that the training left beside its model."""
        parameters = {"Project": self.project, "ExecutionId": CHAMPION}
        self.rig.deploy(f"{self.project}-deploy-prd", PRODUCTION, parameters)
        self.rig.put(f"models/{CHAMPION}/watermark.json", json.dumps(SEEN))


@pytest.fixture
def delivered(fast: Any, local_folder: Path) -> Iterator[Callable[[], Delivered]]:
    """Return a function that creates a project without stacks."""
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
    """This holds although the update that removes the parameters from the stacks changes a tag as well."""
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
    """CloudFormation updates its resources for a new tag, and would reset a parameter to its first value."""
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
    """Without a production stack no model is the champion."""
    made = delivered()
    made.deploy("workflow")
    made.train()
    assert made.record() is None
