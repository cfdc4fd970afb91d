"""The training state machine: its logic, evaluated, and its shape."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import botocore.session
import pytest
from botocore.validate import ParamValidator
from hypothesis import given, settings
from hypothesis import strategies as st

from functions.experiments.record import Record
from scripts.templates.read import machines_in, read_template, walk
from tests.stacks import asl
from tests.stacks.asl import evaluate

ROOT = Path(__file__).resolve().parents[2]
MACHINE = json.loads((ROOT / "stacks" / "workflow.asl.json").read_text(encoding="utf-8"))
STATES = MACHINE["States"]
WARNING = "Tell that nothing was compared"
# These stop no delivery, whatever comes of them.
ASIDE = {WARNING, "Log the run", "Tell that nothing was logged"}
# Errors that a state answers, and which are not faults.
ANSWERED = {
    "Ssm.ParameterNotFoundException",
    "Ssm.ParameterAlreadyExistsException",
    "S3.NoSuchKeyException",
}
EPOCH = {"LastModified": "1970-01-01T00:00:00Z", "Key": ""}
UUID = "0f0cbb6e-3b0e-4a7e-9d3a-6a2f8f2f5a10"
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


def tasks() -> Iterator[tuple[str, dict[str, Any]]]:
    """Give every task state, in branches too."""
    for _, machine in machines_in(MACHINE, ""):
        for name, state in machine["States"].items():
            if state["Type"] == "Task":
                yield name, state


TASKS = dict(tasks())
JOBS = {name: state for name, state in TASKS.items() if state["Resource"].endswith(".sync")}
(DESCRIPTION,) = [
    machine["States"]["Describe the training"]["Assign"]["job"]
    for _, machine in machines_in(MACHINE, "")
    if "Describe the training" in machine["States"]
]
SETTINGS = {
    "PipelineExecutionId": UUID,
    "ImageUri": "111122223333.dkr.ecr.eu-central-1.amazonaws.com/house@sha256:" + "0" * 64,
    "Commit": "3f2a91c",
    "DataVersion": 'version "1"\n' + "é" * 500,
    "Reason": "commit",
}
SETTINGS_OF_JOBS = {"Train": {"Cluster": {"InstanceCount": 1}}}
CONTEXT = {"Execution": {"Name": UUID}, "State": {"RetryCount": 0}}


def arguments_of(
    name: str, context: dict[str, Any] = CONTEXT, network: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Give a job's arguments; those of the training are put together of what the state before it assigned."""
    variables = {
        "states": {"context": context},
        "settings": SETTINGS_OF_JOBS | {"Network": network or {}},
        "job": DESCRIPTION,
    }
    given = JOBS[name]["Arguments"]
    if isinstance(given, str):
        return dict(evaluate(given, **variables))
    return {**given, "NetworkConfig": evaluate(given["NetworkConfig"], **variables)}


# The list of the data


def listed(
    objects: list[dict[str, Any]], since: int = 0, page: int = 3, workload: str = "tabular"
) -> dict[str, Any]:
    """List the objects page by page and give what was found."""
    found = evaluate(STATES["Start the list"]["Assign"]["found"])
    for start in range(0, max(len(objects), 1), page):
        result = {"Contents": objects[start : start + page], "IsTruncated": start + page < len(objects)}
        found = evaluate(
            STATES["List the data"]["Assign"]["found"],
            states={"result": result if result["Contents"] else {"IsTruncated": False}},
            found=found,
            since=since,
            settings={"Data": {"Prefix": "raw/", "Workload": workload}},
        )
    return dict(found)


def an_object(key: str, modified: str = "2024-01-01T00:00:00Z", size: int = 1) -> dict[str, Any]:
    return {"Key": key, "LastModified": modified, "Size": size}


@pytest.mark.parametrize(
    ("objects", "files"),
    [
        ([], []),
        ([an_object("raw/", size=0), an_object("raw/empty.csv", size=0), an_object("raw/notes.txt")], []),
        ([an_object("raw/a.csv")], ["a.csv"]),
        ([an_object("raw/2024/A b+ü.CSV"), an_object("raw/csv")], ["2024/A b+ü.CSV"]),
        ([an_object("raw/a.parquet"), an_object("raw/b.PARQUET")], ["a.parquet", "b.PARQUET"]),
        ([an_object("raw/a.parquet.crc"), an_object("raw/_SUCCESS")], []),
        ([an_object(f"raw/{at}.csv") for at in range(7)], [f"{at}.csv" for at in range(7)]),
    ],
)
def test_takes_tables_that_hold_something(objects: list[dict[str, Any]], files: list[str]) -> None:
    """Folders, empty objects and other kinds of files are no data; one file is still a list."""
    assert listed(objects)["Files"] == files


def test_takes_pictures_where_these_are_trained_on() -> None:
    """Zips, lists and pictures are the data then, and a table is none."""
    names = ["a.zip", "b/c.PNG", "d.jpg", "e.jpeg", "f.lst", "g.csv", "h.txt", "i.png.bak"]
    found = listed([an_object(f"raw/{name}") for name in names], workload="image")
    assert found["Files"] == names[:5]


