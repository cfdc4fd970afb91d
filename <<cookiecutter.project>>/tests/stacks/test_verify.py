"""The verification: which endpoint gets golden requests, and when the production record changes."""

import json
from pathlib import Path
from typing import Any

import pytest
from delivery.templates.read import read_template

from functions.canary.verify import VerificationRequest
from tests.stacks.asl import evaluate

ROOT = Path(__file__).resolve().parents[2]
STATES = json.loads((ROOT / "stacks" / "verify.asl.json").read_text(encoding="utf-8"))["States"]
INPUT = {"Stage": "dev", "EndpointName": "p-dev-2", "PipelineExecutionId": "2"}


@pytest.mark.parametrize(
    "broken", [{"Stage": "test"}, {"Stage": None}, {"EndpointName": None}, {"PipelineExecutionId": None}]
)
def test_an_incomplete_input_is_refused(broken: dict[str, Any]) -> None:
    """The refusal has a name, and comes before any call."""
    (choice,) = STATES["ValidateInput"]["Choices"]
    given = {key: value for key, value in {**INPUT, **broken}.items() if value}
    assert evaluate(choice["Condition"], states={"input": given}) is True
    assert evaluate(choice["Condition"], states={"input": INPUT}) is False


@pytest.mark.parametrize(("stage", "champion"), [("dev", "${Project}-prd-1"), ("prd", None)])
def test_a_model_in_dev_is_compared_with_the_champion(stage: str, champion: str | None) -> None:
    """The champion's endpoint is named as in deploy-model-prd.yml; in production the canary has compared."""
    record = json.dumps({"PipelineExecutionId": "1", "Watermark": {}})
    states = {"input": INPUT | {"Stage": stage}, "result": {"Parameter": {"Value": record}}}
    assigned = evaluate(STATES["ReadChampion"]["Assign"], states=states)
    assert assigned.get("champion") == champion
    production = read_template(ROOT / "stacks" / "deploy-model-prd.yml")["Resources"]["Endpoint"]
    name = production["Properties"]["EndpointName"]["Fn::Sub"].replace("${ExecutionId}", "1")
    assert champion in (None, name)


def test_the_first_model_has_no_champion() -> None:
    """The production record does not exist before it; the other variables are assigned as usual."""
    state = STATES["ReadChampion"]
    missing = state["Catch"][0]
    assert missing["ErrorEquals"] == ["Ssm.ParameterNotFoundException"]
    assert missing["Next"] == state["Next"]
    assert missing["Assign"]["champion"] is None
    record = json.dumps({"PipelineExecutionId": "1", "Watermark": {}})
    states = {"input": INPUT, "result": {"Parameter": {"Value": record}}}
    known = evaluate(state["Assign"], states=states)
    assert evaluate(missing["Assign"], states=states) == known | {"champion": None}


def test_the_function_gets_what_it_reads() -> None:
    """The function reads the payload of the task."""
    payload = evaluate(
        STATES["SendGoldenRequests"]["Arguments"]["Payload"],
        settings=INPUT,
        folder="models/2",
        champion="p-prd-1",
    )
    url = "s3://${ArtifactBucket}/models/2/golden.json"
    assert VerificationRequest.read(payload) == VerificationRequest("p-dev-2", url, "p-prd-1")


def test_the_cause_is_the_functions_own_message() -> None:
    """Lambda wraps the message in a document with the traceback."""
    cause = json.dumps(
        {"errorMessage": 'p failed: "boom"\n', "errorType": "ValidationFailedError", "stackTrace": ["x"]}
    )
    (catch,) = STATES["SendGoldenRequests"]["Catch"]
    output = evaluate(
        catch["Output"], states={"errorOutput": {"Error": "ValidationFailedError", "Cause": cause}}
    )
    assert output == {"Error": "GoldenRequestsFailed", "Cause": 'p failed: "boom"\n'}
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
def test_only_production_changes_the_record(settings: dict[str, Any], taken: list[bool]) -> None:
    """A model in dev may still be rejected."""
    choices = STATES["IsProduction"]["Choices"]
    assert [evaluate(choice["Condition"], settings=settings) for choice in choices] == taken
    assert [choice["Next"] for choice in choices] == ["ReturnVerification", "RecordProduction"]
    assert STATES["RecordProduction"]["Next"] == "ReturnVerification"
