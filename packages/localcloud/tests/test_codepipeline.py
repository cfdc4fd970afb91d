"""Pipelines on the local cloud: deployed by a template, started by an upload, answered by a person."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
import small_pipeline
from botocore.exceptions import ClientError

if TYPE_CHECKING:
    from collections.abc import Callable

ENDED = ("Succeeded", "Failed", "Stopped", "Superseded")


@dataclass
class Line:
    """A deployed pipeline."""

    rig: Any
    name: str
    bucket: str
    topic: str

    def upload(self, files: dict[str, str] = small_pipeline.FILES) -> str:
        """Store a source and return its version."""
        body = small_pipeline.zipped(files)
        return str(self.rig.s3.put_object(Bucket=self.bucket, Key="source.zip", Body=body)["VersionId"])

    def started(self, version: str) -> str:
        """Return the execution that took a version of the source."""

        def mine() -> list[str]:
            found = self.rig.codepipeline.list_pipeline_executions(pipelineName=self.name)
            return [
                one["pipelineExecutionId"]
                for one in found["pipelineExecutionSummaries"]
                if any(source["revisionId"] == version for source in one["sourceRevisions"])
            ]

        return str(self.rig.until(mine)[0])

    def execution(self, own: str) -> Any:
        """Describe an execution."""
        answer = self.rig.codepipeline.get_pipeline_execution(pipelineName=self.name, pipelineExecutionId=own)
        return answer["pipelineExecution"]

    def ended(self, own: str) -> Any:
        """Wait for an execution's end."""
        return self.rig.until(lambda: self.execution(own), lambda one: one["status"] in ENDED)

    def actions(self, own: str) -> dict[str, Any]:
        """Return an execution's actions by name."""
        found = self.rig.codepipeline.list_action_executions(
            pipelineName=self.name, filter={"pipelineExecutionId": own}
        )
        return {one["actionName"]: one for one in found["actionExecutionDetails"]}

    def stages(self) -> dict[str, Any]:
        """Return the stages as they stand."""
        state = self.rig.codepipeline.get_pipeline_state(name=self.name)
        return {stage["stageName"]: stage for stage in state["stageStates"]}

    def asked(self) -> str:
        """Wait for the approval and return its token."""

        def token() -> Any:
            return self.stages()["Ask"]["actionStates"][-1].get("latestExecution", {}).get("token")

        return str(self.rig.until(token))

    def delivered(self, files: dict[str, str] = small_pipeline.FILES) -> tuple[Any, dict[str, Any]]:
        """Upload a source and return its execution and its actions at the end."""
        own = self.started(self.upload(files))
        return self.ended(own), self.actions(own)

    def start(self, **given: Any) -> str:
        """Start an execution."""
        return str(
            self.rig.codepipeline.start_pipeline_execution(name=self.name, **given)["pipelineExecutionId"]
        )

    def inbound(self, stage: str = "Ask") -> list[str]:
        """Return the executions that wait before a stage."""
        return [one["pipelineExecutionId"] for one in self.stages()[stage].get("inboundExecutions", [])]

    def answer(self, token: str, status: str) -> None:
        """Answer the approval."""
        self.rig.codepipeline.put_approval_result(
            pipelineName=self.name,
            stageName="Ask",
            actionName="Ask",
            result={"summary": "seen", "status": status},
            token=token,
        )


@pytest.fixture
def line(rig: Any) -> Callable[..., Line]:
    """Return what deploys a pipeline of the stages given."""

    def deploy(*stages: dict[str, Any], mode: str = "SUPERSEDED") -> Line:
        name = rig.unique("line")
        given = small_pipeline.template(name, list(stages), mode)
        rig.cloudformation.create_stack(StackName=f"{name}-stack", TemplateBody=given)
        outputs = rig.until(
            lambda: rig.cloudformation.describe_stacks(StackName=f"{name}-stack")["Stacks"][0],
            lambda stack: stack["StackStatus"] == "CREATE_COMPLETE",
        )["Outputs"]
        found = {one["OutputKey"]: one["OutputValue"] for one in outputs}
        made = Line(rig, name, found["Bucket"], found["Topic"])
        first = rig.codepipeline.list_pipeline_executions(pipelineName=name)["pipelineExecutionSummaries"][-1]
        made.ended(first["pipelineExecutionId"])
        return made

    return deploy


