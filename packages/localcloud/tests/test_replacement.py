"""A model's replacement behind an alias: the new endpoint first, then the traffic, the old one's end last."""

from __future__ import annotations

import io
import json
import tarfile
import threading
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

FUNCTION = """
import os, boto3
from botocore.config import Config
RUNTIME = boto3.client("sagemaker-runtime", config=Config(retries={"total_max_attempts": 1}))
def handler(event, context):
    name = os.environ["ENDPOINT_NAME"]
    RUNTIME.invoke_endpoint(EndpointName=name, Body=b"sleep=0.05")
    return {"endpoint": name, "version": context.function_version}
"""
TEMPLATE = """
Transform: AWS::Serverless-2016-10-31
Parameters:
  Name: {Type: String}
  Hash: {Type: String}
  Bucket: {Type: String}
  Code: {Type: String}
  Late: {Type: String, Default: none}
Conditions:
  HasLate: !Not [!Equals [!Ref Late, none]]
Resources:
  Model:
    Type: AWS::SageMaker::Model
    Properties:
      ModelName: !Ref Name
      ExecutionRoleArn: arn:aws:iam::000000000000:role/service-role
      PrimaryContainer: {Image: image, ModelDataUrl: !Sub "s3://${Bucket}/replaced/model.tar.gz"}
  Config:
    Type: AWS::SageMaker::EndpointConfig
    Properties:
      EndpointConfigName: !Ref Name
      ProductionVariants:
        - VariantName: AllTraffic
          ModelName: !GetAtt Model.ModelName
          InitialInstanceCount: 1
          InstanceType: ml.m5.large
  Endpoint:
    Type: AWS::SageMaker::Endpoint
    Properties: {EndpointName: !Ref Name, EndpointConfigName: !GetAtt Config.EndpointConfigName}
  Target:
    Type: AWS::ApplicationAutoScaling::ScalableTarget
    Properties:
      MinCapacity: 1
      MaxCapacity: 2
      ResourceId: !Sub endpoint/${Endpoint.EndpointName}/variant/AllTraffic
      ScalableDimension: sagemaker:variant:DesiredInstanceCount
      ServiceNamespace: sagemaker
  Policy:
    Type: AWS::ApplicationAutoScaling::ScalingPolicy
    Properties:
      PolicyName: invocations
      PolicyType: TargetTrackingScaling
      ScalingTargetId: !Ref Target
      TargetTrackingScalingPolicyConfiguration:
        PredefinedMetricSpecification: {PredefinedMetricType: SageMakerVariantInvocationsPerInstance}
        TargetValue: 100000
  Late: # fails, when the alias has moved
    Type: AWS::ApplicationAutoScaling::ScalableTarget
    Condition: HasLate
    DependsOn: FunctionAliaslive
    Properties:
      MinCapacity: 1
      MaxCapacity: 2
      ResourceId: endpoint/none/variant/AllTraffic
      ScalableDimension: sagemaker:variant:DesiredInstanceCount
      ServiceNamespace: sagemaker
  Function:
    Type: AWS::Serverless::Function
    Properties:
      CodeUri: {Bucket: !Ref Bucket, Key: !Ref Code}
      Handler: index.handler
      Runtime: python3.13
      Timeout: 20
      AutoPublishAlias: live
      AutoPublishCodeSha256: !Ref Hash
      DeploymentPreference: {Type: Canary10Percent5Minutes}
      Environment: {Variables: {ENDPOINT_NAME: !GetAtt Endpoint.EndpointName, HASH: !Ref Hash}}
Outputs:
  Alias: {Value: !Ref Function.Alias}
  Application: {Value: !Ref ServerlessDeploymentApplication}
"""


