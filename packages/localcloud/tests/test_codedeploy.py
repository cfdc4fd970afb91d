"""CodeDeploy: the shift of an alias in steps, its hooks and alarms, and the rollback of a failure."""

from __future__ import annotations

import json
import math
import threading
import time
from contextlib import contextmanager
from importlib import import_module
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

if TYPE_CHECKING:
    from collections.abc import Iterator

clock: Any = import_module("localcloud.core.clock")
deployment: Any = import_module("localcloud.services.codedeploy.deployment")
models: Any = import_module("localcloud.services.codedeploy.models")
timers: Any = import_module("localcloud.core.timers")

FUNCTION = """
import os
def handler(event, context):
    if os.environ["VERSION"] == "broken":
        raise ValueError("as asked")
    return {"answered": os.environ["VERSION"], "version": context.function_version}
"""
HOOK = """
import os, boto3
def handler(event, context):
    if os.environ["STATUS"]:
        boto3.client("codedeploy").put_lifecycle_event_hook_execution_status(
            deploymentId=event["DeploymentId"],
            lifecycleEventHookExecutionId=event["LifecycleEventHookExecutionId"],
            status=os.environ["STATUS"],
        )
"""
TEMPLATE = """
Transform: AWS::Serverless-2016-10-31
Parameters:
  Version: {Type: String}
  Hash: {Type: String}
  Before: {Type: String, Default: Succeeded}
  After: {Type: String, Default: Succeeded}
  Shift: {Type: String, Default: Canary10Percent5Minutes}
  Bucket: {Type: String}
  Code: {Type: String}
  Hook: {Type: String}
  Topic: {Type: String}
Resources:
  Function:
    Type: AWS::Serverless::Function
    Properties:
      CodeUri: {Bucket: !Ref Bucket, Key: !Ref Code}
      Handler: index.handler
      Runtime: python3.13
      AutoPublishAlias: live
      AutoPublishCodeSha256: !Ref Hash
      Environment: {Variables: {VERSION: !Ref Version}}
      DeploymentPreference:
        Type: !Ref Shift
        Alarms: [!Ref Alarm]
        Hooks: {PreTraffic: !Ref ABefore, PostTraffic: !Ref ZAfter}
        PassthroughCondition: true
        TriggerConfigurations:
          - TriggerName: told
            TriggerTargetArn: !Ref Topic
            TriggerEvents: [DeploymentSuccess, DeploymentFailure, DeploymentStop, DeploymentRollback]
  ZAfter:
    Type: AWS::Serverless::Function
    Properties:
      CodeUri: {Bucket: !Ref Bucket, Key: !Ref Hook}
      Handler: index.handler
      Runtime: python3.13
      Environment: {Variables: {STATUS: !Ref After}}
  ABefore:
    Type: AWS::Serverless::Function
    Properties:
      CodeUri: {Bucket: !Ref Bucket, Key: !Ref Hook}
      Handler: index.handler
      Runtime: python3.13
      Environment: {Variables: {STATUS: !Ref Before}}
  Alarm:
    Type: AWS::CloudWatch::Alarm
    Properties:
      Namespace: AWS/Lambda
      MetricName: Errors
      Dimensions:
        - {Name: FunctionName, Value: !Ref Function}
        - {Name: Resource, Value: !Sub "${Function}:live"}
        - {Name: ExecutedVersion, Value: !GetAtt Function.Version.Version}
      Statistic: Sum
      ComparisonOperator: GreaterThanThreshold
      Threshold: 0
      Period: 60
      EvaluationPeriods: 1
      TreatMissingData: notBreaching
Outputs:
  Function: {Value: !Ref Function}
  Alias: {Value: !Ref Function.Alias}
  Alarm: {Value: !Ref Alarm}
  Application: {Value: !Ref ServerlessDeploymentApplication}
  Group: {Value: !Ref FunctionDeploymentGroup}
"""