def machine(rig: Any, states: dict[str, Any]) -> str:
    """Create a state machine and return its ARN."""
    definition = {"QueryLanguage": "JSONata", "StartAt": "First", "States": {"First": states}}
    return str(
        rig.stepfunctions.create_state_machine(
            name=rig.unique("machine"), roleArn=rig.role, definition=json.dumps(definition)
        )["stateMachineArn"]
    )


def waiting(rig: Any, seconds: float) -> str:
    """Create a state machine that takes its time."""
    return machine(rig, {"Type": "Wait", "Seconds": seconds, "End": True})


def inbox(rig: Any, topic: str) -> str:
    """Subscribe a queue to a topic and return its address."""
    url = rig.sqs.create_queue(QueueName=rig.unique("inbox"))["QueueUrl"]
    arn = rig.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    rig.sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)
    return str(url)


def messages(rig: Any, url: str) -> list[str]:
    found = rig.sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages", [])
    return [one["Body"] for one in found]


def error(action: Any) -> str:
    return str(action["output"]["executionResult"]["errorDetails"]["message"])


def test_an_upload_goes_through_every_kind_of_action(rig: Any, line: Callable[..., Line]) -> None:
    """Source, build, stack, state machine and approval hand over artifacts and variables to the end."""
    arn = machine(rig, {"Type": "Pass", "Output": "{% $states.input %}", "End": True})
    configuration = {"StateMachineArn": arn, "InputType": "FilePath", "Input": "input.json"}
    taken = small_pipeline.artifacts("BuildOutput")
    invoke = small_pipeline.action(
        "Invoke", "Invoke", "StepFunctions", configuration, InputArtifacts=taken, RunOrder=2
    )
    deployed = {
        "Name": "Deploy",
        "Actions": [small_pipeline.stack(rig.unique("thing"), "BuildOutput"), invoke],
    }
    custom = {"CustomData": "#{Build.COLOUR} #{Build.VERSION}?"}
    made = line(
        small_pipeline.build(),
        deployed,
        {"Name": "Ask", "Actions": [small_pipeline.approval(Configuration=custom)]},
    )
    url = inbox(rig, made.topic)
    version = made.upload()
    own = made.started(version)
    made.answer(made.asked(), "Approved")
    assert made.ended(own)["status"] == "Succeeded", made.actions(own)
    actions = made.actions(own)
    assert actions["Make"]["output"]["outputVariables"] == {"COLOUR": "blue", "VERSION": f"v-{version}"}
    parameter = actions["Stack"]["output"]["outputVariables"]["Name"]
    assert rig.ssm.get_parameter(Name=parameter)["Parameter"]["Value"] == "newest"
    execution = actions["Invoke"]["output"]["executionResult"]["externalExecutionId"]
    assert execution.rpartition(":")[2] == actions["Invoke"]["actionExecutionId"]
    given = json.loads(rig.stepfunctions.describe_execution(executionArn=execution)["input"])
    assert given == {"Value": "blue", "Id": own}
    asked = json.loads(json.loads(messages(rig, url)[0])["Message"])
    assert asked["approval"]["customData"] == f"blue v-{version}?"


def test_a_new_pipeline_runs_at_once(rig: Any, line: Callable[..., Line]) -> None:
    """Without a source its first execution fails and says what is missing."""
    made = line(small_pipeline.ask())
    first = rig.codepipeline.list_pipeline_executions(pipelineName=made.name)["pipelineExecutionSummaries"][0]
    assert (first["status"], first["trigger"]["triggerType"]) == ("Failed", "CreatePipeline")
    taken = made.actions(first["pipelineExecutionId"])["Take"]
    assert "source.zip" in error(taken)
    assert "upload the source" in error(taken)


