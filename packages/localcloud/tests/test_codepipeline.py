"""Pipelines on the local cloud: their deployment, sources, actions, approvals and events."""

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
class Pipeline:
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

        def identifiers() -> list[str]:
            response = self.rig.codepipeline.list_pipeline_executions(pipelineName=self.name)
            return [
                summary["pipelineExecutionId"]
                for summary in response["pipelineExecutionSummaries"]
                if any(source["revisionId"] == version for source in summary["sourceRevisions"])
            ]

        return str(self.rig.until(identifiers)[0])

    def execution(self, execution_id: str) -> Any:
        """Describe an execution."""
        answer = self.rig.codepipeline.get_pipeline_execution(
            pipelineName=self.name, pipelineExecutionId=execution_id
        )
        return answer["pipelineExecution"]

    def ended(self, execution_id: str) -> Any:
        """Wait for an execution's end."""
        return self.rig.until(
            lambda: self.execution(execution_id), lambda execution: execution["status"] in ENDED
        )

    def actions(self, execution_id: str) -> dict[str, Any]:
        """Return an execution's actions by name."""
        response = self.rig.codepipeline.list_action_executions(
            pipelineName=self.name, filter={"pipelineExecutionId": execution_id}
        )
        return {action["actionName"]: action for action in response["actionExecutionDetails"]}

    def stages(self) -> dict[str, Any]:
        """Return the present states of the stages by name."""
        state = self.rig.codepipeline.get_pipeline_state(name=self.name)
        return {stage["stageName"]: stage for stage in state["stageStates"]}

    def wait_for_approval(self) -> str:
        """Wait until the approval asks, and return its token."""

        def token() -> Any:
            return self.stages()["Ask"]["actionStates"][-1].get("latestExecution", {}).get("token")

        return str(self.rig.until(token))

    def delivered(self, files: dict[str, str] = small_pipeline.FILES) -> tuple[Any, dict[str, Any]]:
        """Upload a source and return its execution and its actions at the end."""
        execution_id = self.started(self.upload(files))
        return self.ended(execution_id), self.actions(execution_id)

    def start(self, **request: Any) -> str:
        """Start an execution."""
        return str(
            self.rig.codepipeline.start_pipeline_execution(name=self.name, **request)["pipelineExecutionId"]
        )

    def inbound(self, stage: str = "Ask") -> list[str]:
        """Return the executions that wait before a stage."""
        return [
            execution["pipelineExecutionId"]
            for execution in self.stages()[stage].get("inboundExecutions", [])
        ]

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
def deploy(rig: Any) -> Callable[..., Pipeline]:
    """Return a function that deploys a pipeline with the given stages."""

    def deploy(*stages: dict[str, Any], mode: str = "SUPERSEDED") -> Pipeline:
        name = rig.unique("line")
        template = small_pipeline.template(name, list(stages), mode)
        rig.cloudformation.create_stack(StackName=f"{name}-stack", TemplateBody=template)
        outputs = rig.until(
            lambda: rig.cloudformation.describe_stacks(StackName=f"{name}-stack")["Stacks"][0],
            lambda stack: stack["StackStatus"] == "CREATE_COMPLETE",
        )["Outputs"]
        values = {output["OutputKey"]: output["OutputValue"] for output in outputs}
        pipeline = Pipeline(rig, name, values["Bucket"], values["Topic"])
        first = rig.codepipeline.list_pipeline_executions(pipelineName=name)["pipelineExecutionSummaries"][-1]
        pipeline.ended(first["pipelineExecutionId"])
        return pipeline

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
    """Create a state machine that waits."""
    return machine(rig, {"Type": "Wait", "Seconds": seconds, "End": True})


def inbox(rig: Any, topic: str) -> str:
    """Subscribe a queue to a topic and return its address."""
    url = rig.sqs.create_queue(QueueName=rig.unique("inbox"))["QueueUrl"]
    arn = rig.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    rig.sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)
    return str(url)


def messages(rig: Any, url: str) -> list[str]:
    received = rig.sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages", [])
    return [message["Body"] for message in received]


def error(action: Any) -> str:
    return str(action["output"]["executionResult"]["errorDetails"]["message"])


