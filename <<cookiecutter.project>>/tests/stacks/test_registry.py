"""Registry and approval: a decision in one place is carried out in the other, in any order of events."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from delivery.templates.read import read_template

from tests.stacks.asl import choose, evaluate

ROOT = Path(__file__).resolve().parents[2]
STATES = json.loads((ROOT / "stacks" / "registry.asl.json").read_text(encoding="utf-8"))["States"]
TEMPLATE = read_template(ROOT / "stacks" / "registry.yml")
PIPELINE = read_template(ROOT / "pipeline" / "pipeline.yml")["Resources"]["Pipeline"]["Properties"]
ARN = "arn:aws:sagemaker:eu-central-1:111122223333:model-package/house/7"
EXECUTION = "0f0cbb6e-3b0e-4a7e-9d3a-6a2f8f2f5a10"
TOKEN = "1c8b1c2e-0000-4000-8000-000000000000"
OUTDATED = "CodePipeline.InvalidApprovalTokenException"

PACKAGE = {"detail-type": "SageMaker Model Package State Change", "detail": {"ModelPackageArn": ARN}}
ASKED: dict[str, Any] = {"detail": {"execution-id": EXECUTION, "action": "Approve", "state": "STARTED"}}
REFUSED = {"detail": ASKED["detail"] | {"state": "FAILED"}}
PROMOTED = {"detail": {"execution-id": EXECUTION, "stage": "DeployPrd", "state": "SUCCEEDED"}}


def waiting(
    execution: str = EXECUTION, status: str = "InProgress", action: str = "Approve"
) -> dict[str, Any]:
    """Describe a pipeline whose approval is pending, or has been answered."""
    latest = {"Status": status, "Token": TOKEN} if status == "InProgress" else {"Status": status}
    return {
        "StageStates": [
            {
                "StageName": "Source",
                "ActionStates": [{"ActionName": "Source", "LatestExecution": {"Status": "Succeeded"}}],
            },
            {
                "StageName": "DeployDev",
                "LatestExecution": {"PipelineExecutionId": execution, "Status": "InProgress"},
                "ActionStates": [
                    {"ActionName": "VerifyDev", "LatestExecution": {"Status": "Succeeded"}},
                    {"ActionName": action, "LatestExecution": latest},
                ],
            },
            {"StageName": "DeployPrd", "ActionStates": [{"ActionName": "DeployPrd"}]},
        ]
    }


@dataclass
class World:
    """The services that the state machine calls."""

    status: str = "PendingManualApproval"
    pipeline: list[dict[str, Any]] = field(default_factory=lambda: [waiting()])
    metadata: dict[str, str] = field(default_factory=lambda: {"PipelineExecutionId": EXECUTION})
    description: str = ""
    is_described: bool = True
    refuses: str = ""
    calls: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    def call(self, operation: str, arguments: dict[str, Any]) -> dict[str, Any]:
        """Answer a task."""
        if operation == "getObject":
            assert arguments["Key"] == f"models/{EXECUTION}/package.json"
            return {"Body": json.dumps({"ModelPackageArn": ARN})}
        if operation == "describeModelPackage":
            assert arguments == {"ModelPackageName": ARN}
            own = {"ApprovalDescription": self.description} if self.description else {}
            own |= {"ModelPackageDescription": "rmse 1. Warning: few."} if self.is_described else {}
            return {"ModelApprovalStatus": self.status, "CustomerMetadataProperties": self.metadata, **own}
        if operation == "getPipelineState":
            return self.pipeline.pop(0) if len(self.pipeline) > 1 else self.pipeline[0]
        self.calls.append((operation, arguments))
        if self.refuses:
            raise LookupError(self.refuses)
        return {}

    def run(self, event: dict[str, Any]) -> dict[str, Any]:
        """Run the state machine on an event, and return its output."""
        name, value, variables = "ClassifyEvent", event, dict[str, Any]()
        for _ in range(40):
            state = STATES[name]
            if state["Type"] == "Choice":
                name, assigned, output = choose(state, value, **variables)
                value, variables = (value if output is None else output), variables | assigned
                continue
            value, following = self.step(state, value, variables)
            if state.get("End"):
                return dict(value)
            assert following != "NotifyFailure", value
            name = following
        raise AssertionError(name)

    def step(self, state: dict[str, Any], value: Any, variables: dict[str, Any]) -> tuple[Any, str]:
        """Carry out a Task, Pass or Wait state."""
        bound: dict[str, Any] = {"states": {"input": value}, **variables}
        if state["Type"] == "Task":
            operation = state["Resource"].rpartition(":")[2]
            try:
                bound["states"]["result"] = self.call(operation, evaluate(state["Arguments"], **bound))
            except LookupError as error:
                (caught,) = [rule for rule in state["Catch"] if str(error) in rule["ErrorEquals"]]
                return value, str(caught["Next"])
        variables |= evaluate(state.get("Assign", {}), **bound)
        given = evaluate(state["Output"], **bound) if "Output" in state else value
        return given, state.get("Next", "")

    @property
    def answers(self) -> list[dict[str, Any]]:
        """The answers to the pipeline's approval."""
        return [arguments for operation, arguments in self.calls if operation == "putApprovalResult"]