class Stack:
    """A stack with a function behind an alias, for several deployments."""

    def __init__(self, rig: Any) -> None:
        self.rig, self.name = rig, rig.unique("canary")
        self.topic = rig.sns.create_topic(Name=self.name)["TopicArn"]
        self.queue = rig.sqs.create_queue(QueueName=self.name)["QueueUrl"]
        arn = rig.sqs.get_queue_attributes(QueueUrl=self.queue, AttributeNames=["QueueArn"])
        rig.sns.subscribe(TopicArn=self.topic, Protocol="sqs", Endpoint=arn["Attributes"]["QueueArn"])
        bucket, code = rig.function(FUNCTION)
        _, hook = rig.function(HOOK)
        self.fixed = {"Bucket": bucket, "Code": code, "Hook": hook, "Topic": self.topic}

    def deploy(self, version: str, more: dict[str, str] | None = None, *, wait: bool = True) -> Any:
        digest = version.encode().hex().ljust(64, "0")
        parameters = {"Version": version, "Hash": digest, **self.fixed, **(more or {})}
        return self.rig.deploy(self.name, TEMPLATE, parameters, wait=wait)

    @property
    def outputs(self) -> dict[str, str]:
        return dict(self.rig.outputs(self.name))

    def alias(self) -> Any:
        return self.rig.lambda_.get_alias(FunctionName=self.outputs["Function"], Name="live")

    def invoke(self, payload: str = "{}") -> Any:
        response = self.rig.lambda_.invoke(FunctionName=self.outputs["Alias"], Payload=payload)
        answer = json.loads(response["Payload"].read())
        return {**answer, "ExecutedVersion": response["ExecutedVersion"], "at": time.time()}

    def deployment(self) -> Any:
        """Describe the last deployment that is not a rollback."""
        out = self.outputs
        identifiers = self.rig.codedeploy.list_deployments(
            applicationName=out["Application"], deploymentGroupName=out["Group"]
        )["deployments"]
        infos = [
            self.rig.codedeploy.get_deployment(deploymentId=identifier)["deploymentInfo"]
            for identifier in identifiers
        ]
        return next((info for info in infos if info["creator"] == "CloudFormation"), None)

    def events(self, identifier: str) -> dict[str, str]:
        (target,) = self.rig.codedeploy.list_deployment_targets(deploymentId=identifier)["targetIds"]
        response = self.rig.codedeploy.get_deployment_target(deploymentId=identifier, targetId=target)
        events = response["deploymentTarget"]["lambdaTarget"]["lifecycleEvents"]
        return {event["lifecycleEventName"]: event["status"] for event in events}

    def shifts(self, identifier: str) -> Any:
        return next(record for record in self.rig.cloud.deployments() if record["deploymentId"] == identifier)

    def notices(self) -> list[str]:
        messages = self.rig.sqs.receive_message(QueueUrl=self.queue, MaxNumberOfMessages=10).get(
            "Messages", []
        )
        return [json.loads(json.loads(message["Body"])["Message"])["status"] for message in messages]

    @contextmanager
    def load(self, payload: str = "{}") -> Iterator[list[Any]]:
        """Invoke the alias all the time from a thread, and collect the answers."""
        answers: list[Any] = []
        ended = threading.Event()

        def send() -> None:
            while not ended.is_set():
                answers.append(self.invoke(payload))

        self.invoke(payload)
        thread = threading.Thread(target=send)
        thread.start()
        yield answers
        ended.set()
        thread.join()


@pytest.fixture(scope="module")
def stack(fast: Any) -> Stack:
    created = Stack(fast)
    assert created.deploy("one")["StackStatus"] == "CREATE_COMPLETE", fast.reasons(created.name)
    assert created.deployment() is None, "neither hooks nor shifting run on creation"
    return created


def test_a_canary_moves_an_alias(stack: Stack) -> None:
    """The new version gets a tenth for five minutes of AWS, then all; hooks and notifications work."""
    stack.notices()
    before = stack.alias()["FunctionVersion"]
    with stack.load() as answers:
        began = time.monotonic()
        done = stack.deploy("two")
        took = time.monotonic() - began
    assert done["StackStatus"] == "UPDATE_COMPLETE", stack.rig.reasons(stack.name)
    info = stack.deployment()
    assert (info["status"], info["deploymentConfigName"]) == (
        "Succeeded",
        "CodeDeployDefault.LambdaCanary10Percent5Minutes",
    )
    assert set(stack.events(info["deploymentId"]).values()) == {"Succeeded"}
    record = stack.shifts(info["deploymentId"])
    after = stack.alias()
    new = after["FunctionVersion"]
    assert new != before
    assert "RoutingConfig" not in after
    assert [shift["weights"][new] for shift in record["shifts"]] == [0.1, 1.0]
    first, last = (shift["aws_seconds"] for shift in record["shifts"])
    assert 300 <= last - first < 305
    assert 2.0 <= record["seconds"] < took
    assert {answer["answered"] for answer in answers} == {"one", "two"}
    assert all(answer["version"] == answer["ExecutedVersion"] for answer in answers)
    assert stack.notices() == ["SUCCEEDED"]