def test_an_upload_goes_through_every_kind_of_action(rig: Any, deploy: Callable[..., Pipeline]) -> None:
    """Source, build, stack, state machine and approval pass artifacts and variables on."""
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
    pipeline = deploy(
        small_pipeline.build(),
        deployed,
        {"Name": "Ask", "Actions": [small_pipeline.approval(Configuration=custom)]},
    )
    url = inbox(rig, pipeline.topic)
    version = pipeline.upload()
    execution_id = pipeline.started(version)
    pipeline.answer(pipeline.wait_for_approval(), "Approved")
    assert pipeline.ended(execution_id)["status"] == "Succeeded", pipeline.actions(execution_id)
    actions = pipeline.actions(execution_id)
    assert actions["Make"]["output"]["outputVariables"] == {"COLOUR": "blue", "VERSION": f"v-{version}"}
    parameter = actions["Stack"]["output"]["outputVariables"]["Name"]
    assert rig.ssm.get_parameter(Name=parameter)["Parameter"]["Value"] == "newest"
    execution = actions["Invoke"]["output"]["executionResult"]["externalExecutionId"]
    assert execution.rpartition(":")[2] == actions["Invoke"]["actionExecutionId"]
    execution_input = json.loads(rig.stepfunctions.describe_execution(executionArn=execution)["input"])
    assert execution_input == {"Value": "blue", "Id": execution_id}
    request = json.loads(json.loads(messages(rig, url)[0])["Message"])
    assert request["approval"]["customData"] == f"blue v-{version}?"


def test_a_new_pipeline_starts_at_once(rig: Any, deploy: Callable[..., Pipeline]) -> None:
    """The first execution fails without a source, and its error names the missing object."""
    pipeline = deploy(small_pipeline.ask())
    first = rig.codepipeline.list_pipeline_executions(pipelineName=pipeline.name)[
        "pipelineExecutionSummaries"
    ][0]
    assert (first["status"], first["trigger"]["triggerType"]) == ("Failed", "CreatePipeline")
    taken = pipeline.actions(first["pipelineExecutionId"])["Take"]
    assert "source.zip" in error(taken)
    assert "upload the source" in error(taken)


@pytest.mark.parametrize(
    ("thing", "capability"),
    [
        (small_pipeline.THING.replace("Outputs:", small_pipeline.ROLE + "Outputs:"), "CAPABILITY_IAM"),
        ("Transform: AWS::Serverless-2016-10-31\n" + small_pipeline.THING, "CAPABILITY_AUTO_EXPAND"),
    ],
)
def test_a_missing_capability_fails_the_action(
    rig: Any, deploy: Callable[..., Pipeline], thing: str, capability: str
) -> None:
    """A template with roles or a transform needs a capability of the action, and is deployed with it."""
    refused, taken = rig.unique("refused"), rig.unique("taken")
    without = {**small_pipeline.stack(refused), "Name": "Without", "Namespace": "A"}
    with_it = {**small_pipeline.stack(taken, Capabilities=capability), "Name": "With", "Namespace": "B"}
    pipeline = deploy({"Name": "Deploy", "Actions": [without, with_it]})
    execution, actions = pipeline.delivered({**small_pipeline.FILES, "thing.yml": thing})
    assert execution["status"] == "Failed"
    assert f"Requires capabilities : [{capability}]" in error(actions["Without"])
    assert actions["With"]["status"] == "Succeeded", actions["With"]
    with pytest.raises(ClientError, match="does not exist"):
        rig.cloudformation.describe_stacks(StackName=refused)


def test_a_failed_stack_is_named_and_replaced(rig: Any, deploy: Callable[..., Pipeline]) -> None:
    """The error names the resource; REPLACE_ON_FAILURE creates the stack again, CREATE_UPDATE can't."""
    name, kept = rig.unique("thing"), rig.unique("kept")
    replacing = small_pipeline.stack(name)
    updating = {
        **small_pipeline.stack(kept, ActionMode="CREATE_UPDATE"),
        "Name": "Update",
        "Namespace": "Update",
    }
    pipeline = deploy({"Name": "Deploy", "Actions": [replacing, updating]})
    broken = small_pipeline.THING.replace("Type: String, Value", "Type: Strange, Value")
    _, actions = pipeline.delivered({**small_pipeline.FILES, "thing.yml": broken})
    assert "Thing: " in error(actions["Stack"])
    _, actions = pipeline.delivered()
    assert actions["Stack"]["status"] == "Succeeded"
    assert "ROLLBACK_COMPLETE" in error(actions["Update"])
    _, actions = pipeline.delivered()
    assert actions["Stack"]["status"] == "Succeeded", "an update without changes is none"


