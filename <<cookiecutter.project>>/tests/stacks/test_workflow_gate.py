"""The quality gate, the comparison with the champion, and the run that is logged."""

import json
from typing import Any

import pytest

from functions.experiments.record import RunRecord
from tests.stacks import asl
from tests.stacks.asl import evaluate
from tests.stacks.workflow import (
    CONTEXT,
    REGRESSION,
    SETTINGS,
    STATES,
    UUID,
    an_object,
    choose,
)

WARNING = "NotifyMissingComparison"


def gate(evaluation: dict[str, Any], metric: str, comparison: str, threshold: float | str) -> tuple[str, Any]:
    """Return the state after the gate, and the failure that is its input."""
    wanted = {"Gate": {"Metric": metric, "Comparison": comparison, "Threshold": threshold}}
    states = {"result": {"Body": json.dumps(evaluation)}}
    measured = evaluate(STATES["ReadMetrics"]["Output"], states=states, settings=wanted)
    chosen, output = choose("CheckQualityGate", measured, settings=wanted)
    if chosen == "RejectModel":
        output = evaluate(STATES[chosen]["Output"], states={"input": measured}, settings=wanted)
    return chosen, output


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
def test_the_gate_compares_the_metric_with_the_threshold(
    evaluation: dict[str, Any], rule: tuple[str, str, float | str], *, passes: bool
) -> None:
    """Equal is not better, an unknown or undefined metric does not pass, and the cause names the metric."""
    chosen, failure = gate(evaluation, *rule)
    assert (chosen == "CompareWithChampion") is passes
    if not passes:
        assert failure["Error"] == "GateNotPassed"
        assert {"auto": "rmse" if evaluation["task"] == "regression" else "auc"}.get(
            rule[0], rule[0]
        ) in failure["Cause"]


def compare(  # noqa: PLR0913 - a case has these parts
    value: float | None,
    champion: float | None,
    metric: str = "rmse",
    rule: str = "better",
    margin: float = 0.0,
    *,
    left_out: int = 0,
) -> tuple[str, str]:
    """Return the state after the comparison on the rows not left out, and the cause of a refusal."""
    comparison = "less" if metric == "rmse" else "greater"
    measured = {"Metric": metric, "Comparison": comparison, "Value": 7.7, "Limit": 1.0, "Challenger": value}
    said = {metric: "The interval contains zero."}
    bound: dict[str, Any] = {
        "evaluation": {"rows": 200, "champion": {"left_out": left_out, "differences": said}},
        "settings": {"Gate": {"Champion": rule, "Margin": margin}, "Reason": "drift"},
        "measured": measured | ({} if champion is None else {"Champion": champion}),
        "champion": "execution-1",
    }
    chosen, _ = choose("CompareWithChampion", {}, **bound)
    cause = (
        evaluate(STATES["RetainChampion"]["Output"]["Cause"], **bound) if chosen == "RetainChampion" else ""
    )
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
def test_a_model_is_compared_with_the_champion(  # noqa: PLR0913 - the columns of the table above
    value: float, champion: float, metric: str, rule: str, margin: float, *, passes: bool
) -> None:
    """An automatic retraining has to be better by the margin, a requested one as good."""
    chosen, cause = compare(value, champion, metric, rule, margin)
    assert chosen == ("CopyModel" if passes else "RetainChampion")
    if not passes:
        assert all(word in cause for word in (metric, f"{value:g}", f"{champion:g}", "execution-1"))
        assert STATES["RetainChampion"]["Output"]["Error"] == "ChampionNotBeaten"
        assert STATES["RetainChampion"]["Next"] == "NotifyFailure"
        assert (f"{margin:g}, the margin" in cause) is (rule == "better" and margin > 0)
        assert cause.endswith(" Production keeps its model. The interval contains zero.")


def test_both_models_are_compared_on_the_rows_that_the_champion_has_not_learned_from() -> None:
    """The gate takes both values from there, and its refusal says how many rows are not among them."""
    measured = {"metrics": {"rmse": 0.4}, "challenger": {"rmse": 0.6}, "rows": 150, "left_out": 50}
    rule = {"Gate": {"Metric": "auto", "Comparison": "auto", "Threshold": "naive"}}
    body = json.dumps({**REGRESSION, "metrics": {"rmse": 0.5}, "champion": measured})
    states = {"result": {"Body": body}}
    read = evaluate(STATES["ReadMetrics"]["Output"], states=states, settings=rule)
    assert (read["Value"], read["Challenger"], read["Champion"]) == (0.5, 0.6, 0.4)
    _, cause = compare(0.6, 0.4, left_out=50)
    assert cause.startswith(
        "rmse is 0.6 on the test split, without 50 of its 200 rows, from which the model in production has "
        "learned, and the model in production, of execution execution-1, has 0.4 on the same rows."
    )