def test_takes_the_configured_interval_only() -> None:
    """Files changed before the execution's start minus interval_days are left out."""
    start = {"context": {"Execution": {"StartTime": "2024-01-31T12:00:00.000Z"}}}
    for days, files in ((0, ["old.csv", "new.csv"]), (30, ["new.csv"])):
        states = {**start, "input": {"Data": {"IntervalDays": days}}}
        since = evaluate(STATES["Start the list"]["Assign"]["since"], states=states)
        objects = [an_object("raw/old.csv"), an_object("raw/new.csv", "2024-01-01T12:00:00Z")]
        assert listed(objects, since)["Files"] == files


MOMENTS = st.sampled_from(["2024-01-01T00:00:00Z", "2024-01-01T00:00:00.000Z", "2024-01-01T00:00:01.500Z"])
KEYS = st.text(st.characters(min_codepoint=32, max_codepoint=0x2FF), max_size=6).map(
    lambda name: f"raw/{name}.csv"
)


@settings(max_examples=50, deadline=None)
@given(objects=st.lists(st.builds(an_object, KEYS, MOMENTS), max_size=7))
def test_the_watermark_is_the_newest_file_of_the_manifest(objects: list[dict[str, Any]]) -> None:
    """However files lie over pages, the greatest (LastModified, Key) is found, in any notation of time."""
    found = listed(objects)
    assert found["Files"] == [entry["Key"].removeprefix("raw/") for entry in objects]
    newest = max((place(entry) for entry in objects), default=place(EPOCH))
    assert place(found["Newest"]) == newest


def place(entry: dict[str, Any]) -> tuple[float, str]:
    return float(re.sub(r".*:(\d\d)(\.\d+)?Z", r"\1\2", entry["LastModified"])) if entry[
        "Key"
    ] else -1, entry["Key"]


@pytest.mark.parametrize(
    ("newest", "watermark", "is_newer"),
    [
        (("2024-01-01T00:00:00Z", "raw/a.csv"), ("1970-01-01T00:00:00Z", ""), True),
        (("2024-01-01T00:00:00Z", "raw/a.csv"), ("2024-01-01T00:00:00.000Z", "raw/a.csv"), False),
        (("2024-01-01T00:00:00Z", "raw/b.csv"), ("2024-01-01T00:00:00Z", "raw/a.csv"), True),
        (("2023-12-31T23:59:59Z", "raw/z.csv"), ("2024-01-01T00:00:00Z", "raw/a.csv"), False),
        (("2024-01-01T00:00:00.500Z", "raw/a.csv"), ("2024-01-01T00:00:00Z", "raw/z.csv"), True),
    ],
)
def test_only_later_files_are_new(
    newest: tuple[str, str], watermark: tuple[str, str], *, is_newer: bool
) -> None:
    """Two files of one second are told apart by their keys; the same file is not new."""
    names = ("LastModified", "Key")
    found = {"Newest": dict(zip(names, newest, strict=True))}
    production = {"Watermark": dict(zip(names, watermark, strict=True))}
    condition = STATES["Is anything newer?"]["Choices"][0]["Condition"]
    assert evaluate(condition, found=found, production=production) is is_newer


# The record of production


def restored(stack: dict[str, Any]) -> dict[str, Any]:
    """Give the record as the stack of production has it."""
    state = STATES["Describe the production stack"]
    return dict(evaluate(state["Assign"], states={"result": {"Stacks": [stack]}})["production"])


def caught(name: str, error: str) -> dict[str, Any]:
    """Give the rule of a task that catches the error."""
    return next(rule for rule in STATES[name]["Catch"] if error in rule["ErrorEquals"])


def test_the_record_that_the_verification_writes_can_be_read() -> None:
    """Both state machines know one form of it."""
    verify = json.loads((ROOT / "stacks" / "verify.asl.json").read_text(encoding="utf-8"))["States"]
    newest = {"LastModified": "2024-01-01T00:00:00Z", "Key": "raw/a.csv"}
    given = {"settings": {"PipelineExecutionId": UUID}, "states": {"input": {"Value": json.dumps(newest)}}}
    written = evaluate(verify["Record production"]["Arguments"], **given)
    states = {"result": {"Parameter": {"Value": written["Value"]}}}
    read = evaluate(STATES["Read the production record"]["Assign"], states=states)["production"]
    assert read == {"PipelineExecutionId": UUID, "Watermark": newest}
    assert evaluate(STATES["Read the champion"]["Assign"], states=states) == {"champion": UUID}
    (name,) = {state["Arguments"]["Name"] for state in TASKS.values() if ":ssm:" in state["Resource"]}
    assert (name, written["Overwrite"]) == (verify["Read the champion"]["Arguments"]["Name"], True)


@pytest.mark.parametrize("value", ["{}", "[]", '"x"', '{"PipelineExecutionId": "1"}'])
def test_a_damaged_record_ends_the_training_before_its_jobs(value: str) -> None:
    """Step Functions refuses what is not defined, and the cause names the parameter and the way out."""
    state = STATES["Read the production record"]
    states = {"result": {"Parameter": {"Value": value}}}
    assert None in evaluate(state["Assign"], states=states)["production"].values()
    error = {"errorOutput": {"Error": "States.QueryEvaluationError", "Cause": "it has no Watermark"}}
    failure = evaluate(caught("Read the production record", "States.ALL")["Output"], states=error)
    assert failure["Error"] == "ChampionFailed"
    words = ("${ProductionParameter}", "it has no Watermark", "delete the parameter")
    assert all(word in failure["Cause"] for word in words)