def test_actions_of_one_run_order_run_in_parallel(rig: Any, deploy: Callable[..., Pipeline]) -> None:
    """A failed stage ends when its parallel actions have ended, and later run orders do not start."""
    failing = machine(rig, {"Type": "Fail", "Error": "NoGood", "Cause": "it is no good"})
    slow = waiting(rig, 1)
    stage = [
        small_pipeline.invoke(failing, "Bad"),
        small_pipeline.invoke(slow, "Slow"),
        small_pipeline.invoke(slow, "Later", RunOrder=2),
    ]
    execution, actions = deploy({"Name": "Work", "Actions": stage}, small_pipeline.ask()).delivered()
    assert execution["status"] == "Failed"
    assert error(actions["Bad"]) == "State machine execution ended as FAILED: NoGood: it is no good"
    assert actions["Slow"]["status"] == "Succeeded"
    assert set(actions) == {"Take", "Bad", "Slow"}
    assert (actions["Slow"]["startTime"] - actions["Bad"]["startTime"]).total_seconds() < 0.5


def test_a_rejection_ends_the_execution(rig: Any, deploy: Callable[..., Pipeline]) -> None:
    """The action's error has the summary; another token, or a second answer, is refused."""
    pipeline = deploy(
        small_pipeline.ask(), {"Name": "After", "Actions": [small_pipeline.invoke(waiting(rig, 0))]}
    )
    execution_id = pipeline.started(pipeline.upload())
    token = pipeline.wait_for_approval()
    with pytest.raises(ClientError, match="InvalidApprovalToken"):
        pipeline.answer(rig.unique("00000000-0000-0000-0000")[:36], "Approved")
    pipeline.answer(token, "Rejected")
    assert pipeline.ended(execution_id)["status"] == "Failed"
    actions = pipeline.actions(execution_id)
    assert (error(actions["Ask"]), set(actions)) == ("Rejected: seen", {"Take", "Ask"})
    with pytest.raises(ClientError, match="ApprovalAlreadyCompleted"):
        pipeline.answer(token, "Approved")


def test_a_newer_execution_supersedes_one_that_waits(deploy: Callable[..., Pipeline]) -> None:
    """An execution inside the stage stays; of the waiting executions only the newest continues."""
    pipeline = deploy(small_pipeline.ask())
    first = pipeline.started(pipeline.upload())
    token = pipeline.wait_for_approval()
    second = pipeline.start()
    pipeline.rig.until(lambda: pipeline.inbound() == [second])
    third = pipeline.start()
    assert pipeline.ended(second)["status"] == "Superseded"
    assert pipeline.inbound() == [third]
    pipeline.answer(token, "Approved")
    assert pipeline.ended(first)["status"] == "Succeeded"
    pipeline.rig.until(lambda: pipeline.stages()["Ask"]["latestExecution"]["pipelineExecutionId"] == third)
    pipeline.answer(pipeline.wait_for_approval(), "Approved")
    assert pipeline.ended(third)["status"] == "Succeeded"


def test_queued_executions_keep_their_order(deploy: Callable[..., Pipeline]) -> None:
    """Each execution waits for the previous one, and none is left out."""
    pipeline = deploy(small_pipeline.ask(), mode="QUEUED")
    first = pipeline.started(pipeline.upload())
    second = pipeline.start()
    pipeline.rig.until(lambda: pipeline.inbound() == [second])
    third = pipeline.start()
    pipeline.rig.until(lambda: pipeline.inbound() == [second, third])
    for execution_id in (first, second, third):
        in_stage = [pipeline.stages, "Ask"]
        pipeline.rig.until(
            lambda execution_id=execution_id, look=in_stage: (
                look[0]()["Ask"].get("latestExecution", {}).get("pipelineExecutionId") == execution_id
            )
        )
        pipeline.answer(pipeline.wait_for_approval(), "Approved")
        assert pipeline.ended(execution_id)["status"] == "Succeeded"


def test_executions_can_be_stopped(deploy: Callable[..., Pipeline]) -> None:
    """A waiting execution stops at once; an abandoned action is not waited for."""
    pipeline = deploy(small_pipeline.ask())
    first = pipeline.started(pipeline.upload())
    pipeline.wait_for_approval()
    second = pipeline.start()
    pipeline.rig.until(lambda: pipeline.inbound() == [second])
    stop = pipeline.rig.codepipeline.stop_pipeline_execution
    stop(pipelineName=pipeline.name, pipelineExecutionId=second, reason="enough")
    assert pipeline.ended(second)["status"] == "Stopped"
    stop(pipelineName=pipeline.name, pipelineExecutionId=first, abandon=True)
    assert pipeline.ended(first)["status"] == "Stopped"
    assert pipeline.actions(first)["Ask"]["status"] == "Abandoned"
    with pytest.raises(ClientError, match="NotStoppable"):
        stop(pipelineName=pipeline.name, pipelineExecutionId=first)


