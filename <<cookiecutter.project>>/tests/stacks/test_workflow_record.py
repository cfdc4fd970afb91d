"""The production record: how the training reads and restores it."""

import json
from typing import Any

import pytest
from delivery.templates.read import read_template

from tests.stacks import asl
from tests.stacks.asl import evaluate
from tests.stacks.workflow import EPOCH, ROOT, SETTINGS, STATES, TASKS, UUID, caught, choose


def restored(stack: dict[str, Any]) -> dict[str, Any]:
    """Return the record as the production stack describes it."""
    state = STATES["DescribeProductionStack"]
    return dict(evaluate(state["Assign"], states={"result": {"Stacks": [stack]}})["production"])


def test_the_record_that_the_verification_writes_can_be_read() -> None:
    """Both state machines use the same format."""
    verify = json.loads((ROOT / "stacks" / "verify.asl.json").read_text(encoding="utf-8"))["States"]
    newest = {"LastModified": "2024-01-01T00:00:00Z", "Key": "raw/a.csv"}
    given = {"settings": {"PipelineExecutionId": UUID}, "states": {"input": {"Value": json.dumps(newest)}}}
    written = evaluate(verify["RecordProduction"]["Arguments"], **given)
    states = {"result": {"Parameter": {"Value": written["Value"]}}}
    read = evaluate(STATES["ReadProductionRecord"]["Assign"], states=states)["production"]
    assert read == {"PipelineExecutionId": UUID, "Watermark": newest}
    assert evaluate(STATES["ReadChampion"]["Assign"], states=states) == {"champion": UUID}
    (name,) = {state["Arguments"]["Name"] for state in TASKS.values() if ":ssm:" in state["Resource"]}
    assert (name, written["Overwrite"]) == (verify["ReadChampion"]["Arguments"]["Name"], True)


@pytest.mark.parametrize("value", ["{}", "[]", '"x"', '{"PipelineExecutionId": "1"}'])
def test_a_damaged_record_ends_the_training_before_its_jobs(value: str) -> None:
    """Step Functions fails on an undefined value; the cause names the parameter and the way out."""
    state = STATES["ReadProductionRecord"]
    states = {"result": {"Parameter": {"Value": value}}}
    assert None in evaluate(state["Assign"], states=states)["production"].values()
    error = {"errorOutput": {"Error": "States.QueryEvaluationError", "Cause": "it has no Watermark"}}
    failure = evaluate(caught("ReadProductionRecord", "States.ALL")["Output"], states=error)
    assert failure["Error"] == "ChampionFailed"
    words = ("${ProductionParameter}", "it has no Watermark", "delete the parameter")
    assert all(word in failure["Cause"] for word in words)


def test_a_missing_record_is_restored_from_the_production_stack() -> None:
    """With the execution of the deployed model, and the watermark that the training saved."""
    missing = caught("ReadProductionRecord", "Ssm.ParameterNotFoundException")
    assert missing["Next"] == "DescribeProductionStack"
    outputs = [
        {"OutputKey": "ApiUrl", "OutputValue": "https://x"},
        {"OutputKey": "EndpointName", "OutputValue": "${Project}-prd-" + UUID},
    ]
    production = restored({"Outputs": outputs})
    assert production == {"PipelineExecutionId": UUID, "Watermark": EPOCH}
    assert choose("HasChampion", {}, production=production)[0] == ("ReadChampionWatermark")
    kept = evaluate(STATES["SaveWatermark"]["Arguments"], settings=SETTINGS, found={"Newest": EPOCH})
    read = STATES["ReadChampionWatermark"]
    assert evaluate(read["Arguments"], production=production)["Key"] == kept["Key"]
    newest = {"LastModified": "2024-01-01T00:00:00Z", "Key": "raw/a.csv"}
    body = {"result": {"Body": json.dumps(newest)}}
    production = evaluate(read["Assign"], production=production, states=body)["production"]
    written = evaluate(STATES["RestoreProductionRecord"]["Arguments"], production=production)
    assert json.loads(written["Value"]) == {"PipelineExecutionId": UUID, "Watermark": newest}
    assert written["Overwrite"] is False
    newer = caught("RestoreProductionRecord", "Ssm.ParameterAlreadyExistsException")
    assert newer["Next"] == "ReadProductionRecord"


def test_the_described_stack_is_that_of_production() -> None:
    """By the names of stack, output and endpoint in the templates and the pipeline."""
    production = read_template(ROOT / "stacks" / "deploy-model-prd.yml")
    name = production["Resources"]["Endpoint"]["Properties"]["EndpointName"]["Fn::Sub"]
    assert name == "${Project}-prd-${ExecutionId}"
    assert "EndpointName" in production["Outputs"]
    described = STATES["DescribeProductionStack"]["Arguments"]["StackName"]
    actions = (ROOT / "pipeline" / "pipeline.yml").read_text(encoding="utf-8")
    assert f"StackName: !Sub {described}\n" in actions


@pytest.mark.parametrize("stack", [{}, {"Outputs": []}])
def test_a_stack_that_could_not_be_created_serves_no_model(stack: dict[str, Any]) -> None:
    """A failed first deployment leaves a stack without outputs, so only the threshold decides."""
    production = restored(stack)
    assert choose("HasChampion", {}, production=production)[0] == "ListData"
    assert first_model_passes(production["PipelineExecutionId"])


@pytest.mark.parametrize(
    ("cause", "following"),
    [
        (
            "Stack with id house-deploy-prd does not exist (Service: CloudFormation, Status Code: 400)",
            "ListData",
        ),
        ("Rate exceeded (Service: CloudFormation, Status Code: 400)", "NotifyFailure"),
    ],
)
def test_only_a_missing_stack_means_that_no_champion_exists(cause: str, following: str) -> None:
    """Other errors of CloudFormation end the execution, because a champion may exist."""
    error = {"errorOutput": {"Error": "CloudFormation.CloudFormationException", "Cause": cause}}
    output = evaluate(caught("DescribeProductionStack", "States.ALL")["Output"], states=error)
    chosen, assigned, _ = asl.choose(STATES["IsProductionMissing"], output)
    assert chosen == following
    if chosen == "ListData":
        assert assigned["production"] == {"PipelineExecutionId": "none", "Watermark": EPOCH}
        assert first_model_passes("none")
    else:
        assert output["Error"] == "ChampionFailed"


def first_model_passes(champion: str) -> bool:
    """Return whether only the threshold decides about a model that has to beat the champion."""
    bound = {"settings": {"Gate": {"Champion": "better"}}, "measured": {}, "champion": champion}
    return choose("CompareWithChampion", {}, **bound)[0] == "CopyModel"


def test_a_record_deleted_during_the_training_keeps_the_champion() -> None:
    """The champion is then the one from the beginning of the execution."""
    rule = caught("ReadChampion", "Ssm.ParameterNotFoundException")
    assert evaluate(rule["Assign"], production={"PipelineExecutionId": UUID}) == {"champion": UUID}