def test_a_missing_record_is_restored_from_the_stack_of_production() -> None:
    """With the execution whose model serves there, and the data that the training noted beside the model."""
    missing = caught("Read the production record", "Ssm.ParameterNotFoundException")
    assert missing["Next"] == "Describe the production stack"
    outputs = [
        {"OutputKey": "ApiUrl", "OutputValue": "https://x"},
        {"OutputKey": "EndpointName", "OutputValue": "${Project}-prd-" + UUID},
    ]
    production = restored({"Outputs": outputs})
    assert production == {"PipelineExecutionId": UUID, "Watermark": EPOCH}
    assert choose("Check for a champion", {}, production=production)[0] == ("Read the watermark of the model")
    kept = evaluate(STATES["Keep the watermark"]["Arguments"], settings=SETTINGS, found={"Newest": EPOCH})
    read = STATES["Read the watermark of the model"]
    assert evaluate(read["Arguments"], production=production)["Key"] == kept["Key"]
    newest = {"LastModified": "2024-01-01T00:00:00Z", "Key": "raw/a.csv"}
    body = {"result": {"Body": json.dumps(newest)}}
    production = evaluate(read["Assign"], production=production, states=body)["production"]
    written = evaluate(STATES["Restore the production record"]["Arguments"], production=production)
    assert json.loads(written["Value"]) == {"PipelineExecutionId": UUID, "Watermark": newest}
    assert written["Overwrite"] is False
    newer = caught("Restore the production record", "Ssm.ParameterAlreadyExistsException")
    assert newer["Next"] == "Read the production record"


def test_the_stack_of_production_is_the_one_that_is_described() -> None:
    """By its name, its output and the name of its endpoint, as the templates and the pipeline have them."""
    production = read_template(ROOT / "stacks" / "deploy-model-prd.yml")
    name = production["Resources"]["Endpoint"]["Properties"]["EndpointName"]["Fn::Sub"]
    assert name == "${Project}-prd-${ExecutionId}"
    assert "EndpointName" in production["Outputs"]
    described = STATES["Describe the production stack"]["Arguments"]["StackName"]
    actions = (ROOT / "pipeline" / "pipeline.yml").read_text(encoding="utf-8")
    assert f"StackName: !Sub {described}\n" in actions


@pytest.mark.parametrize("stack", [{}, {"Outputs": []}])
def test_a_stack_that_could_not_be_created_serves_no_model(stack: dict[str, Any]) -> None:
    """A failed first deployment leaves a stack without outputs, and the threshold alone decides."""
    production = restored(stack)
    assert choose("Check for a champion", {}, production=production)[0] == "List the data"
    assert first_model_passes(production["PipelineExecutionId"])


@pytest.mark.parametrize(
    ("cause", "following"),
    [
        (
            "Stack with id house-deploy-prd does not exist (Service: CloudFormation, Status Code: 400)",
            "List the data",
        ),
        ("Rate exceeded (Service: CloudFormation, Status Code: 400)", "Tell of the failure"),
    ],
)
def test_only_a_stack_that_does_not_exist_means_that_there_is_no_champion(cause: str, following: str) -> None:
    """CloudFormation's other errors end the execution: a champion that was not seen may be there."""
    error = {"errorOutput": {"Error": "CloudFormation.CloudFormationException", "Cause": cause}}
    output = evaluate(caught("Describe the production stack", "States.ALL")["Output"], states=error)
    chosen, assigned, _ = asl.choose(STATES["Check that production exists"], output)
    assert chosen == following
    if chosen == "List the data":
        assert assigned["production"] == {"PipelineExecutionId": "none", "Watermark": EPOCH}
        assert first_model_passes("none")
    else:
        assert output["Error"] == "ChampionFailed"


def first_model_passes(champion: str) -> bool:
    """Whether the threshold alone decides about a model that has to be better than the champion."""
    bound = {"settings": {"Gate": {"Champion": "better"}}, "measured": {}, "champion": champion}
    return choose("Compare with the champion", {}, **bound)[0] == "Copy the model"


def test_a_record_that_goes_missing_during_the_training_is_not_a_first_model() -> None:
    """The champion is then the one that the execution began with."""
    rule = caught("Read the champion", "Ssm.ParameterNotFoundException")
    assert evaluate(rule["Assign"], production={"PipelineExecutionId": UUID}) == {"champion": UUID}


@pytest.mark.parametrize(
    ("names", "next_state", "error"),
    [
        (["x" * 40] * 4000, "Write the manifest", None),
        (["x" * 50] * 4000, "Tell of the failure", "TooManyFiles"),
        (["日" * 50] * 1100, "Tell of the failure", "TooManyFiles"),
        ([], "Tell of the failure", "NoData"),
    ],
)
def test_a_list_that_no_state_can_hold_is_refused(
    names: list[str], next_state: str, error: str | None
) -> None:
    """Below 256 KiB in bytes, which nothing catches above it; and nothing at all is refused too."""
    given_names = {"found": {"Files": names}, "since": 0, "settings": {"Data": {"Prefix": "raw/"}}}
    chosen, output = choose("Is the list complete?", {"More": False}, **given_names)
    assert (chosen, (output or {}).get("Error")) == (next_state, error)
    if error is None:
        assert len(json.dumps(names, ensure_ascii=False).encode()) < 256 * 1024