def test_a_disabled_transition_blocks_executions(deploy: Callable[..., Pipeline]) -> None:
    """Executions wait before the stage until the transition is enabled or the execution is stopped."""
    pipeline = deploy(small_pipeline.ask())
    service = pipeline.rig.codepipeline
    transition = {"pipelineName": pipeline.name, "stageName": "Ask", "transitionType": "Inbound"}
    service.disable_stage_transition(**transition, reason="held")
    execution_id = pipeline.started(pipeline.upload())
    pipeline.rig.until(lambda: pipeline.inbound() == [execution_id])
    state = pipeline.stages()["Ask"]["inboundTransitionState"]
    assert (state["enabled"], state["disabledReason"]) == (False, "held")
    service.enable_stage_transition(**transition)
    pipeline.answer(pipeline.wait_for_approval(), "Approved")
    assert pipeline.ended(execution_id)["status"] == "Succeeded"
    service.disable_stage_transition(**transition, reason="held")
    later = pipeline.start()
    pipeline.rig.until(lambda: pipeline.inbound() == [later])
    service.stop_pipeline_execution(pipelineName=pipeline.name, pipelineExecutionId=later, abandon=True)
    assert pipeline.ended(later)["status"] == "Stopped"
    with pytest.raises(ClientError, match="StageNotFoundException"):
        service.disable_stage_transition(**{**transition, "stageName": "None"}, reason="held")


def test_variables_and_request_tokens(deploy: Callable[..., Pipeline]) -> None:
    """Variables have defaults; an unknown variable is refused; a token starts one execution."""
    pipeline = deploy(small_pipeline.ask())
    pipeline.upload()
    variables = [{"name": "DataVersion", "value": "of today"}]
    execution_id = pipeline.start(variables=variables, clientRequestToken="once")
    assert pipeline.start(variables=variables, clientRequestToken="once") == execution_id
    assert pipeline.execution(execution_id)["variables"] == [
        {"name": "DataVersion", "resolvedValue": "of today"},
        {"name": "Reason", "resolvedValue": "commit"},
    ]
    with pytest.raises(ClientError, match="Colour is not declared"):
        pipeline.start(variables=[{"name": "Colour", "value": "blue"}])


def test_an_older_version_of_the_source_can_be_taken(deploy: Callable[..., Pipeline]) -> None:
    """The execution takes the revision that its start names."""
    pipeline = deploy(small_pipeline.ask())
    older = pipeline.upload()
    pipeline.started(older)
    pipeline.upload()
    revision = {"actionName": "Take", "revisionType": "S3_OBJECT_VERSION_ID", "revisionValue": older}
    execution_id = pipeline.start(sourceRevisions=[revision])
    pipeline.rig.until(lambda: pipeline.actions(execution_id).get("Take", {}).get("status") == "Succeeded")
    assert pipeline.execution(execution_id)["artifactRevisions"][0]["revisionId"] == older


def test_a_state_machine_starts_a_pipeline(rig: Any, deploy: Callable[..., Pipeline]) -> None:
    """`aws-sdk:codepipeline` has the names and the errors of the Java SDK."""
    pipeline = deploy(small_pipeline.ask())
    pipeline.upload()
    arguments = {"Name": pipeline.name, "Variables": [{"Name": "DataVersion", "Value": "new"}]}
    resource = "arn:aws:states:::aws-sdk:codepipeline:startPipelineExecution"
    task = {"Type": "Task", "Resource": resource, "Arguments": arguments, "End": True}
    steps = rig.stepfunctions

    def output(state: dict[str, Any]) -> Any:
        execution_arn = steps.start_execution(stateMachineArn=machine(rig, state))["executionArn"]
        return rig.until(
            lambda: steps.describe_execution(executionArn=execution_arn),
            lambda description: description["status"] != "RUNNING",
        )

    execution_id = json.loads(output(task)["output"])["PipelineExecutionId"]
    assert pipeline.execution(execution_id)["variables"][0]["resolvedValue"] == "new"
    role = rig.role.rpartition("/")[2]
    assert f":assumed-role/{role}/" in pipeline.execution(execution_id)["trigger"]["triggerDetail"]
    failed = output({**task, "Arguments": {"Name": "nothing-there"}})
    assert failed["error"] == "CodePipeline.PipelineNotFoundException"