@pytest.mark.parametrize(
    ("thing", "capability"),
    [
        (small_pipeline.THING.replace("Outputs:", small_pipeline.ROLE + "Outputs:"), "CAPABILITY_IAM"),
        ("Transform: AWS::Serverless-2016-10-31\n" + small_pipeline.THING, "CAPABILITY_AUTO_EXPAND"),
    ],
)
def test_a_missing_capability_refuses(
    rig: Any, line: Callable[..., Line], thing: str, capability: str
) -> None:
    """What makes roles, or is transformed, needs the action's word; with it, it is deployed."""
    refused, taken = rig.unique("refused"), rig.unique("taken")
    without = {**small_pipeline.stack(refused), "Name": "Without", "Namespace": "A"}
    with_it = {**small_pipeline.stack(taken, Capabilities=capability), "Name": "With", "Namespace": "B"}
    made = line({"Name": "Deploy", "Actions": [without, with_it]})
    execution, actions = made.delivered({**small_pipeline.FILES, "thing.yml": thing})
    assert execution["status"] == "Failed"
    assert f"Requires capabilities : [{capability}]" in error(actions["Without"])
    assert actions["With"]["status"] == "Succeeded", actions["With"]
    with pytest.raises(ClientError, match="does not exist"):
        rig.cloudformation.describe_stacks(StackName=refused)


def test_a_failed_stack_is_named_and_replaced(rig: Any, line: Callable[..., Line]) -> None:
    """The action says which resource failed; REPLACE_ON_FAILURE makes the stack anew, CREATE_UPDATE can't."""
    name, kept = rig.unique("thing"), rig.unique("kept")
    replacing = small_pipeline.stack(name)
    updating = {
        **small_pipeline.stack(kept, ActionMode="CREATE_UPDATE"),
        "Name": "Update",
        "Namespace": "Update",
    }
    made = line({"Name": "Deploy", "Actions": [replacing, updating]})
    broken = small_pipeline.THING.replace("Type: String, Value", "Type: Strange, Value")
    _, actions = made.delivered({**small_pipeline.FILES, "thing.yml": broken})
    assert "Thing: " in error(actions["Stack"])
    _, actions = made.delivered()
    assert actions["Stack"]["status"] == "Succeeded"
    assert "ROLLBACK_COMPLETE" in error(actions["Update"])
    _, actions = made.delivered()
    assert actions["Stack"]["status"] == "Succeeded", "an update without changes is none"


def test_actions_of_one_order_run_side_by_side(rig: Any, line: Callable[..., Line]) -> None:
    """A failure ends the stage only when those beside it have ended, and later orders do not run."""
    failing = machine(rig, {"Type": "Fail", "Error": "NoGood", "Cause": "it is no good"})
    slow = waiting(rig, 1)
    stage = [
        small_pipeline.invoke(failing, "Bad"),
        small_pipeline.invoke(slow, "Slow"),
        small_pipeline.invoke(slow, "Later", RunOrder=2),
    ]
    execution, actions = line({"Name": "Work", "Actions": stage}, small_pipeline.ask()).delivered()
    assert execution["status"] == "Failed"
    assert error(actions["Bad"]) == "State machine execution ended as FAILED: NoGood: it is no good"
    assert actions["Slow"]["status"] == "Succeeded"
    assert set(actions) == {"Take", "Bad", "Slow"}
    assert (actions["Slow"]["startTime"] - actions["Bad"]["startTime"]).total_seconds() < 0.5