def choose(name: str, state_input: Any, **variables: Any) -> tuple[str, Any]:
    """Give the next state of a Choice and the output that goes there."""
    following, _, output = asl.choose(STATES[name], state_input, **variables)
    return following, output


def test_a_page_fits_a_state() -> None:
    """The longest keys with their attributes stay below 256 KiB."""
    arguments = evaluate(
        STATES["List the data"]["Arguments"],
        settings={"Data": {"Prefix": "raw/"}},
        page={"ContinuationToken": "t"},
    )
    attributes = {
        **an_object("k" * 1024, "2024-01-01T00:00:00Z", 5 * 2**40),
        "ETag": '"d41d8cd98f00b204e9800998ecf8427e-10000"',
        "ChecksumAlgorithm": ["CRC64NVME"],
        "ChecksumType": "FULL_OBJECT",
        "StorageClass": "INTELLIGENT_TIERING",
    }
    assert arguments["ContinuationToken"] == "t"
    assert len(json.dumps([attributes] * arguments["MaxKeys"])) < 250_000


# The gate


def gate(evaluation: dict[str, Any], metric: str, comparison: str, threshold: float | str) -> tuple[str, Any]:
    """Give the state after the gate, and the failure that goes there."""
    wanted = {"Gate": {"Metric": metric, "Comparison": comparison, "Threshold": threshold}}
    states = {"result": {"Body": json.dumps(evaluation)}}
    measured = evaluate(STATES["Read the metrics"]["Output"], states=states, settings=wanted)
    chosen, output = choose("Gate", measured, settings=wanted)
    if chosen == "Refuse the model":
        output = evaluate(STATES[chosen]["Output"], states={"input": measured}, settings=wanted)
    return chosen, output


REPORTS = ("evaluation", "golden", "explanation", "learning_curve")
REGRESSION = {
    "metrics": {"rmse": 0.5, "r2": 0.8},
    "naive": {"rmse": 1.1, "r2": 0.0},
    "rows": 9,
    "task": "regression",
}
CLASSES = {
    "metrics": {"auc": 0.7, "accuracy": 0.9},
    "naive": {"auc": 0.5, "accuracy": 0.9},
    "rows": 9,
    "task": "binary",
}


@pytest.mark.parametrize(
    ("evaluation", "rule", "passes"),
    [
        (REGRESSION, ("auto", "auto", "naive"), True),
        ({**REGRESSION, "metrics": {"rmse": 1.1}}, ("auto", "auto", "naive"), False),
        (CLASSES, ("auto", "auto", "naive"), True),
        ({**CLASSES, "metrics": {"auc": 0.5}}, ("auto", "auto", "naive"), False),
        (CLASSES, ("accuracy", "auto", "naive"), False),
        (REGRESSION, ("rmse", "auto", 0.6), True),
        (REGRESSION, ("rmse", "auto", 0.5), False),
        (REGRESSION, ("r2", "greater", 0.79), True),
        (REGRESSION, ("r2", "less", 0.79), False),
        (REGRESSION, ("r2", "auto", -1), True),
        (REGRESSION, ("f1", "auto", 0.5), False),
        ({**REGRESSION, "metrics": {"mape": 0.2}}, ("mape", "auto", 0.3), True),
        ({**CLASSES, "metrics": {"log_loss": 0.5}}, ("log_loss", "auto", 0.3), False),
        ({**REGRESSION, "naive": {}}, ("auto", "auto", "naive"), False),
        ({**REGRESSION, "metrics": {"rmse": None}}, ("auto", "auto", "naive"), False),
    ],
)
def test_gate(evaluation: dict[str, Any], rule: tuple[str, str, float | str], *, passes: bool) -> None:
    """Equal is not better, an unknown or undefined metric does not pass, and the reason names the metric."""
    chosen, failure = gate(evaluation, *rule)
    assert (chosen == "Compare with the champion") is passes
    if not passes:
        assert failure["Error"] == "GateNotPassed"
        assert {"auto": "rmse" if evaluation["task"] == "regression" else "auc"}.get(
            rule[0], rule[0]
        ) in failure["Cause"]


# The champion


def compare(
    value: float | None,
    champion: float | None,
    metric: str = "rmse",
    rule: str = "better",
    margin: float = 0.0,
) -> tuple[str, str]:
    """Give the state after the comparison, and the cause that a refusal has."""
    comparison = "less" if metric == "rmse" else "greater"
    measured = {"Metric": metric, "Comparison": comparison, "Value": value, "Limit": 1.0}
    bound: dict[str, Any] = {
        "settings": {"Gate": {"Champion": rule, "Margin": margin}, "Reason": "drift"},
        "measured": measured | ({} if champion is None else {"Champion": champion}),
        "champion": "execution-1",
    }
    chosen, _ = choose("Compare with the champion", {}, **bound)
    cause = evaluate(STATES["Keep the champion"]["Output"]["Cause"], **bound) if "Keep" in chosen else ""
    return chosen, str(cause)