def test_a_rule_sets_variables(rig: Any, deploy: Callable[..., Pipeline]) -> None:
    """The input of a rule's target sets the variables of the pipeline, as on AWS."""
    pipeline = deploy(small_pipeline.ask())
    pipeline.upload()
    rule = rig.unique("rule")
    rig.events.put_rule(Name=rule, EventPattern=json.dumps({"source": [rule]}))
    transformer = {
        "InputPathsMap": {"version": "$.detail.version"},
        "InputTemplate": '{"variables": [{"name": "DataVersion", "value": <version>}]}',
    }
    arn = f"arn:aws:codepipeline:{rig.cloud.region}:000000000000:{pipeline.name}"
    rig.events.put_targets(
        Rule=rule, Targets=[{"Id": "one", "Arn": arn, "RoleArn": rig.role, "InputTransformer": transformer}]
    )
    rig.events.put_events(
        Entries=[{"Source": rule, "DetailType": "news", "Detail": json.dumps({"version": "of the rule"})}]
    )

    def by_rule() -> list[Any]:
        summaries = rig.codepipeline.list_pipeline_executions(pipelineName=pipeline.name)[
            "pipelineExecutionSummaries"
        ]
        return [
            summary for summary in summaries if summary["trigger"].get("triggerDetail", "").endswith(rule)
        ]

    execution_id = rig.until(by_rule)[0]["pipelineExecutionId"]
    assert pipeline.execution(execution_id)["variables"][0]["resolvedValue"] == "of the rule"


def test_state_changes_are_events(rig: Any, deploy: Callable[..., Pipeline]) -> None:
    """Rules receive the state changes of executions, stages and actions."""
    failing = machine(rig, {"Type": "Fail", "Error": "NoGood"})
    pipeline = deploy({"Name": "Work", "Actions": [small_pipeline.invoke(failing)]})
    url = rig.sqs.create_queue(QueueName=rig.unique("events"))["QueueUrl"]
    arn = rig.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    rule = rig.unique("rule")
    pattern = {"source": ["aws.codepipeline"], "detail": {"pipeline": [pipeline.name], "state": ["FAILED"]}}
    rig.events.put_rule(Name=rule, EventPattern=json.dumps(pattern))
    rig.events.put_targets(Rule=rule, Targets=[{"Id": "queue", "Arn": arn}])
    pipeline.delivered()
    events = [json.loads(body) for body in messages(rig, url)]
    assert [event["detail-type"].split()[1] for event in events] == ["Action", "Stage", "Pipeline"]
    assert events[0]["detail"]["action"] == "Invoke"
    assert events[0]["resources"] == [f"arn:aws:codepipeline:{rig.cloud.region}:000000000000:{pipeline.name}"]


def test_an_update_changes_later_executions(rig: Any, deploy: Callable[..., Pipeline]) -> None:
    """An updated pipeline has a new version, and later executions run the new stages."""
    pipeline = deploy(small_pipeline.ask())
    pipeline.started(pipeline.upload())
    stage = {"Name": "Work", "Actions": [small_pipeline.invoke(waiting(rig, 0))]}
    stack = f"{pipeline.name}-stack"
    rig.cloudformation.update_stack(
        StackName=stack, TemplateBody=small_pipeline.template(pipeline.name, [stage])
    )
    described = rig.cloudformation.describe_stacks
    rig.until(lambda: described(StackName=stack)["Stacks"][0]["StackStatus"] == "UPDATE_COMPLETE")
    declaration = rig.codepipeline.get_pipeline(name=pipeline.name)["pipeline"]
    assert (declaration["version"], [stage["name"] for stage in declaration["stages"]]) == (
        2,
        ["Source", "Work"],
    )
    assert pipeline.ended(pipeline.start())["status"] == "Succeeded"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (("Provider", "CodeStarSourceConnection"), "can't run CodeStarSourceConnection.*SourceType=S3"),
        (("Provider", "CodeCommit"), "can't run CodeCommit.*SourceType=S3"),
        (("Category", "Build"), "should only contain source actions"),
    ],
)
def test_a_pipeline_that_cannot_run_here_fails_its_stack(
    rig: Any, change: tuple[str, str], reason: str
) -> None:
    """A source outside the local cloud, or a structure that AWS refuses, fails the stack with the reason."""
    name = rig.unique("line")
    template = json.loads(small_pipeline.template(name, [small_pipeline.ask()]))
    action = template["Resources"]["Pipeline"]["Properties"]["Stages"][0]["Actions"][0]
    action["ActionTypeId"][change[0]] = change[1]
    if change[0] == "Category":
        action |= small_pipeline.build()["Actions"][0]
    rig.cloudformation.create_stack(StackName=name, TemplateBody=json.dumps(template))
    events = rig.cloudformation.describe_stack_events
    reasons = rig.until(
        lambda: [
            event["ResourceStatusReason"]
            for event in events(StackName=name)["StackEvents"]
            if (event["LogicalResourceId"], event["ResourceStatus"]) == ("Pipeline", "CREATE_FAILED")
        ]
    )
    assert re.search(reason, reasons[0]), reasons