@pytest.mark.parametrize("event", [PACKAGE, ASKED])
@pytest.mark.parametrize("status", ["Approved", "Rejected"])
def test_a_decision_about_the_package_answers_the_approval(event: dict[str, Any], status: str) -> None:
    """At once, or when the approval is requested after the decision."""
    world = World(status, description="fine")
    output = world.run(event)
    assert output["Result"] == "Answered"
    assert world.answers == [
        {
            "PipelineName": "${PipelineName}",
            "StageName": "DeployDev",
            "ActionName": "Approve",
            "Token": TOKEN,
            "Result": {"Status": status, "Summary": f"Model package {ARN}: fine"},
        }
    ]


@pytest.mark.parametrize("event", [PACKAGE, ASKED])
def test_a_package_without_a_decision_answers_nothing(event: dict[str, Any]) -> None:
    """A pending package leaves the approval to people."""
    world = World()
    assert world.run(event)["Result"] == "NothingToDo"
    assert world.answers == []
    assert len(world.calls) == (event is ASKED)


@pytest.mark.parametrize(
    ("is_described", "begin"), [(True, "rmse 1. Warning: few.\n\n"), (False, "The model")]
)
def test_who_is_asked_reads_what_the_evaluation_found(begin: str, *, is_described: bool) -> None:
    """The message has the package's description, or says that it has none. No failure stops an approval."""
    for refuses in ("", "States.ALL"):
        world = World(is_described=is_described, refuses=refuses)
        assert world.run(ASKED)["Result"] == "NothingToDo"
        ((operation, arguments),) = world.calls
        assert operation == "publish"
        assert arguments["TopicArn"] == "${NotificationTopicArn}"
        assert len(arguments["Subject"].replace("${Project}", "p" * 16)) <= 100
        assert arguments["Message"].startswith(begin)
        assert f"execution {EXECUTION} of ${{PipelineName}}" in arguments["Message"]
        assert ARN in arguments["Message"]


@pytest.mark.parametrize(
    "pipeline",
    [
        waiting("another"),
        waiting(status="Succeeded"),
        waiting(action="Another"),
        {"StageStates": [{"StageName": "Source"}]},
    ],
)
def test_only_the_approval_of_its_own_execution_is_answered(pipeline: dict[str, Any]) -> None:
    """The approval of one model must never let another one into production."""
    world = World("Approved", [pipeline])
    assert world.run(PACKAGE)["Result"] == "NothingToDo"
    assert world.calls == []


def test_a_package_without_a_pipeline_execution_answers_nothing() -> None:
    """Somebody may register a model by hand."""
    world = World("Approved", metadata={})
    assert world.run(PACKAGE)["Result"] == "NothingToDo"
    assert world.calls == []


def test_an_approval_that_cannot_be_read_yet_is_read_again() -> None:
    """The approval's event may precede the pipeline's state; for a package's event, one reading is enough."""
    not_yet = waiting(status="Succeeded")
    world = World("Approved", [not_yet, not_yet, waiting()])
    assert world.run(ASKED)["Result"] == "Answered"
    world = World("Approved", [not_yet])
    assert world.run(ASKED)["Result"] == "NothingToDo"


def test_an_approval_that_is_answered_already_is_left_alone() -> None:
    """An outdated token is not a failure."""
    world = World("Approved", refuses=OUTDATED)
    assert world.run(PACKAGE)["Result"] == "NothingToDo"
    assert len(world.answers) == 1
    (first, *_) = STATES["PutApprovalResult"]["Retry"]
    assert OUTDATED in first["ErrorEquals"]
    assert first["MaxAttempts"] == 0


