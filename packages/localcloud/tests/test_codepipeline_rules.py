"""The rules of pipelines: structures, expressions, transitions and the timeout of an approval."""

from __future__ import annotations

import importlib
import threading
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

declaration = importlib.import_module("localcloud.services.codepipeline.declaration")
expressions = importlib.import_module("localcloud.services.codepipeline.expressions")
errors = importlib.import_module("localcloud.services.codepipeline.errors")
transitions = importlib.import_module("localcloud.services.codepipeline.stage_transitions")
approval = importlib.import_module("localcloud.services.codepipeline.actions.approval")
action_context = importlib.import_module("localcloud.services.codepipeline.action_context")
clock: Any = importlib.import_module("localcloud.core.clock")
context_module: Any = importlib.import_module("localcloud.core.context")
timers: Any = importlib.import_module("localcloud.core.timers")
ServiceError: Any = importlib.import_module("localcloud.core.errors").ServiceError


def action(
    name: str, provider: str = "StepFunctions", category: str = "Invoke", **more: Any
) -> dict[str, Any]:
    configuration = {"StateMachineArn": "arn", "S3Bucket": "b", "S3ObjectKey": "k"}
    kind = {"category": category, "owner": "AWS", "provider": provider, "version": "1"}
    return {"name": name, "actionTypeId": kind, "configuration": configuration, **more}


SOURCE = action("Take", "S3", "Source", outputArtifacts=[{"name": "Source"}], namespace="Source")


def pipeline(*stages: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    return {
        "name": "line",
        "pipelineType": "V2",
        "artifactStore": {"type": "S3", "location": "bucket"},
        "stages": [{"name": f"Stage{number}", "actions": actions} for number, actions in enumerate(stages)],
        **more,
    }


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (pipeline([SOURCE]), "minimum of 2 stages"),
        (pipeline([SOURCE], [SOURCE]), "only the first stage can"),
        (
            pipeline([SOURCE], [action("One"), action("One")]),
            "action name in stage Stage1 must be unique: One",
        ),
        (pipeline([SOURCE], [action("One", inputArtifacts=[{"name": "No"}])]), "Input Artifact Bundle No"),
        (
            pipeline([SOURCE], [action("One", outputArtifacts=[{"name": "Source"}])]),
            "output artifact must be unique: Source",
        ),
        (
            pipeline([SOURCE], [action("One", configuration={"StateMachineArn": "#{Later.X}"})]),
            "uses namespace Later",
        ),
        (
            pipeline([SOURCE], [action("One", configuration={})]),
            "missing required configuration StateMachineArn",
        ),
        (pipeline([SOURCE], [action("One", "Jenkins", "Build")]), "can't run Jenkins"),
        (pipeline([SOURCE], [action("One")], pipelineType="V1", executionMode="QUEUED"), "type V2"),
    ],
)
def test_an_invalid_structure_is_refused(raw: dict[str, Any], reason: str) -> None:
    """A structure that breaks a rule of AWS, or that can't run here, is refused before anything runs."""
    with pytest.raises(ServiceError, match=reason):
        declaration.parse(raw)


def test_a_namespace_can_be_used_only_after_its_action() -> None:
    """Actions of the same run order can't use each other's variables."""
    consumer = action("Use", configuration={"StateMachineArn": "#{Own.X}"})
    producer = action("Make", namespace="Own")
    declaration.parse(pipeline([SOURCE], [producer, {**consumer, "runOrder": 2}]))
    with pytest.raises(ServiceError, match="uses namespace Own"):
        declaration.parse(pipeline([SOURCE], [producer, consumer]))


@given(st.text(max_size=20), st.text(alphabet="abcXYZ09@_-", min_size=1, max_size=9), st.text(max_size=9))
def test_values_replace_their_expressions_unchanged(around: str, name: str, value: str) -> None:
    """Only the expression is replaced, and its value is not resolved again."""
    text = around.replace("#{", "")
    template = f"{text}#{{space.{name}}}{text}"
    assert expressions.resolve(template, {"space": {name: value}}) == f"{text}{value}{text}"
    with pytest.raises(errors.ActionError, match="can't be resolved"):
        expressions.resolve(template, {"space": {}})


class WaitingExecution:
    """An execution that waits before a stage."""

    def __init__(self, name: str) -> None:
        self.name, self.superseded, self.stopping = name, False, False


@given(st.integers(1, 6), st.sampled_from(["SUPERSEDED", "QUEUED"]))
def test_a_stage_has_one_execution_at_a_time(count: int, mode: str) -> None:
    """SUPERSEDED lets the newest execution in, QUEUED lets all in, and neither lets two in at a time."""
    transition, inside = transitions.StageTransition(mode), WaitingExecution("inside")
    assert transition.enter(inside)
    entered: list[str] = []
    executions = [WaitingExecution(str(number)) for number in range(count)]

    def pass_stage(execution: WaitingExecution) -> None:
        if transition.enter(execution):
            entered.append(execution.name)
            transition.leave(execution)

    threads = []
    for execution in executions:
        threads.append(threading.Thread(target=pass_stage, args=(execution,)))
        threads[-1].start()
        while execution not in transition.waiting:
            pass
    assert not entered
    transition.leave(inside)
    for thread in threads:
        thread.join(5)
    expected = [execution.name for execution in executions]
    assert entered == (expected if mode == "QUEUED" else expected[-1:])
    assert [execution.superseded for execution in executions] == [
        mode == "SUPERSEDED" and execution is not executions[-1] for execution in executions
    ]


def test_an_approval_times_out_by_the_clouds_clock() -> None:
    """The clock of the cloud counts the minutes, and not the clock of the machine."""
    declared = declaration.read_action(action("Ask", "Manual", "Approval", timeoutInMinutes=5), "Stage")
    run = action_context.ActionExecution("Stage", declared, "execution", 1)
    cloud = context_module.CloudContext(None, timers.Timers(clock.Clock(3000)))
    tools = SimpleNamespace(cloud=cloud, connect=None)
    context = action_context.ActionContext("line", run, {}, None, {}, threading.Event(), tools)
    with pytest.raises(errors.ActionError, match="Nobody answered within 5 minutes"):
        approval.run(context)
