"""The training's failures: each has a name, a cause and a notification."""

import json
from typing import Any

import pytest
from delivery.templates.read import walk
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.stacks.asl import evaluate
from tests.stacks.workflow import MACHINE, STATES, TASKS, UUID

# A failure of these states does not stop the execution.
ASIDE = {"NotifyMissingComparison", "LogRun", "NotifyTrackingFailure"}
# Errors that a state handles, so they are not failures.
ANSWERED = {
    "Ssm.ParameterNotFoundException",
    "Ssm.ParameterAlreadyExistsException",
    "S3.NoSuchKeyException",
}
FAILURES = {
    "InvalidInput",
    "ListFailed",
    "TooManyFiles",
    "NoData",
    "ManifestFailed",
    "PrepareFailed",
    "BaselineFailed",
    "TrainingFailed",
    "ChampionFailed",
    "EvaluationFailed",
    "GateNotPassed",
    "ChampionNotBeaten",
    "CopyFailed",
    "RegistrationFailed",
}


def reason(cause: str) -> str:
    """Return the cause that is published for a failed job."""
    return str(
        evaluate(STATES["ExtractFailureReason"]["Output"], states={"input": {"Error": "X", "Cause": cause}})[
            "Cause"
        ]
    )


@settings(max_examples=100, deadline=None)
@given(said=st.text(min_size=1, max_size=60), separators=st.sampled_from([(",", ":"), (", ", ": ")]))
def test_the_cause_is_the_containers_own_message(said: str, separators: tuple[str, str]) -> None:
    """ExitMessage, or else FailureReason, is extracted from the description as the container wrote it."""
    for names in ("ExitMessage", "FailureReason"):
        described = {
            "ProcessingJobName": "x",
            "ExitMessage": said,
            "FailureReason": "AlgorithmError",
            "End": 1,
        }
        if names == "FailureReason":
            described = {"TrainingJobName": "x", "FailureReason": said}
        assert reason("States.TaskFailed: " + json.dumps(described, separators=separators)) == said


@pytest.mark.parametrize(
    "cause", ["", "SageMaker.X: Rate exceeded", 'States.TaskFailed: {"FailureReason":"cut off']
)
def test_other_causes_are_unchanged(cause: str) -> None:
    """A cause without a complete description is published as it is."""
    assert reason(cause) == cause


def test_every_failure_has_a_name() -> None:
    """People and later stages know the failures by these names."""
    literal = {node["Error"] for _, node in walk(MACHINE) if isinstance(node, dict) and "Error" in node}
    assert {name for name in literal if not name.startswith("{%")} == FAILURES


def test_every_task_has_a_catch() -> None:
    """Each task has a Catch of its own, or the state around it has one."""
    within = {name for holder in STATES.values() for name in inner_names(holder) if "Catch" in holder}
    for name, state in TASKS.items():
        catch = state.get("Catch", [])
        assert name in within or catch[-1]["ErrorEquals"] == ["States.ALL"], name
        assert state["Retry"][-1]["ErrorEquals"] != ["Ssm.ParameterNotFoundException"], name
        for rule in catch[:-1]:
            assert set(rule["ErrorEquals"]) <= ANSWERED, name
            assert state["Retry"][0] == {"ErrorEquals": rule["ErrorEquals"], "MaxAttempts": 0}, name
    next_states = {
        state["Catch"][-1]["Next"] for name, state in STATES.items() if name not in ASIDE and "Catch" in state
    }
    assert next_states == {"IsProductionMissing", "ExtractFailureReason", "NotifyFailure", "FailExecution"}
    for name in ASIDE:
        assert {rule["Next"] for rule in STATES[name]["Catch"]} <= {STATES[name]["Next"], *ASIDE}


def inner_names(holder: dict[str, Any]) -> list[str]:
    """List the states within a Parallel or Map state."""
    machines = [
        *holder.get("Branches", []),
        *([holder["ItemProcessor"]] if "ItemProcessor" in holder else []),
    ]
    return [name for machine in machines for name in machine["States"]]


def test_a_failure_is_published_and_ends_the_execution() -> None:
    """If publishing fails, the execution still ends with the failure's own name."""
    notify, failure = STATES["NotifyFailure"], {"Error": "NoData", "Cause": "There is no file."}
    context = {"context": {"Execution": {"Id": "arn:x"}}, "input": failure}
    message = evaluate(notify["Arguments"], states=context)
    assert "NoData" in message["Subject"]
    assert len(message["Subject"].replace("${Project}", "p" * 16)) <= 100
    assert failure["Cause"] in message["Message"]
    assert evaluate(notify["Catch"][0]["Output"], states=context) == failure
    assert evaluate({key: STATES["FailExecution"][key] for key in failure}, states=context) == failure


@pytest.mark.parametrize("name", ["x" * 37, "a_b", "-a", "a b"])
def test_an_execution_with_an_unsuitable_name_is_refused(name: str) -> None:
    """Job names contain the execution's name, so it is checked before anything runs."""
    states = {"context": {"Execution": {"Name": name}}, "input": {}}
    rule = STATES["ValidateInput"]["Choices"][0]
    assert evaluate(rule["Condition"], states=states) is True
    assert name in evaluate(rule["Output"], states=states)["Cause"]
    states["context"]["Execution"]["Name"] = UUID
    assert evaluate(rule["Condition"], states=states) is False
