"""Golden requests as a step of the delivery: to whom they go, and what production's success moves."""

import json
from pathlib import Path
from typing import Any

import pytest

from functions.canary.golden import Task
from scripts.templates.read import read_template
from tests.stacks.asl import evaluate

ROOT = Path(__file__).resolve().parents[2]
STATES = json.loads((ROOT / "stacks" / "verify.asl.json").read_text(encoding="utf-8"))["States"]
INPUT = {"Stage": "dev", "EndpointName": "p-dev-2", "PipelineExecutionId": "2"}


@pytest.mark.parametrize(
    "broken", [{"Stage": "test"}, {"Stage": None}, {"EndpointName": None}, {"PipelineExecutionId": None}]
)
def test_an_incomplete_input_is_refused(broken: dict[str, Any]) -> None:
    """By name, before anything is called."""
    (choice,) = STATES["Check the input"]["Choices"]
    given = {key: value for key, value in {**INPUT, **broken}.items() if value}
    assert evaluate(choice["Condition"], states={"input": given}) is True
    assert evaluate(choice["Condition"], states={"input": INPUT}) is False


@pytest.mark.parametrize(("stage", "champion"), [("dev", "${Project}-prd-1"), ("prd", None)])
def test_a_model_in_dev_is_compared_with_productions(stage: str, champion: str | None) -> None:
    """The endpoint has the name that deploy-model-prd.yml gives; in production the canary has compared."""
    record = json.dumps({"PipelineExecutionId": "1", "Watermark": {}})
    states = {"input": INPUT | {"Stage": stage}, "result": {"Parameter": {"Value": record}}}
    assigned = evaluate(STATES["Read the champion"]["Assign"], states=states)
    assert assigned.get("champion") == champion
    production = read_template(ROOT / "stacks" / "deploy-model-prd.yml")["Resources"]["Endpoint"]
    name = production["Properties"]["EndpointName"]["Fn::Sub"].replace("${ExecutionId}", "1")
    assert champion in (None, name)


def test_the_first_model_is_compared_with_none() -> None:
    """Before it there is no record of production; all else is assigned as with one."""
    state = STATES["Read the champion"]
    missing = state["Catch"][0]
    assert missing["ErrorEquals"] == ["Ssm.ParameterNotFoundException"]
    assert missing["Next"] == state["Next"]
    assert missing["Assign"]["champion"] is None
    record = json.dumps({"PipelineExecutionId": "1", "Watermark": {}})
    states = {"input": INPUT, "result": {"Parameter": {"Value": record}}}
    known = evaluate(state["Assign"], states=states)
    assert evaluate(missing["Assign"], states=states) == known | {"champion": None}


def test_the_function_gets_what_it_reads() -> None:
    """The payload of the task is the function's task."""
    payload = evaluate(
        STATES["Send golden requests"]["Arguments"]["Payload"],
        settings=INPUT,
        folder="models/2",
        champion="p-prd-1",
    )
    assert Task.read(payload) == Task("p-dev-2", "s3://${ArtifactBucket}/models/2/golden.json", "p-prd-1")


def test_the_functions_own_words_are_told() -> None:
    """Lambda wraps them in a traceback."""
    cause = json.dumps({"errorMessage": 'p failed: "boom"\n', "errorType": "UnfitError", "stackTrace": ["x"]})
    (catch,) = STATES["Send golden requests"]["Catch"]
    told = evaluate(catch["Output"], states={"errorOutput": {"Error": "UnfitError", "Cause": cause}})
    assert told == {"Error": "GoldenRequestsFailed", "Cause": 'p failed: "boom"\n'}
    other = evaluate(catch["Output"], states={"errorOutput": {"Error": "Lambda.Unknown", "Cause": "gone"}})
    assert other["Cause"] == "Lambda.Unknown: gone"


@pytest.mark.parametrize(
    ("settings", "taken"),
    [
        (INPUT, [True, False]),
        (INPUT | {"Stage": "prd", "Watermark": {"Value": "x"}}, [False, True]),
        (INPUT | {"Stage": "prd"}, [False, False]),
    ],
)
def test_only_production_moves_champion_and_watermark(settings: dict[str, Any], taken: list[bool]) -> None:
    """What dev has seen may still be rejected."""
    choices = STATES["Is it production?"]["Choices"]
    assert [evaluate(choice["Condition"], settings=settings) for choice in choices] == taken
    assert [choice["Next"] for choice in choices] == ["Verified", "Record production"]
    assert STATES["Record production"]["Next"] == "Verified"