def test_a_rejection_ends_the_execution(rig: Any, line: Callable[..., Line]) -> None:
    """The summary is kept; another token, or a second answer, is refused."""
    made = line(small_pipeline.ask(), {"Name": "After", "Actions": [small_pipeline.invoke(waiting(rig, 0))]})
    own = made.started(made.upload())
    token = made.asked()
    with pytest.raises(ClientError, match="InvalidApprovalToken"):
        made.answer(rig.unique("00000000-0000-0000-0000")[:36], "Approved")
    made.answer(token, "Rejected")
    assert made.ended(own)["status"] == "Failed"
    actions = made.actions(own)
    assert (error(actions["Ask"]), set(actions)) == ("Rejected: seen", {"Take", "Ask"})
    with pytest.raises(ClientError, match="ApprovalAlreadyCompleted"):
        made.answer(token, "Approved")


def test_a_newer_execution_supersedes_one_that_waits(line: Callable[..., Line]) -> None:
    """What is in a stage stays; of those before it the newest goes on."""
    made = line(small_pipeline.ask())
    first = made.started(made.upload())
    token = made.asked()
    second = made.start()
    made.rig.until(lambda: made.inbound() == [second])
    third = made.start()
    assert made.ended(second)["status"] == "Superseded"
    assert made.inbound() == [third]
    made.answer(token, "Approved")
    assert made.ended(first)["status"] == "Succeeded"
    made.rig.until(lambda: made.stages()["Ask"]["latestExecution"]["pipelineExecutionId"] == third)
    made.answer(made.asked(), "Approved")
    assert made.ended(third)["status"] == "Succeeded"


def test_queued_executions_keep_their_order(line: Callable[..., Line]) -> None:
    """Each waits for the one before it, and none is left out."""
    made = line(small_pipeline.ask(), mode="QUEUED")
    first = made.started(made.upload())
    second = made.start()
    made.rig.until(lambda: made.inbound() == [second])
    third = made.start()
    made.rig.until(lambda: made.inbound() == [second, third])
    for own in (first, second, third):
        in_stage = [made.stages, "Ask"]
        made.rig.until(
            lambda own=own, look=in_stage: (
                look[0]()["Ask"].get("latestExecution", {}).get("pipelineExecutionId") == own
            )
        )
        made.answer(made.asked(), "Approved")
        assert made.ended(own)["status"] == "Succeeded"


def test_stopping(line: Callable[..., Line]) -> None:
    """One that waits stops at once; an abandoned action is left to itself."""
    made = line(small_pipeline.ask())
    first = made.started(made.upload())
    made.asked()
    second = made.start()
    made.rig.until(lambda: made.inbound() == [second])
    stop = made.rig.codepipeline.stop_pipeline_execution
    stop(pipelineName=made.name, pipelineExecutionId=second, reason="enough")
    assert made.ended(second)["status"] == "Stopped"
    stop(pipelineName=made.name, pipelineExecutionId=first, abandon=True)
    assert made.ended(first)["status"] == "Stopped"
    assert made.actions(first)["Ask"]["status"] == "Abandoned"
    with pytest.raises(ClientError, match="NotStoppable"):
        stop(pipelineName=made.name, pipelineExecutionId=first)


def test_a_closed_stage_lets_nobody_in(line: Callable[..., Line]) -> None:
    """Whoever comes waits before it, as the state says, until it is opened or the execution is stopped."""
    made = line(small_pipeline.ask())
    service = made.rig.codepipeline
    way = {"pipelineName": made.name, "stageName": "Ask", "transitionType": "Inbound"}
    service.disable_stage_transition(**way, reason="held")
    own = made.started(made.upload())
    made.rig.until(lambda: made.inbound() == [own])
    state = made.stages()["Ask"]["inboundTransitionState"]
    assert (state["enabled"], state["disabledReason"]) == (False, "held")
    service.enable_stage_transition(**way)
    made.answer(made.asked(), "Approved")
    assert made.ended(own)["status"] == "Succeeded"
    service.disable_stage_transition(**way, reason="held")
    later = made.start()
    made.rig.until(lambda: made.inbound() == [later])
    service.stop_pipeline_execution(pipelineName=made.name, pipelineExecutionId=later, abandon=True)
    assert made.ended(later)["status"] == "Stopped"
    with pytest.raises(ClientError, match="StageNotFoundException"):
        service.disable_stage_transition(**{**way, "stageName": "None"}, reason="held")


