"""The rules of pipelines by themselves: structures, expressions, gates, the time that an approval has."""

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
gates = importlib.import_module("localcloud.services.codepipeline.stage_transitions")
approval = importlib.import_module("localcloud.services.codepipeline.actions.approval")
work = importlib.import_module("localcloud.services.codepipeline.action_context")
clock = importlib.import_module("localcloud.core.clock")
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
def test_a_structure_that_does_not_hold_is_refused(raw: dict[str, Any], reason: str) -> None:
    """AWS's rules, and what nothing here could run, are told before anything runs."""
    with pytest.raises(ServiceError, match=reason):
        declaration.parse(raw)


def test_a_namespace_is_known_after_its_action_only() -> None:
    """Actions side by side can't use each other's variables."""
    using = action("Use", configuration={"StateMachineArn": "#{Own.X}"})
    making = action("Make", namespace="Own")
    declaration.parse(pipeline([SOURCE], [making, {**using, "runOrder": 2}]))
    with pytest.raises(ServiceError, match="uses namespace Own"):
        declaration.parse(pipeline([SOURCE], [making, using]))


@given(st.text(max_size=20), st.text(alphabet="abcXYZ09@_-", min_size=1, max_size=9), st.text(max_size=9))
def test_values_are_put_in_as_they_are(around: str, name: str, value: str) -> None:
    """No text is changed but the expression, and a value is not looked at again."""
    text = around.replace("#{", "")
    whole = f"{text}#{{space.{name}}}{text}"
    assert expressions.resolved(whole, {"space": {name: value}}) == f"{text}{value}{text}"
    with pytest.raises(errors.ActionError, match="can't be resolved"):
        expressions.resolved(whole, {"space": {}})


class One:
    """An execution at a gate."""

    def __init__(self, name: str) -> None:
        self.name, self.superseded, self.stopping = name, False, False


@given(st.integers(1, 6), st.sampled_from(["SUPERSEDED", "QUEUED"]))
def test_a_gate_lets_in_one_at_a_time(count: int, mode: str) -> None:
    """Of those that wait the newest enters, or all in their order; nobody enters beside another."""
    gate, inside = gates.Gate(mode), One("inside")
    assert gate.enter(inside)
    entered: list[str] = []
    ones = [One(str(number)) for number in range(count)]

    def go(one: One) -> None:
        if gate.enter(one):
            entered.append(one.name)
            gate.leave(one)

    threads = []
    for one in ones:
        threads.append(threading.Thread(target=go, args=(one,)))
        threads[-1].start()
        while one not in gate.waiting:
            pass
    assert not entered
    gate.leave(inside)
    for thread in threads:
        thread.join(5)
    expected = [one.name for one in ones]
    assert entered == (expected if mode == "QUEUED" else expected[-1:])
    assert [one.superseded for one in ones] == [mode == "SUPERSEDED" and one is not ones[-1] for one in ones]


def test_an_approval_ends_with_its_time() -> None:
    """Time goes by the clock of the cloud, and not by this machine's."""
    declared = declaration.read_action(action("Ask", "Manual", "Approval", timeoutInMinutes=5), "Stage")
    run = work.ActionRun("Stage", declared, "execution", 1)
    context = SimpleNamespace(clock=clock.Clock(speed=3000), region="eu-central-1")
    tools = SimpleNamespace(context=context, connect=None)
    asked = work.Work("line", run, {}, None, {}, threading.Event(), tools)
    with pytest.raises(errors.ActionError, match="Nobody answered within 5 minutes"):
        approval.run(asked)