@pytest.mark.parametrize(
    ("value", "champion", "metric", "rule", "margin", "passes"),
    [
        (0.40, 0.50, "rmse", "better", 0.0, True),
        (0.50, 0.50, "rmse", "better", 0.0, False),
        (0.40, 0.50, "rmse", "better", 0.05, True),
        (0.47, 0.50, "rmse", "better", 0.05, False),
        (0.60, 0.50, "rmse", "better", 0.0, False),
        (0.90, 0.80, "auc", "better", 0.05, True),
        (0.80, 0.90, "auc", "better", 0.0, False),
        (0.50, 0.50, "rmse", "not_worse", 0.0, True),
        (0.51, 0.50, "rmse", "not_worse", 0.05, False),
        (0.80, 0.80, "auc", "not_worse", 0.05, True),
        (0.79, 0.80, "auc", "not_worse", 0.0, False),
        (0.8 - 1e-12, 0.80, "auc", "not_worse", 0.0, True),
        (-0.3, -0.3, "r2", "not_worse", 0.0, True),
        (0.90, 0.10, "rmse", "any", 0.0, True),
    ],
)
def test_a_model_is_held_against_the_champion(  # noqa: PLR0913
    value: float, champion: float, metric: str, rule: str, margin: float, *, passes: bool
) -> None:
    """Better by the margin where nobody asked, as good where somebody did; a refusal has both figures."""
    chosen, cause = compare(value, champion, metric, rule, margin)
    assert chosen == ("Copy the model" if passes else "Keep the champion")
    if not passes:
        assert all(word in cause for word in (metric, f"{value:g}", f"{champion:g}", "execution-1"))
        assert STATES["Keep the champion"]["Output"]["Error"] == "ChampionNotBeaten"
        assert STATES["Keep the champion"]["Next"] == "Tell of the failure"
        assert (f"{margin:g}, the margin" in cause) is (rule == "better" and margin > 0)


@pytest.mark.parametrize(
    ("evaluation", "why"),
    [
        ({"champion": {"fault": "it asks for the column 'age'"}}, "it asks for the column 'age'"),
        ({"champion": {"metrics": {"r2": 0.1}}}, "its evaluation has no rmse"),
        ({}, "its model.tar.gz is gone"),
    ],
)
def test_a_champion_that_cannot_be_measured_is_told(evaluation: dict[str, Any], why: str) -> None:
    """The threshold alone decides then, and whoever approves hears of it."""
    assert compare(0.4, None)[0] == WARNING
    message = evaluate(
        STATES[WARNING]["Arguments"]["Message"],
        states={"context": {"Execution": {"Id": "arn:x"}}},
        evaluation=evaluation,
        champion="execution-1",
        measured={"Metric": "rmse", "Value": 0.4, "Limit": 0.6},
    )
    assert all(word in message for word in (why, "execution-1", "rmse is 0.4", "limit 0.6", "arn:x"))
    assert len(STATES[WARNING]["Arguments"]["Subject"].replace("${Project}", "p" * 16)) <= 100


@pytest.mark.parametrize("there", [True, False])
def test_the_champion_is_an_input_of_the_evaluation_when_there_is_one(*, there: bool) -> None:
    """SageMaker fails a job whose input is empty."""
    key = evaluate(STATES["Find its model"]["Arguments"]["Prefix"], champion=UUID)
    contents = {"Contents": [an_object(key)]} if there else {}
    assigned = evaluate(
        STATES["Find its model"]["Assign"],
        champion=UUID,
        states={"result": {**contents, "KeyCount": int(there)}},
    )
    inputs = evaluate(
        STATES["Evaluate"]["Arguments"]["ProcessingInputs"],
        run="s3://b/run",
        training={"ModelDataUrl": "s3://b/m"},
        **assigned,
    )
    named = {one["InputName"]: one["S3Input"]["S3Uri"] for one in inputs}
    assert named.keys() == {"model", "test", "train", "validation"} | ({"champion"} if there else set())
    copies = evaluate(
        STATES["Copy the model"]["ItemProcessor"]["States"]["Copy"]["Arguments"]["Key"],
        settings={"PipelineExecutionId": UUID},
        states={"input": {"to": "model.tar.gz"}},
    )
    assert named.get("champion", f"s3://${{ArtifactBucket}}/{copies}") == f"s3://${{ArtifactBucket}}/{copies}"


# The experiment


def logged(evaluation: dict[str, Any]) -> Record:
    """Give what the function reads of the task's payload."""
    payload = evaluate(
        STATES["Log the run"]["Arguments"]["Payload"],
        states={"context": CONTEXT},
        settings=SETTINGS
        | {
            "Prepare": {"Environment": {"TARGET": "price"}},
            "Train": {"HyperParameters": {"model": "m", "seed": "1"}},
        },
        evaluation=evaluation,
        training={"JobName": "house-train-1"},
        champion="none",
    )
    return Record.read(payload)


@pytest.mark.parametrize(
    "champion", [{}, {"champion": {"metrics": {"rmse": 0.6}}}, {"champion": {"fault": "x"}}]
)
def test_a_run_has_what_the_training_was_given_and_what_came_of_it(champion: dict[str, Any]) -> None:
    """Beside a guess and the champion, and with what leads back to commit, data and image."""
    record = logged({**REGRESSION, **champion})
    assert (record.experiment, record.run) == ("${Project}", UUID)
    assert record.params == {"TARGET": "price", "model": "m", "seed": "1"}
    others = {"champion_rmse": 0.6} if "metrics" in champion.get("champion", {}) else {}
    own = {"rmse": 0.5, "r2": 0.8, "naive_rmse": 1.1, "naive_r2": 0.0, "test_rows": 9}
    assert record.metrics == own | others
    assert record.tags.keys() == {
        *("pipeline_execution", "commit", "data_version", "reason", "image", "training_job", "champion")
    }