def test_variables_and_tokens(line: Callable[..., Line]) -> None:
    """Variables have defaults or what is given; an unknown one is refused; a token starts once."""
    made = line(small_pipeline.ask())
    made.upload()
    variables = [{"name": "DataVersion", "value": "of today"}]
    own = made.start(variables=variables, clientRequestToken="once")
    assert made.start(variables=variables, clientRequestToken="once") == own
    assert made.execution(own)["variables"] == [
        {"name": "DataVersion", "resolvedValue": "of today"},
        {"name": "Reason", "resolvedValue": "commit"},
    ]
    with pytest.raises(ClientError, match="Colour is not declared"):
        made.start(variables=[{"name": "Colour", "value": "blue"}])


def test_an_older_version_of_the_source_can_be_taken(line: Callable[..., Line]) -> None:
    """A revision given at the start is the one that is taken."""
    made = line(small_pipeline.ask())
    older = made.upload()
    made.started(older)
    made.upload()
    revision = {"actionName": "Take", "revisionType": "S3_OBJECT_VERSION_ID", "revisionValue": older}
    own = made.start(sourceRevisions=[revision])
    made.rig.until(lambda: made.actions(own).get("Take", {}).get("status") == "Succeeded")
    assert made.execution(own)["artifactRevisions"][0]["revisionId"] == older


def test_a_state_machine_starts_a_pipeline(rig: Any, line: Callable[..., Line]) -> None:
    """`aws-sdk:codepipeline` takes and gives the Java SDK's names, and its errors."""
    made = line(small_pipeline.ask())
    made.upload()
    arguments = {"Name": made.name, "Variables": [{"Name": "DataVersion", "Value": "new"}]}
    resource = "arn:aws:states:::aws-sdk:codepipeline:startPipelineExecution"
    task = {"Type": "Task", "Resource": resource, "Arguments": arguments, "End": True}
    steps = rig.stepfunctions

    def output(state: dict[str, Any]) -> Any:
        own = steps.start_execution(stateMachineArn=machine(rig, state))["executionArn"]
        return rig.until(
            lambda: steps.describe_execution(executionArn=own), lambda seen: seen["status"] != "RUNNING"
        )

    own = json.loads(output(task)["output"])["PipelineExecutionId"]
    assert made.execution(own)["variables"][0]["resolvedValue"] == "new"
    role = rig.role.rpartition("/")[2]
    assert f":assumed-role/{role}/" in made.execution(own)["trigger"]["triggerDetail"]
    failed = output({**task, "Arguments": {"Name": "nothing-there"}})
    assert failed["error"] == "CodePipeline.PipelineNotFoundException"


def test_a_rule_gives_variables(rig: Any, line: Callable[..., Line]) -> None:
    """EventBridge's input of a pipeline's target holds variables, as on AWS."""
    made = line(small_pipeline.ask())
    made.upload()
    rule = rig.unique("rule")
    rig.events.put_rule(Name=rule, EventPattern=json.dumps({"source": [rule]}))
    transformer = {
        "InputPathsMap": {"version": "$.detail.version"},
        "InputTemplate": '{"variables": [{"name": "DataVersion", "value": <version>}]}',
    }
    arn = f"arn:aws:codepipeline:{rig.cloud.region}:000000000000:{made.name}"
    rig.events.put_targets(
        Rule=rule, Targets=[{"Id": "one", "Arn": arn, "RoleArn": rig.role, "InputTransformer": transformer}]
    )
    rig.events.put_events(
        Entries=[{"Source": rule, "DetailType": "news", "Detail": json.dumps({"version": "of the rule"})}]
    )

    def by_rule() -> list[Any]:
        found = rig.codepipeline.list_pipeline_executions(pipelineName=made.name)[
            "pipelineExecutionSummaries"
        ]
        return [one for one in found if one["trigger"].get("triggerDetail", "").endswith(rule)]

    own = rig.until(by_rule)[0]["pipelineExecutionId"]
    assert made.execution(own)["variables"][0]["resolvedValue"] == "of the rule"