@pytest.mark.parametrize(
    ("event", "status", "verdict"),
    [
        (PROMOTED, "PendingManualApproval", "Approved"),
        (PROMOTED, "Approved", None),
        (PROMOTED, "Rejected", "Approved"),
        (REFUSED, "PendingManualApproval", "Rejected"),
        (REFUSED, "Approved", None),
        (REFUSED, "Rejected", None),
    ],
)
def test_the_pipelines_result_sets_the_packages_status(
    event: dict[str, Any], status: str, verdict: str | None
) -> None:
    """A model in production is approved; a failed approval rejects only a pending package."""
    world = World(status)
    world.run(event)
    assert [
        (operation, arguments["ModelPackageArn"], arguments["ModelApprovalStatus"])
        for operation, arguments in world.calls
    ] == ([("updateModelPackage", ARN, verdict)] if verdict else [])


@pytest.mark.parametrize(
    ("result", "end"), [({}, "approval"), ({"external-execution-summary": "slow"}, ": slow")]
)
def test_the_reason_of_a_rejection_is_saved(result: dict[str, str], end: str) -> None:
    """The package's description has the words of the person who rejected it."""
    world = World()
    world.run({"detail": REFUSED["detail"] | {"execution-result": result}})
    ((_, arguments),) = world.calls
    assert arguments["ApprovalDescription"].endswith(end)


def test_other_events_are_refused() -> None:
    """The refusal has a name and a sentence."""
    following, _, output = choose(STATES["ClassifyEvent"], {"detail": {}})
    assert (following, output["Error"]) == ("NotifyFailure", "InvalidInput")


def test_every_task_has_a_catch() -> None:
    """Each failure is published by name."""
    for name, state in STATES.items():
        if state["Type"] == "Task":
            assert state["Catch"][-1]["ErrorEquals"] == ["States.ALL"], name
            assert state["Retry"][-1]["ErrorEquals"] == ["States.TaskFailed"], name


def actions(stage: str) -> dict[str, Any]:
    """Return a stage's actions by name."""
    (found,) = [one for one in PIPELINE["Stages"] if one["Name"] == stage]
    return {one["Name"]: one for one in found["Actions"]}


def test_the_rules_match_the_approval_and_production() -> None:
    """Stage and action have the pipeline's names."""
    details = {
        name: resource["Properties"]["EventPattern"]["detail"]
        for name, resource in TEMPLATE["Resources"].items()
        if resource["Type"] == "AWS::Events::Rule" and name != "FailureRule"
    }
    (stage,), (action,) = details["ApprovalRule"]["stage"], details["ApprovalRule"]["action"]
    assert actions(stage)[action]["ActionTypeId"]["Category"] == "Approval"
    assert (
        STATES["PutApprovalResult"]["Arguments"].items() >= {"StageName": stage, "ActionName": action}.items()
    )
    assert details["ApprovalRule"]["state"] == ["STARTED", "FAILED"]
    assert details["PromotionRule"]["stage"] == [PIPELINE["Stages"][-1]["Name"]]
    assert details["PromotionRule"]["state"] == ["SUCCEEDED"]
    assert {json.dumps(details[name]["pipeline"]) for name in ("ApprovalRule", "PromotionRule")} == {
        json.dumps([PIPELINE["Name"]])
    }
    assert details["PackageRule"] == {
        "ModelPackageGroupName": [{"Ref": "Project"}],
        "ModelApprovalStatus": ["Approved", "Rejected"],
    }


def test_the_role_may_answer_this_approval_only() -> None:
    """And may update only packages of its own project."""
    (policy,) = TEMPLATE["Resources"]["StateMachineRole"]["Properties"]["Policies"]
    found = {one["Sid"]: one["Resource"] for one in policy["PolicyDocument"]["Statement"]}
    pattern = TEMPLATE["Resources"]["ApprovalRule"]["Properties"]["EventPattern"]["detail"]
    name = PIPELINE["Name"]["Fn::Sub"]
    assert found["PutApprovalResult"]["Fn::Sub"].endswith(
        f":{name}/{pattern['stage'][0]}/{pattern['action'][0]}"
    )
    assert found["FindPendingApproval"]["Fn::Sub"].endswith(f":{name}")
    assert found["UpdatePackageStatus"]["Fn::Sub"].endswith(":model-package/${Project}/*")
