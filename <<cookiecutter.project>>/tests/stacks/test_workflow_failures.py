"""The training's failures: each has a name, a cause and a notification."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scripts.lint.__main__ import walk
from tests.stacks.asl import evaluate
from tests.stacks.workflow import MACHINE, STATES, TASKS, UUID

# These stop no delivery, whatever comes of them.
ASIDE = {"NotifyMissingComparison", "LogRun", "NotifyTrackingFailure"}
# Errors that a state answers, and which are not faults.
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
    """Give what is told of a failed job."""
    return str(
        evaluate(STATES["ExtractFailureReason"]["Output"], states={"input": {"Error": "X", "Cause": cause}})[
            "Cause"
        ]
    )


@settings(max_examples=100, deadline=None)
@given(said=st.text(min_size=1, max_size=60), separators=st.sampled_from([(",", ":"), (", ", ": ")]))
def test_the_containers_own_words_are_told(said: str, separators: tuple[str, str]) -> None:
    """ExitMessage, else FailureReason, comes out of the job's description as the container wrote it."""
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
def test_other_causes_are_told_as_they_are(cause: str) -> None:
    """A description that was cut off, or none, still tells something and never fails itself."""
    assert reason(cause) == cause


def test_every_failure_has_a_name_of_its_own() -> None:
    """Who is told, and the stages after this one, know failures by these names."""
    literal = {node["Error"] for _, node in walk(MACHINE) if isinstance(node, dict) and "Error" in node}
    assert {name for name in literal if not name.startswith("{%")} == FAILURES


def test_every_task_hands_its_failure_on() -> None:
    """No task of the state machine fails without its Catch, its own or that of the state around it."""
    within = {name for holder in STATES.values() for name in inner_names(holder) if "Catch" in holder}
    for name, state in TASKS.items():
        catch = state.get("Catch", [])
        assert name in within or catch[-1]["ErrorEquals"] == ["States.ALL"], name
        assert state["Retry"][-1]["ErrorEquals"] != ["Ssm.ParameterNotFoundException"], name
        for rule in catch[:-1]:
            assert set(rule["ErrorEquals"]) <= ANSWERED, name
            assert state["Retry"][0] == {"ErrorEquals": rule["ErrorEquals"], "MaxAttempts": 0}, name
    told = {
        state["Catch"][-1]["Next"] for name, state in STATES.items() if name not in ASIDE and "Catch" in state
    }
    assert told == {"IsProductionMissing", "ExtractFailureReason", "NotifyFailure", "FailExecution"}
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
    """Even when publishing fails, the execution ends with the failure's own name."""
    tell, failure = STATES["NotifyFailure"], {"Error": "NoData", "Cause": "There is no file."}
    context = {"context": {"Execution": {"Id": "arn:x"}}, "input": failure}
    message = evaluate(tell["Arguments"], states=context)
    assert "NoData" in message["Subject"]
    assert len(message["Subject"].replace("${Project}", "p" * 16)) <= 100
    assert failure["Cause"] in message["Message"]
    assert evaluate(tell["Catch"][0]["Output"], states=context) == failure
    assert evaluate({key: STATES["FailExecution"][key] for key in failure}, states=context) == failure


@pytest.mark.parametrize("name", ["x" * 37, "a_b", "-a", "a b"])
def test_an_execution_whose_name_fits_no_job_is_refused(name: str) -> None:
    """Job names carry the execution's, so it is checked before anything runs."""
    states = {"context": {"Execution": {"Name": name}}, "input": {}}
    rule = STATES["ValidateInput"]["Choices"][0]
    assert evaluate(rule["Condition"], states=states) is True
    assert name in evaluate(rule["Output"], states=states)["Cause"]
    states["context"]["Execution"]["Name"] = UUID
    assert evaluate(rule["Condition"], states=states) is False