def test_state_changes_are_told(rig: Any, line: Callable[..., Line]) -> None:
    """Rules see executions, stages and actions begin and end."""
    failing = machine(rig, {"Type": "Fail", "Error": "NoGood"})
    made = line({"Name": "Work", "Actions": [small_pipeline.invoke(failing)]})
    url = rig.sqs.create_queue(QueueName=rig.unique("events"))["QueueUrl"]
    arn = rig.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    rule = rig.unique("rule")
    pattern = {"source": ["aws.codepipeline"], "detail": {"pipeline": [made.name], "state": ["FAILED"]}}
    rig.events.put_rule(Name=rule, EventPattern=json.dumps(pattern))
    rig.events.put_targets(Rule=rule, Targets=[{"Id": "queue", "Arn": arn}])
    made.delivered()
    events = [json.loads(body) for body in messages(rig, url)]
    assert [event["detail-type"].split()[1] for event in events] == ["Action", "Stage", "Pipeline"]
    assert events[0]["detail"]["action"] == "Invoke"
    assert events[0]["resources"] == [f"arn:aws:codepipeline:{rig.cloud.region}:000000000000:{made.name}"]


def test_an_update_changes_what_comes_next(rig: Any, line: Callable[..., Line]) -> None:
    """A pipeline keeps its executions and gets a version; its deletion takes it away."""
    made = line(small_pipeline.ask())
    made.started(made.upload())
    stage = {"Name": "Work", "Actions": [small_pipeline.invoke(waiting(rig, 0))]}
    stack = f"{made.name}-stack"
    rig.cloudformation.update_stack(StackName=stack, TemplateBody=small_pipeline.template(made.name, [stage]))
    described = rig.cloudformation.describe_stacks
    rig.until(lambda: described(StackName=stack)["Stacks"][0]["StackStatus"] == "UPDATE_COMPLETE")
    pipeline = rig.codepipeline.get_pipeline(name=made.name)["pipeline"]
    assert (pipeline["version"], [stage["name"] for stage in pipeline["stages"]]) == (2, ["Source", "Work"])
    assert made.ended(made.start())["status"] == "Succeeded"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (("Provider", "CodeStarSourceConnection"), "can't run CodeStarSourceConnection.*SourceType=S3"),
        (("Provider", "CodeCommit"), "can't run CodeCommit.*SourceType=S3"),
        (("Category", "Build"), "should only contain source actions"),
    ],
)
def test_what_can_not_run_here_is_refused_when_it_is_deployed(
    rig: Any, change: tuple[str, str], reason: str
) -> None:
    """A source that leads elsewhere, or a structure that AWS refuses, fails the stack with its reason."""
    name = rig.unique("line")
    given = json.loads(small_pipeline.template(name, [small_pipeline.ask()]))
    action = given["Resources"]["Pipeline"]["Properties"]["Stages"][0]["Actions"][0]
    action["ActionTypeId"][change[0]] = change[1]
    if change[0] == "Category":
        action |= small_pipeline.build()["Actions"][0]
    rig.cloudformation.create_stack(StackName=name, TemplateBody=json.dumps(given))
    events = rig.cloudformation.describe_stack_events
    found = rig.until(
        lambda: [
            event["ResourceStatusReason"]
            for event in events(StackName=name)["StackEvents"]
            if (event["LogicalResourceId"], event["ResourceStatus"]) == ("Pipeline", "CREATE_FAILED")
        ]
    )
    assert re.search(reason, found[0]), found
