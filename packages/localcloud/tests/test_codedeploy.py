"""CodeDeploy: an alias moves step by step, hooks and alarms decide, and a failure brings it all back."""

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
    """A function behind an alias, deployed again and again."""

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
        given = {"Version": version, "Hash": digest, **self.fixed, **(more or {})}
        return self.rig.deploy(self.name, TEMPLATE, given, wait=wait)

    @property
    def outputs(self) -> dict[str, str]:
        return dict(self.rig.outputs(self.name))

    def alias(self) -> Any:
        return self.rig.lambda_.get_alias(FunctionName=self.outputs["Function"], Name="live")

    def ask(self, payload: str = "{}") -> Any:
        found = self.rig.lambda_.invoke(FunctionName=self.outputs["Alias"], Payload=payload)
        answer = json.loads(found["Payload"].read())
        return {**answer, "ExecutedVersion": found["ExecutedVersion"], "at": time.time()}

    def deployment(self) -> Any:
        """Describe the last deployment that is no way back."""
        out = self.outputs
        found = self.rig.codedeploy.list_deployments(
            applicationName=out["Application"], deploymentGroupName=out["Group"]
        )["deployments"]
        infos = [self.rig.codedeploy.get_deployment(deploymentId=each)["deploymentInfo"] for each in found]
        return next((info for info in infos if info["creator"] == "CloudFormation"), None)

    def events(self, identifier: str) -> dict[str, str]:
        (target,) = self.rig.codedeploy.list_deployment_targets(deploymentId=identifier)["targetIds"]
        found = self.rig.codedeploy.get_deployment_target(deploymentId=identifier, targetId=target)
        events = found["deploymentTarget"]["lambdaTarget"]["lifecycleEvents"]
        return {event["lifecycleEventName"]: event["status"] for event in events}

    def shifts(self, identifier: str) -> Any:
        return next(each for each in self.rig.cloud.deployments() if each["deploymentId"] == identifier)

    def notices(self) -> list[str]:
        found = self.rig.sqs.receive_message(QueueUrl=self.queue, MaxNumberOfMessages=10).get("Messages", [])
        return [json.loads(json.loads(each["Body"])["Message"])["status"] for each in found]

    @contextmanager
    def asked(self, payload: str = "{}") -> Iterator[list[Any]]:
        """Ask all the time from a thread, and collect the answers."""
        answers: list[Any] = []
        over = threading.Event()

        def ask() -> None:
            while not over.is_set():
                answers.append(self.ask(payload))

        self.ask(payload)
        thread = threading.Thread(target=ask)
        thread.start()
        yield answers
        over.set()
        thread.join()


@pytest.fixture(scope="module")
def stack(fast: Any) -> Stack:
    made = Stack(fast)
    assert made.deploy("one")["StackStatus"] == "CREATE_COMPLETE", fast.reasons(made.name)
    assert made.deployment() is None, "neither hooks nor shifting run on creation"
    return made


def test_a_canary_moves_an_alias(stack: Stack) -> None:
    """Ten per cent for five minutes of AWS, then all; hooks and topics are told; no answer is lost."""
    before = stack.alias()["FunctionVersion"]
    with stack.asked() as answers:
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
    told = stack.shifts(info["deploymentId"])
    after = stack.alias()
    new = after["FunctionVersion"]
    assert new != before
    assert "RoutingConfig" not in after
    assert [shift["weights"][new] for shift in told["shifts"]] == [0.1, 1.0]
    first, last = (shift["aws_seconds"] for shift in told["shifts"])
    assert 300 <= last - first < 305
    assert 2.0 <= told["seconds"] < took
    assert {answer["answered"] for answer in answers} == {"one", "two"}
    assert all(answer["version"] == answer["ExecutedVersion"] for answer in answers)
    assert stack.notices() == ["SUCCEEDED"]


@pytest.mark.parametrize("hook", ["Before", "After"])
def test_a_hook_that_says_no_brings_everything_back(stack: Stack, hook: str) -> None:
    """The update fails with the hook's word and rolls back; the alias is where it was."""
    stack.notices()
    before = stack.alias()["FunctionVersion"]
    done = stack.deploy(f"bad {hook}", {hook: "Failed", "Shift": "AllAtOnce"})
    assert done["StackStatus"] == "UPDATE_ROLLBACK_COMPLETE"
    info = stack.deployment()
    assert (info["status"], info["errorInformation"]["code"]) == ("Failed", "HOOK_EXECUTION_FAILURE")
    assert info["deploymentId"] in stack.rig.reasons(stack.name)
    assert stack.alias()["FunctionVersion"] == before
    assert len(stack.shifts(info["deploymentId"])["shifts"]) == (0 if hook == "Before" else 2)
    back = info["rollbackInfo"]["rollbackDeploymentId"]
    undone = stack.rig.codedeploy.get_deployment(deploymentId=back)["deploymentInfo"]
    assert (undone["creator"], undone["status"]) == ("codeDeployRollback", "Succeeded")
    assert sorted(stack.notices()) == ["CREATED", "FAILED"]


def test_an_alarm_on_the_new_version_stops_the_canary(stack: Stack) -> None:
    """A version that fails is taken back by its alarm, and few requests saw it."""
    before = stack.alias()["FunctionVersion"]
    with stack.asked() as answers:
        done = stack.deploy("broken", {"Shift": "Canary10Percent30Minutes"})
    assert done["StackStatus"] == "UPDATE_ROLLBACK_COMPLETE"
    info = stack.deployment()
    assert (info["status"], info["errorInformation"]["code"]) == ("Stopped", "ALARM_ACTIVE")
    told = stack.shifts(info["deploymentId"])
    new = told["to"]
    assert [shift["weights"][new] for shift in told["shifts"]] == [0.1, 0.0]
    assert stack.alias()["FunctionVersion"] == before
    during = [answer for answer in answers if answer["at"] > told["shifts"][0]["time"]]
    failed = [answer for answer in answers if "errorType" in answer]
    assert {answer["ExecutedVersion"] for answer in failed} == {new}
    assert len(failed) <= 0.1 * len(during) + 3 * math.sqrt(0.09 * len(during)) + 1


@pytest.mark.parametrize("by", ["CodeDeploy", "CloudFormation"])
def test_a_deployment_can_be_stopped(stack: Stack, by: str) -> None:
    """A hook that says nothing is waited for, until somebody stops the deployment or cancels the update."""
    stack.deploy(f"silent {by}", {"Before": ""}, wait=False)
    info = stack.rig.until(stack.deployment, lambda seen: seen and seen["status"] == "InProgress")
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


def test_a_silent_hook_is_waited_for_an_hour() -> None:
    """The hour is AWS's; the time of a hook that still runs comes on top, undivided."""
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
        clock.Clock(36_000.0),
        lambda: False,
        lambda _: None,
    )
    began = time.monotonic()
    with pytest.raises(models.DeploymentError, match="has not reported its status"):
        silent.run()
    assert (silent.status, silent.error.code) == ("Failed", "TIMEOUT")
    assert 0.1 + 5 * 0.05 <= time.monotonic() - began < 5


def test_refusals_have_codedeploys_names(fast: Any) -> None:
    """What does not exist is refused as CodeDeploy does it."""
    with pytest.raises(ClientError, match="DeploymentDoesNotExistException"):
        fast.codedeploy.get_deployment(deploymentId="d-NONE")
    with pytest.raises(ClientError, match="ApplicationDoesNotExistException"):
        fast.codedeploy.get_application(applicationName="none")