@pytest.mark.parametrize(("uri", "following"), [("", "Gate"), ("http://mlflow:5000", "Log the run")])
def test_without_a_tracking_server_nothing_is_logged(uri: str, following: str) -> None:
    """The parameter's default turns it off."""
    state = json.loads(json.dumps(STATES["Is there a tracking server?"]).replace("${MlflowTrackingUri}", uri))
    assert asl.choose(state, {})[0] == following


def test_a_tracking_server_that_fails_changes_nothing_for_the_model() -> None:
    """What was measured goes on to the gate, and people hear why the run is missing."""
    measured = {"Metric": "rmse", "Value": 0.5}
    cause = json.dumps({"errorMessage": "http://x gave no answer", "errorType": "TrackingError"})
    states = {"input": measured, "errorOutput": {"Error": "TrackingError", "Cause": cause}}
    (caught,) = STATES["Log the run"]["Catch"]
    told = STATES[caught["Next"]]
    assert evaluate(caught["Output"], states=states) == measured
    assert evaluate(told["Output"], states=states) == measured
    assert told["Next"] == STATES["Log the run"]["Next"] == "Gate"
    assigned = evaluate(caught["Assign"], states=states)
    message = evaluate(
        told["Arguments"]["Message"], states={"context": {"Execution": {"Id": "arn:x"}}}, **assigned
    )
    assert message.startswith("http://x gave no answer\n")


# Failures


def reason(cause: str) -> str:
    """Give what is told of a failed job."""
    return str(
        evaluate(STATES["Read the reason"]["Output"], states={"input": {"Error": "X", "Cause": cause}})[
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
    assert told == {"Check that production exists", "Read the reason", "Tell of the failure", "Failed"}
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
    tell, failure = STATES["Tell of the failure"], {"Error": "NoData", "Cause": "There is no file."}
    context = {"context": {"Execution": {"Id": "arn:x"}}, "input": failure}
    message = evaluate(tell["Arguments"], states=context)
    assert "NoData" in message["Subject"]
    assert len(message["Subject"].replace("${Project}", "p" * 16)) <= 100
    assert failure["Cause"] in message["Message"]
    assert evaluate(tell["Catch"][0]["Output"], states=context) == failure
    assert evaluate({key: STATES["Failed"][key] for key in failure}, states=context) == failure


@pytest.mark.parametrize("name", ["x" * 37, "a_b", "-a", "a b"])
def test_an_execution_whose_name_fits_no_job_is_refused(name: str) -> None:
    """Job names carry the execution's, so it is checked before anything runs."""
    states = {"context": {"Execution": {"Name": name}}, "input": {}}
    rule = STATES["Check the input"]["Choices"][0]
    assert evaluate(rule["Condition"], states=states) is True
    assert name in evaluate(rule["Output"], states=states)["Cause"]
    states["context"]["Execution"]["Name"] = UUID
    assert evaluate(rule["Condition"], states=states) is False


# The jobs


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("Prepare", "prep"),
        ("Merge the parts", "merge"),
        ("Baseline", "base"),
        ("Train", "train"),
        ("Evaluate", "eval"),
    ],
)
def test_job_names_are_new_with_each_retry(name: str, kind: str) -> None:
    """A name is taken for ever; there is room for one digit."""
    retries = sum(rule["MaxAttempts"] for rule in JOBS[name]["Retry"])
    assert retries <= 9
    context = {"Execution": {"Name": UUID}, "State": {"RetryCount": retries}}
    arguments = arguments_of(name, context)
    template = next(value for key, value in arguments.items() if key.endswith("JobName"))
    job = evaluate(template, states={"context": context}).replace("${Project}", "p" * 16)
    assert job == f"{'p' * 16}-{kind}-{UUID}-{retries}"


def test_a_job_that_ran_and_failed_is_not_run_again() -> None:
    """Bad data stays bad: only the service's own faults are retried, with growing pauses."""
    for name, state in JOBS.items():
        retried = {error for rule in state["Retry"] for error in rule["ErrorEquals"]}
        assert not retried & {"States.ALL", "States.TaskFailed"}, name
        assert all(rule["BackoffRate"] > 1 for rule in state["Retry"]), name


@pytest.mark.parametrize("instances", [1, 3])
def test_what_several_instances_leave_is_merged_by_one(instances: int) -> None:
    """It takes the parts from where they were left, and gives what one instance gives at once."""
    cluster = {"InstanceType": "ml.m5.xlarge", "InstanceCount": instances, "VolumeSizeInGB": 30}
    given_settings = {
        "Prepare": {"Cluster": cluster, "Environment": {"SEED": "1"}, "EncryptVolume": False},
        "Network": {},
    }
    prepare, merge = (
        evaluate(STATES[name]["Arguments"], states={"context": CONTEXT}, settings=given_settings, run="RUN")
        for name in ("Prepare", "Merge the parts")
    )
    left = {each["S3Output"]["S3Uri"] for each in prepare["ProcessingOutputConfig"]["Outputs"]}
    merged = {each["S3Output"]["S3Uri"] for each in merge["ProcessingOutputConfig"]["Outputs"]}
    following, _ = choose("Are there parts?", {}, settings=given_settings)
    if instances == 1:
        assert (following, left) == ("Baseline and train", merged)
        return
    assert (following, STATES["Merge the parts"]["Next"]) == ("Merge the parts", "Baseline and train")
    assert merge["ProcessingResources"]["ClusterConfig"] == {**cluster, "InstanceCount": 1}
    taken = {each["InputName"]: each["S3Input"] for each in merge["ProcessingInputs"]}
    assert {taken["partial"]["S3Uri"]} == left
    assert merge["Environment"] == {"SEED": "1", "PARTIAL_SOURCE": taken["partial"]["LocalPath"]}
    assert taken["data"] == prepare["ProcessingInputs"][0]["S3Input"]