@pytest.mark.parametrize("hook", ["Before", "After"])
def test_a_failed_hook_rolls_the_update_back(stack: Stack, hook: str) -> None:
    """The update fails with the hook's status and rolls back; the alias keeps its version."""
    stack.notices()
    before = stack.alias()["FunctionVersion"]
    done = stack.deploy(f"bad {hook}", {hook: "Failed", "Shift": "AllAtOnce"})
    assert done["StackStatus"] == "UPDATE_ROLLBACK_COMPLETE"
    info = stack.deployment()
    assert (info["status"], info["errorInformation"]["code"]) == ("Failed", "HOOK_EXECUTION_FAILURE")
    assert info["deploymentId"] in stack.rig.reasons(stack.name)
    assert stack.alias()["FunctionVersion"] == before
    assert len(stack.shifts(info["deploymentId"])["shifts"]) == (0 if hook == "Before" else 2)
    rollback_id = info["rollbackInfo"]["rollbackDeploymentId"]
    rollback = stack.rig.codedeploy.get_deployment(deploymentId=rollback_id)["deploymentInfo"]
    assert (rollback["creator"], rollback["status"]) == ("codeDeployRollback", "Succeeded")
    assert sorted(stack.notices()) == ["CREATED", "FAILED"]


def test_an_alarm_on_the_new_version_stops_the_canary(stack: Stack) -> None:
    """The alarm rolls a failing version back, and only a few requests reach this version."""
    before = stack.alias()["FunctionVersion"]
    with stack.load() as answers:
        done = stack.deploy("broken", {"Shift": "Canary10Percent30Minutes"})
    assert done["StackStatus"] == "UPDATE_ROLLBACK_COMPLETE"
    info = stack.deployment()
    assert (info["status"], info["errorInformation"]["code"]) == ("Stopped", "ALARM_ACTIVE")
    record = stack.shifts(info["deploymentId"])
    new = record["to"]
    assert [shift["weights"][new] for shift in record["shifts"]] == [0.1, 0.0]
    assert stack.alias()["FunctionVersion"] == before
    during = [answer for answer in answers if answer["at"] > record["shifts"][0]["time"]]
    failed = [answer for answer in answers if "errorType" in answer]
    assert {answer["ExecutedVersion"] for answer in failed} == {new}
    assert len(failed) <= 0.1 * len(during) + 3 * math.sqrt(0.09 * len(during)) + 1


@pytest.mark.parametrize("by", ["CodeDeploy", "CloudFormation"])
def test_a_deployment_can_be_stopped(stack: Stack, by: str) -> None:
    """A hook without a status is waited for until the deployment is stopped or the update cancelled."""
    stack.deploy(f"silent {by}", {"Before": ""}, wait=False)
    info = stack.rig.until(stack.deployment, lambda current: current and current["status"] == "InProgress")
    time.sleep(1.0)
    assert stack.events(info["deploymentId"])["BeforeAllowTraffic"] == "InProgress"
    if by == "CodeDeploy":
        stack.rig.codedeploy.stop_deployment(deploymentId=info["deploymentId"])
    else:
        stack.rig.cloudformation.cancel_update_stack(StackName=stack.name)
    assert stack.rig.settled(stack.name)["StackStatus"] == "UPDATE_ROLLBACK_COMPLETE"
    stopped = stack.deployment()
    assert (stopped["status"], stopped["errorInformation"]["code"]) == ("Stopped", "MANUAL_STOP")
    with pytest.raises(ClientError, match="DeploymentAlreadyCompletedException"):
        stack.rig.codedeploy.stop_deployment(deploymentId=info["deploymentId"])


def test_a_silent_hook_times_out_after_an_hour() -> None:
    """The hour is in AWS's time; the real time of a hook that still runs is added to the hour."""
    running = [True] * 5
    target = SimpleNamespace(
        invoke_hook=lambda *_: None,
        is_running=lambda _: bool(running) and running.pop(),
        active_alarms=lambda _: [],
        notify=lambda *_: None,
    )
    silent = deployment.Deployment(
        {},
        models.AliasUpdate("function", "live", "1", "2"),
        {"BeforeAllowTraffic": "hook"},
        target,
        timers.Timers(clock.Clock(36_000.0)),
        lambda: False,
        lambda _: None,
    )
    began = time.monotonic()
    with pytest.raises(models.DeploymentError, match="has not reported its status"):
        silent.run()
    assert (silent.status, silent.error.code) == ("Failed", "TIMEOUT")
    assert 0.1 + 5 * 0.05 <= time.monotonic() - began < 5


def test_errors_have_the_names_of_codedeploy(fast: Any) -> None:
    """A request for a resource that does not exist fails with the error of CodeDeploy."""
    with pytest.raises(ClientError, match="DeploymentDoesNotExistException"):
        fast.codedeploy.get_deployment(deploymentId="d-NONE")
    with pytest.raises(ClientError, match="ApplicationDoesNotExistException"):
        fast.codedeploy.get_application(applicationName="none")