class Stack:
    """An endpoint behind a function, whose model is replaced."""

    def __init__(self, rig: Any) -> None:
        self.rig, self.name = rig, rig.unique("replaced")
        buffer = io.BytesIO()
        tarfile.open(fileobj=buffer, mode="w:gz").close()
        rig.s3.put_object(Bucket=rig.bucket, Key="replaced/model.tar.gz", Body=buffer.getvalue())
        self.bucket, self.code = rig.function(FUNCTION)

    def deploy(self, model: str, digest: str, late: str = "none") -> str:
        given = {"Name": f"{self.name}-{model}", "Hash": digest * 64, "Bucket": self.bucket}
        given |= {"Code": self.code, "Late": late}
        return str(self.rig.deploy(self.name, TEMPLATE, given)["StackStatus"])

    def ask(self) -> Any:
        alias = self.rig.outputs(self.name)["Alias"]
        return json.loads(self.rig.lambda_.invoke(FunctionName=alias)["Payload"].read())

    def endpoints(self) -> set[str]:
        found = self.rig.sagemaker.list_endpoints(NameContains=self.name)["Endpoints"]
        return {item["EndpointName"].rpartition("-")[2] for item in found}

    def targets(self) -> list[str]:
        found = self.rig.application_autoscaling.describe_scalable_targets(ServiceNamespace="sagemaker")
        names = (each["ResourceId"].split("/")[1] for each in found["ScalableTargets"])
        return [name.rpartition("-")[2] for name in names if name.startswith(self.name)]

    def deployments(self) -> list[str]:
        """Say how each deployment ended, the newest first."""
        application = self.rig.outputs(self.name)["Application"]
        found = self.rig.codedeploy.list_deployments(applicationName=application)["deployments"]
        return [
            self.rig.codedeploy.get_deployment(deploymentId=each)["deploymentInfo"]["status"]
            for each in found
        ]

    @contextmanager
    def watched(self) -> Iterator[tuple[list[Any], list[set[str]]]]:
        """Ask all the time, and look at the endpoints there are with each answer."""
        answers: list[Any] = []
        seen: list[set[str]] = []
        over = threading.Event()

        def watch() -> None:
            while not over.is_set():
                answers.append(self.ask())
                seen.append(self.endpoints())

        thread = threading.Thread(target=watch)
        thread.start()
        yield answers, seen
        over.set()
        thread.join()


@pytest.fixture
def stack(fast: Any) -> Stack:
    made = Stack(fast)
    assert made.deploy("one", "a") == "CREATE_COMPLETE", fast.reasons(made.name)
    return made


def test_the_new_endpoint_comes_first_and_the_old_one_goes_last(stack: Stack) -> None:
    """Under load no request fails, both endpoints serve during the canary, and one is left."""
    stack.ask()
    with stack.watched() as (answers, seen):
        assert stack.deploy("two", "b") == "UPDATE_COMPLETE", stack.rig.reasons(stack.name)
        stack.rig.until(lambda: answers[-1].get("endpoint", "").endswith("two"))
    assert all("errorType" not in answer for answer in answers), answers
    by_endpoint = Counter(answer["endpoint"].rpartition("-")[2] for answer in answers)
    assert set(by_endpoint) == {"one", "two"}
    for answer, there in zip(answers, seen, strict=True):
        assert (
            answer["endpoint"].rpartition("-")[2] == "two" or "one" in there or stack.endpoints() == {"two"}
        )
    assert {"one", "two"} in seen
    assert stack.endpoints() == {"two"}
    assert stack.targets() == ["two"]
    assert stack.deployments() == ["Succeeded"]


def test_what_fails_later_brings_alias_and_endpoint_back(stack: Stack) -> None:
    """A stack that rolls back after the shift has the old endpoint, and its alias on the old version."""
    before = stack.ask()
    with stack.watched() as (answers, _):
        assert stack.deploy("late", "b", "fails") == "UPDATE_ROLLBACK_COMPLETE"
    assert all("errorType" not in answer for answer in answers), answers
    assert stack.deployments() == ["Succeeded"]  # so all traffic had moved
    assert stack.ask() == before
    assert stack.endpoints() == {"one"}


def test_without_a_new_hash_a_new_model_is_an_outage(stack: Stack) -> None:
    """SAM makes no new version for another endpoint's name: no canary, and the alias asks the old one."""
    assert stack.deploy("two", "a") == "UPDATE_COMPLETE"
    assert stack.deployments() == []
    assert stack.endpoints() == {"two"}
    broken = stack.ask()
    assert broken["errorType"] == "ValidationError"
    assert f"Endpoint {stack.name}-one of account" in broken["errorMessage"]
    assert stack.deploy("two", "b") == "UPDATE_COMPLETE"
    assert stack.ask()["endpoint"].endswith("two")
    assert stack.deployments() == ["Succeeded"]