@pytest.mark.parametrize(("workload", "completed"), [("tabular", set()), ("image", {"RUN/baseline"})])
def test_jobs_take_what_earlier_jobs_give(workload: str, completed: set[str]) -> None:
    """Each input lies below an output of a job before it, also the baseline that is completed."""
    known = {"Data": {"Workload": workload}}
    outputs = evaluate(STATES["Prepare"]["Arguments"]["ProcessingOutputConfig"]["Outputs"], run="RUN")
    given_places = {output["S3Output"]["S3Uri"] for output in outputs}
    channels = evaluate(DESCRIPTION["InputDataConfig"], run="RUN")
    taken = {channel["DataSource"]["S3DataSource"]["S3Uri"] for channel in channels}
    inputs = evaluate(
        STATES["Evaluate"]["Arguments"]["ProcessingInputs"],
        run="RUN",
        training={"ModelDataUrl": "MODEL"},
        champions=[{"name": "champion", "uri": "MODEL"}],
        settings=known,
    ) + evaluate(JOBS["Baseline"]["Arguments"]["ProcessingInputs"], run="RUN")
    taken |= {one["S3Input"]["S3Uri"] for one in inputs}
    assert (taken - {"MODEL"}) - given_places == completed
    place = "evaluation" if completed else "baseline"
    assert {copy["to"]: copy["from"].removeprefix("${ArtifactBucket}/RUN/") for copy in copies(workload)} == {
        "model.tar.gz": "b/m.tar.gz",
        **{f"{name}.json": f"evaluation/{name}.json" for name in REPORTS},
        **{f"{name}.json": f"{place}/{name}.json" for name in ("statistics", "constraints")},
    }


def copies(workload: str = "tabular") -> list[dict[str, str]]:
    """Give what is put beside the model: the reports that the evaluation names, and the baseline."""
    given = {
        "training": {"ModelDataUrl": "s3://b/m.tar.gz"},
        "evaluation": {"reports": [*REPORTS]},
        "settings": {"Data": {"Workload": workload}},
    }
    return list(evaluate(STATES["Copy the model"]["Items"], folder="RUN", **given))


def test_jobs_are_isolated_encrypted_and_marked() -> None:
    """No job reaches the network; outputs and volumes take the project's key; tags say whose it is."""
    for name in JOBS:
        given = arguments_of(name, network={"EnableNetworkIsolation": False})
        assert given.get("NetworkConfig", given)["EnableNetworkIsolation"] is True, name
        text = json.dumps(given)
        assert '"KmsKeyId": "${KmsKeyArn}"' in text, name
        assert "'VolumeKmsKeyId': '${KmsKeyArn}'" in text, name
        assert given["Tags"] == "{% $settings.Tags %}", name


@pytest.mark.parametrize(("instances", "encrypted"), [(1, False), (2, True)])
def test_what_instances_send_one_another_is_encrypted(instances: int, *, encrypted: bool) -> None:
    """Gradients are sums over the data; a single instance would wait for a network that it does not need."""
    variables = {"states": {"context": CONTEXT}, "job": {}}
    settings = {"Network": {}, "Train": {"Cluster": {"InstanceCount": instances}}}
    given = evaluate(JOBS["Train"]["Arguments"], **variables, settings=settings)
    assert given["EnableInterContainerTrafficEncryption"] is encrypted


@pytest.mark.parametrize("name", JOBS)
def test_jobs_run_in_the_network_that_is_given(name: str) -> None:
    """A network of one subnet stays a list; without any, SageMaker would refuse a VpcConfig."""
    network = {"VpcConfig": {"SecurityGroupIds": ["sg-1"], "Subnets": ["subnet-1"]}}
    given = arguments_of(name, network=network)
    assert given.get("NetworkConfig", given)["VpcConfig"] == network["VpcConfig"]
    given = arguments_of(name)
    assert "VpcConfig" not in given.get("NetworkConfig", given)


def test_environment_values_fit() -> None:
    """SageMaker takes at most 256 characters a value."""
    values = JOBS["Baseline"]["Arguments"]["Environment"].values()
    assert all(len(value) <= 256 for value in values)


def test_the_watermark_lies_beside_the_model() -> None:
    """Verification reads it from there once the model is in production: the text that the parameter takes."""
    newest = {"LastModified": "2024-01-01T00:00:00Z", "Key": "raw/a.csv"}
    written = evaluate(
        STATES["Keep the watermark"]["Arguments"],
        found={"Newest": newest},
        settings={"PipelineExecutionId": UUID},
    )
    assert (written["Key"], written["Body"]) == (f"models/{UUID}/watermark.json", newest)
    assert STATES["Copy the model"]["Next"] == "Keep the watermark"