@pytest.mark.parametrize(
    ("evaluation", "why"),
    [
        ({"champion": {"fault": "it asks for the column 'age'"}}, "it asks for the column 'age'"),
        ({"champion": {"metrics": {"r2": 0.1}}}, "its evaluation has no rmse"),
        ({}, "its model.tar.gz is gone"),
    ],
)
def test_a_champion_that_cannot_be_measured_is_reported(evaluation: dict[str, Any], why: str) -> None:
    """Only the threshold decides then, and the notification says so."""
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
def test_the_champion_is_an_input_of_the_evaluation_if_it_exists(*, there: bool) -> None:
    """SageMaker fails a job with an empty input."""
    key = evaluate(STATES["FindChampionModel"]["Arguments"]["Prefix"], champion=UUID)
    contents = {"Contents": [an_object(key)]} if there else {}
    assigned = evaluate(
        STATES["FindChampionModel"]["Assign"],
        champion=UUID,
        states={"result": {**contents, "KeyCount": int(there)}},
    )
    inputs = evaluate(
        STATES["EvaluateModel"]["Arguments"]["ProcessingInputs"],
        run="s3://b/run",
        training={"ModelDataUrl": "s3://b/m"},
        **assigned,
    )
    named = {one["InputName"]: one["S3Input"]["S3Uri"] for one in inputs}
    assert named.keys() == {"model", "test", "train", "validation"} | ({"champion"} if there else set())
    copies = evaluate(
        STATES["CopyModel"]["ItemProcessor"]["States"]["CopyFile"]["Arguments"]["Key"],
        settings={"PipelineExecutionId": UUID},
        states={"input": {"to": "model.tar.gz"}},
    )
    assert named.get("champion", f"s3://${{ArtifactBucket}}/{copies}") == f"s3://${{ArtifactBucket}}/{copies}"


def logged(evaluation: dict[str, Any]) -> RunRecord:
    """Return the record that the function reads from the task's payload."""
    payload = evaluate(
        STATES["LogRun"]["Arguments"]["Payload"],
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
    return RunRecord.read(payload)


@pytest.mark.parametrize(
    "champion", [{}, {"champion": {"metrics": {"rmse": 0.6}}}, {"champion": {"fault": "x"}}]
)
def test_a_run_has_parameters_metrics_and_lineage(champion: dict[str, Any]) -> None:
    """Metrics include those of the naive prediction and the champion; tags name commit, data and image."""
    record = logged({**REGRESSION, **champion})
    assert (record.experiment, record.run) == ("${Project}", UUID)
    assert record.params == {"TARGET": "price", "model": "m", "seed": "1"}
    others = {"champion_rmse": 0.6} if "metrics" in champion.get("champion", {}) else {}
    own = {"rmse": 0.5, "r2": 0.8, "naive_rmse": 1.1, "naive_r2": 0.0, "test_rows": 9}
    assert record.metrics == own | others
    assert record.tags.keys() == {
        *("pipeline_execution", "commit", "data_version", "reason", "image", "training_job", "champion")
    }


@pytest.mark.parametrize(("uri", "following"), [("", "CheckQualityGate"), ("http://mlflow:5000", "LogRun")])
def test_without_a_tracking_server_nothing_is_logged(uri: str, following: str) -> None:
    """The parameter's default turns logging off."""
    state = json.loads(json.dumps(STATES["HasTrackingServer"]).replace("${MlflowTrackingUri}", uri))
    assert asl.choose(state, {})[0] == following


def test_a_tracking_server_that_fails_changes_nothing_for_the_model() -> None:
    """The gate gets the same input, and a notification says why the run is missing."""
    measured = {"Metric": "rmse", "Value": 0.5}
    cause = json.dumps({"errorMessage": "http://x gave no answer", "errorType": "TrackingError"})
    states = {"input": measured, "errorOutput": {"Error": "TrackingError", "Cause": cause}}
    (caught,) = STATES["LogRun"]["Catch"]
    notify = STATES[caught["Next"]]
    assert evaluate(caught["Output"], states=states) == measured
    assert evaluate(notify["Output"], states=states) == measured
    assert notify["Next"] == STATES["LogRun"]["Next"] == "CheckQualityGate"
    assigned = evaluate(caught["Assign"], states=states)
    message = evaluate(
        notify["Arguments"]["Message"], states={"context": {"Execution": {"Id": "arn:x"}}}, **assigned
    )
    assert message.startswith("http://x gave no answer\n")