def registered(reports: tuple[str, ...] = REPORTS) -> dict[str, Any]:
    """Give what the model is registered with, held against the API's own model of the call."""
    request = evaluate(
        STATES["Register the model"]["Arguments"],
        states={"context": CONTEXT},
        settings=SETTINGS,
        measured={"Metric": "rmse", "Value": 0.456059289402945},
        evaluation={"rows": 4128, "reports": [*reports]},
        training={"JobName": "house-train-1"},
        champion="none",
    )
    filled = json.loads(json.dumps(request).replace("${Project}", "p" * 16).replace("${ArtifactBucket}", "b"))
    model = botocore.session.get_session().get_service_model("sagemaker")
    report = ParamValidator().validate(filled, model.shape_for("CreateModelPackageInput"))
    assert not report.has_errors(), report.generate_report()
    return dict(filled)


def test_a_model_is_registered_with_its_metrics_and_lineage() -> None:
    """Who looks at a version sees how good it is, and of which code, data and image it was made."""
    request = registered()
    assert request["ModelPackageGroupName"] == "p" * 16
    assert request["ModelApprovalStatus"] == "PendingManualApproval"
    (container,) = request["InferenceSpecification"]["Containers"]
    model = f"s3://b/models/{UUID}/model.tar.gz"
    assert container == {"Image": SETTINGS["ImageUri"], "ModelDataUrl": model}
    copied = {f"s3://b/models/{UUID}/{copy['to']}" for copy in copies()}
    metrics = {text for text in strings(request["ModelMetrics"]) if text.startswith("s3://")}
    assert metrics == {
        f"s3://b/models/{UUID}/{name}.json"
        for name in ("evaluation", "explanation", "statistics", "constraints")
    }
    assert metrics | {model} <= copied
    lineage = request["CustomerMetadataProperties"]
    assert lineage | {"DataVersion": ""} == {
        "PipelineExecutionId": UUID,
        "Commit": "3f2a91c",
        "DataVersion": "",
        "Reason": "commit",
        "Image": SETTINGS["ImageUri"],
        "TrainingJob": "house-train-1",
        "Champion": "none",
        "Reports": "evaluation golden explanation learning_curve",
    }
    assert all(re.fullmatch(r"[A-Za-z0-9 _.:/=+@-]{1,256}", value) for value in lineage.values())
    assert request["ModelPackageDescription"] == "rmse 0.456059289402945 on 4128 test rows"


def test_what_was_not_explained_is_registered_without_a_report() -> None:
    """A model of pictures has none, and SageMaker would look for it."""
    assert registered(("evaluation", "golden"))["ModelMetrics"]["Explainability"] == {}


def strings(content: Any) -> Iterator[str]:
    """Give every text of a document."""
    yield from (node for _, node in walk(content) if isinstance(node, str))


def test_the_group_is_the_one_that_the_pipeline_stack_makes() -> None:
    """A model of another group would be registered for nobody."""
    group = read_template(ROOT / "pipeline" / "pipeline.yml")["Resources"]["ModelPackageGroup"]
    assert group["Properties"]["ModelPackageGroupName"] == {"Ref": "Project"}
    assert STATES["Register the model"]["Arguments"]["ModelPackageGroupName"] == "${Project}"


def test_a_registration_is_made_once_and_can_be_found() -> None:
    """A repeated call adds no second version, and the package's ARN lies where the registry looks for it."""
    assert registered()["ClientToken"] == UUID
    kept = evaluate(STATES["Keep the package"]["Arguments"], package="arn:p", settings=SETTINGS)
    registry = json.loads((ROOT / "stacks" / "registry.asl.json").read_text(encoding="utf-8"))["States"]
    states = {"input": {"detail": {"execution-id": UUID}}, "result": {"Body": json.dumps(kept["Body"])}}
    assert evaluate(registry["Find the package"]["Arguments"]["Key"], states=states) == kept["Key"]
    assert evaluate(registry["Find the package"]["Assign"], states=states) == {"package": "arn:p"}


@pytest.mark.parametrize("name", ["Trained", "Nothing new"])
def test_outcomes_say_what_later_stages_take(name: str) -> None:
    """The watermark goes on as the text that is written when the model is deployed."""
    newest = {"LastModified": "2024-01-01T00:00:00Z", "Key": "raw/a.csv"}
    output = evaluate(
        STATES[name]["Output"],
        production={"Watermark": newest},
        found={"Newest": newest},
        settings={"PipelineExecutionId": UUID},
        training={"JobName": "job"},
        package="arn:p",
        evaluation={"metrics": {"rmse": 0.5}},
    )
    assert json.loads(output["Watermark"]["Value"]) == newest
    assert output["PipelineExecutionId"] == UUID
    assert output["Result"] == {"Trained": "Trained", "Nothing new": "NoNewData"}[name]
    if name == "Trained":
        assert output["ModelDataUrl"] == f"s3://${{ArtifactBucket}}/models/{UUID}/model.tar.gz"
        assert (output["TrainingJobName"], output["Metrics"]) == ("job", {"rmse": 0.5})
        assert output["ModelPackageArn"] == "arn:p"
