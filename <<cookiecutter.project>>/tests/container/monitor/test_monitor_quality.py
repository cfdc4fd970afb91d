"""Predictions are joined with ground truth by id, and their metrics compared with the evaluation's."""

import base64
import io
import json
import math
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from container.data.schema import Schema, Target
from container.data.values import NumberFormat
from container.evaluation import quality
from container.monitor import main
from container.runtime.errors import UsageError, UserError
from tests.container.monitor.captured import ground_truth, lines, record

Run = Callable[..., dict[str, Any]]
REGRESSION, BINARY = Target("t", "regression"), Target("t", "binary", ("no", "yes"))
MANY = Target("t", "multiclass", ("a", "b", "c"))


def labelled(count: int, error: float, seed: int = 1) -> list[tuple[float, float]]:
    """Return labels and predictions of a regression."""
    chance = random.Random(seed)
    drawn = ((chance.gauss(0, 1), chance.gauss(0, error)) for _ in range(count))
    return [(label, label + by) for label, by in drawn]


def evaluation(target: Target, pairs: list[tuple[float, Any]]) -> dict[str, Any]:
    """Return what `evaluate` writes of the test split."""
    labels, predicted = (np.array(each, dtype=np.float64) for each in zip(*pairs, strict=True))
    return quality.quality(labels, predicted, target)


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Write captured predictions and ground truth, run the command and return its files."""

    def run(
        captured: list[dict[str, Any]], truths: list[dict[str, Any]], baseline: dict[str, Any], **changes: str
    ) -> dict[str, Any]:
        given = tmp_path / "processing" / "input"
        for name, content in (("capture", lines(captured)), ("ground_truth", lines(truths))):
            (given / name).mkdir(parents=True, exist_ok=True)
            (given / name / "a.jsonl").write_bytes(content)
        (given / "evaluation.json").write_text(json.dumps(baseline))
        environment = {
            "SAGEMAKER_BASE_DIR": str(tmp_path),
            "analysis_type": "MODEL_QUALITY",
            "dataset_format": '{"sagemakerCaptureJson": {}}',
            "dataset_source": "/opt/ml/processing/input/capture",
            "baseline_statistics": "/opt/ml/processing/input/evaluation.json",
            "sagemaker_endpoint_name": "prd-7",
        }
        for name, value in (environment | changes).items():
            monkeypatch.setenv(name, value)
        main()
        output = tmp_path / "processing" / "output"
        return {path.stem: json.loads(path.read_text()) for path in output.rglob("*.json")}

    return run


def asked(pairs: list[tuple[float, float]]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return the requests and the truth of a regression's pairs, a row each."""
    sent = [record("1,2", inference=f"i{n}", answer=repr(made)) for n, (_, made) in enumerate(pairs)]
    return sent, [ground_truth(f"i{n}", repr(label)) for n, (label, _) in enumerate(pairs)]


def test_model_as_good_as_its_evaluation_violates_nothing(run: Run) -> None:
    """Half of the thirty samples of one quality are worse than the evaluation by chance."""
    baseline = evaluation(REGRESSION, labelled(1000, 0.5, seed=0))
    for seed in range(1, 31):
        found = run(*asked(labelled(600, 0.5, seed)), baseline)
        assert found["constraint_violations"] == {"violations": []}
    assert {each["MetricName"] for each in found["0"]} == {
        *("mae", "mse", "rmse", "r2", "explained_variance", "mape", "unusable_ground_truth_share")
    }
    assert found["0"][0]["Dimensions"] == [{"Name": "Endpoint", "Value": "prd-7"}]
    assert found["statistics"]["dataset"] == {"item_count": 600}


def test_model_that_has_become_worse_is_reported_in_the_analyzers_words(run: Run) -> None:
    """Each metric that became worse is a violation."""
    baseline = evaluation(REGRESSION, labelled(1000, 0.5, seed=0))
    found = run(*asked(labelled(600, 0.8)), baseline)
    violations = found["constraint_violations"]["violations"]
    assert {each["metric_name"]: each["constraint_check_type"] for each in violations} == {
        "mae": "GreaterThanThreshold",
        "mse": "GreaterThanThreshold",
        "rmse": "GreaterThanThreshold",
        "r2": "LessThanThreshold",
    }
    r2, deviation = found["statistics"]["regression_metrics"]["r2"].values()
    threshold = baseline["regression_metrics"]["r2"]["value"]
    assert (
        violations[3]["description"]
        == f"Metric r2 with {r2} +/- {deviation} was LessThanThreshold '{threshold}'"
    )
    assert found["summary"]["status"] == "CompletedWithViolations"


def test_only_what_has_a_truth_that_fits_is_measured(run: Run) -> None:
    """Requests without ground truth, and what can't be read, are counted."""
    sent, truths = asked(labelled(600, 0.1))
    odd = [
        record("1", inference="unknown", answer="1.0"),
        record("1", inference="golden-0001", answer="1.0"),
        record("1", inference="no-answer"),
        record("1", inference="image", answer="<svg>"),
        record("1\n2", inference="two", answer="1.0\n2.0"),
    ]
    more = [
        ground_truth("no-answer", "1"),
        ground_truth("image", "1"),
        ground_truth("two", "1"),
        ground_truth("nobody", "1"),
        {"eventId": "x"},
    ]
    found = run([*sent, *odd], truths + more, evaluation(REGRESSION, labelled(1000, 0.1)))
    assert found["summary"]["rows"] == 600
    counts = {name: count for name, count in found["summary"]["counts"].items() if count}
    assert counts == {
        "lines": 605,
        "broken_ground_truth": 1,
        "artificial": 1,
        "without": 1,
        "unlabelled": 1,
        "mismatched": 2,
        "unmatched": 1,
    }


@pytest.mark.parametrize(
    "own",
    [
        {"groundTruthData": "1.5"},
        {"groundTruthData": {"encoding": "CSV"}},
        {"groundTruthData": {"data": "(", "encoding": "BASE64"}},
        {"eventMetadata": {"eventId": ["e"], "inferenceTime": "2026-01-31T14:00:00Z"}},
    ],
    ids=["text", "no data", "no base64", "id that is a list"],
)
def test_a_record_whose_truth_is_none_is_counted(run: Run, own: dict[str, Any]) -> None:
    """A record that was joined wrongly is left out, and the analysis continues."""
    sent, truths = asked(labelled(600, 0.1))
    odd = record("1", inference="odd", answer="1.0") | own
    found = run([*sent, odd], truths, evaluation(REGRESSION, labelled(1000, 0.1)))
    assert found["summary"]["rows"] == 600
    left = "unlabelled" if "eventMetadata" in own else "mismatched"
    assert found["summary"]["counts"][left] == 1


def share_and_checks(found: dict[str, Any]) -> tuple[float, list[str]]:
    """Return the published share of unusable ground truth, and the checks that were violated."""
    published = {each["MetricName"]: each["Value"] for each in found["0"]}
    violations = found["constraint_violations"]["violations"]
    return published["unusable_ground_truth_share"], [each["constraint_check_type"] for each in violations]


def large(count: int) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return predictions that are wrong by 400 where the ground truth is written as 1,234.5."""
    labels = [round(5.5 + 3.0 * n, 1) for n in range(count)]
    sent = [
        record("1", inference=f"i{n}", answer=repr(label + 400 * (label > 999)))
        for n, label in enumerate(labels)
    ]
    return sent, [ground_truth(f"i{n}", f"{label:,}") for n, label in enumerate(labels)]


def test_ground_truth_that_cannot_be_read_is_a_violation(run: Run) -> None:
    """Otherwise the model would be judged by the rows where it is right."""
    baseline = evaluation(REGRESSION, [(5.5 + 3.0 * n, 5.5 + 3.0 * n) for n in range(750)])
    found = run(*large(750), baseline)
    share, checks = share_and_checks(found)
    assert (share, checks) == (
        found["summary"]["counts"]["mismatched"] / 750,
        ["unusable_ground_truth_check"],
    )
    assert found["summary"]["status"] == "CompletedWithViolations"
    assert (
        "requests whose ground truth does not fit: 418"
        in found["constraint_violations"]["violations"][0]["description"]
    )


@pytest.mark.parametrize("quote", ["", '"'])
def test_ground_truth_is_read_by_the_number_format_of_the_target(quote: str, run: Run) -> None:
    """The evaluation carries the schema of the target; a cell with a comma may lack its quotes."""
    sent, truths = large(750)
    for each in truths:
        each["groundTruthData"]["data"] = quote + each["groundTruthData"]["data"] + quote
    target = Target("t", "regression", number_format=NumberFormat(group=",", sign="$"))
    baseline = evaluation(REGRESSION, [(5.5 + 3.0 * n, 5.5 + 3.0 * n) for n in range(750)])
    found = run(sent, truths, baseline | {"schema": Schema(target, ()).to_json()})
    share, checks = share_and_checks(found)
    assert (share, found["summary"]["rows"]) == (0.0, 750)
    assert found["statistics"]["regression_metrics"]["rmse"]["value"] == pytest.approx(
        400 * math.sqrt(418 / 750)
    )
    assert "GreaterThanThreshold" in checks


def test_a_number_of_json_is_not_read_by_the_number_format_of_the_target(run: Run) -> None:
    """Protects 1.125 from being 1125 where the target's numbers have points between thousands."""
    sent, truths = asked([(n + 0.125, n + 0.125) for n in range(50)])
    for n, each in enumerate(truths):
        each["groundTruthData"] = {"data": n + 0.125, "encoding": "JSON"}
    target = Target("t", "regression", number_format=NumberFormat(",", "."))
    baseline = evaluation(REGRESSION, labelled(1000, 0.1)) | {"schema": Schema(target, ()).to_json()}
    found = run(sent, truths, baseline)
    assert (found["summary"]["rows"], share_and_checks(found)[0]) == (50, 0.0)
    assert found["statistics"]["regression_metrics"]["rmse"]["value"] == 0


@pytest.mark.parametrize("usable", [0, 10])
def test_ground_truth_that_is_all_unusable_is_a_violation(usable: int, run: Run) -> None:
    """Nothing was compared, which is not the same as no violations."""
    sent, truths = asked(labelled(100, 0.1))
    for each in truths[usable:]:
        each["groundTruthData"]["data"] = "n/a"
    share, checks = share_and_checks(found := run(sent, truths, evaluation(REGRESSION, labelled(1000, 0.1))))
    assert (share, checks) == (1 - usable / 100, ["unusable_ground_truth_check"])
    assert found["summary"]["message"].startswith(
        f"CompletedWithViolations: Nothing was compared: {100 - usable}% of the ground truth can't be used, "
    )


@pytest.mark.parametrize(("again", "share"), [(0, 0.0), (2, 0.02), (10, 0.1)])
def test_two_different_labels_of_an_id_are_counted(again: int, share: float, run: Run) -> None:
    """The later one is compared, as a correction; the same label in another spelling is the same."""
    sent, truths = asked([(float(n), float(n)) for n in range(100)])
    wrong = [ground_truth(f"i{n}", "7e9") for n in range(again)]
    same = [ground_truth(f"i{n}", f"0{n}.00 ") for n in range(100)]
    found = run(sent, [*wrong, *wrong, *truths, *same], evaluation(REGRESSION, labelled(1000, 0.1)))
    measured, checks = share_and_checks(found)
    assert (found["summary"]["rows"], found["summary"]["counts"]["relabelled"]) == (100, again)
    assert found["statistics"]["regression_metrics"]["rmse"]["value"] == 0
    assert (round(measured, 9), checks) == (share, ["unusable_ground_truth_check"] if share > 0.05 else [])
    said = f"ids of ground truth with two different labels: {again}"
    assert (said in found["summary"]["message"]) == bool(again)


def test_ground_truth_of_no_captured_request_is_a_violation(run: Run) -> None:
    """The ids were written wrong; those of requests outside the window are right."""
    sent, truths = asked(labelled(100, 0.1))
    wrong = [each | {"eventMetadata": {"eventId": f"x{n}"}} for n, each in enumerate(truths)]
    baseline = evaluation(REGRESSION, labelled(1000, 0.1))
    found = run(sent, wrong, baseline)
    assert share_and_checks(found) == (1.0, ["unusable_ground_truth_check"])
    assert "ground truth of no captured request: 100" in found["summary"]["message"]
    later = run(sent, truths, baseline, start_time="2026-02-01T00:00:00Z", end_time="2026-02-01T01:00:00Z")
    assert share_and_checks(later) == (0.0, [])
    assert later["summary"]["counts"]["outside"] == 100


def test_requests_without_ground_truth_are_no_fault(run: Run) -> None:
    """It may come later."""
    sent, truths = asked(labelled(100, 0.1))
    found = run(sent, truths[:1], evaluation(REGRESSION, labelled(1000, 0.1)))
    assert share_and_checks(found) == (0.0, [])
    assert found["summary"]["counts"]["unlabelled"] == 99


@pytest.mark.parametrize(("right", "share"), [(1, 0.999), (400, 0.6), (960, 0.04)])
def test_ids_of_other_spelling_are_a_violation(right: int, share: float, run: Run) -> None:
    """One id that fits would turn the check off; up to `max_unusable` of them may differ."""
    sent, truths = asked(labelled(1000, 0.1))
    for each in truths[right:]:
        each["eventMetadata"]["eventId"] = each["eventMetadata"]["eventId"].upper()
    found = run(sent, truths, evaluation(REGRESSION, labelled(1000, 0.1)))
    expected = ["unusable_ground_truth_check"] if share > 0.05 else []
    measured, checks = share_and_checks(found)
    assert (round(measured, 9), checks) == (share, expected)
    counts = f"ground truth of no captured request: {1000 - right}; requests without ground truth: "
    assert not expected or counts in found["constraint_violations"]["violations"][0]["description"]


def test_truth_of_requests_that_were_not_captured_is_no_fault(run: Run) -> None:
    """So is truth that comes late: each alone is usual."""
    sent, truths = asked(labelled(1200, 0.1))
    baseline = evaluation(REGRESSION, labelled(1000, 0.1))
    assert share_and_checks(run(sent[::2], truths, baseline)) == (0.0, [])
    assert share_and_checks(run(sent, truths[::2], baseline)) == (0.0, [])


def test_ground_truth_is_found_by_either_id(run: Run) -> None:
    """It may have the caller's id as capture does, or SageMaker's beside the caller's; or be merged."""
    sent, truths = asked(labelled(600, 0.1))
    for n, (request, each) in enumerate(zip(sent, truths, strict=True)):
        request["eventMetadata"]["eventId"] = f"e{n}"
        ids = [{"inferenceId": f"i{n}"}, {"eventId": f"e{n}"}, {"eventId": f"e{n}", "inferenceId": f"i{n}"}]
        each["eventMetadata"] = ids[n % 3]
    merged = [
        {"sagemakerMergeJson": request | each} for request, each in zip(sent[:9], truths[:9], strict=True)
    ]
    given = '{"sagemakerMergeJson": {"captureIndexNames": ["endpointOutput"]}}'
    found = run(
        [*merged, *sent[9:]], truths[9:], evaluation(REGRESSION, labelled(1000, 0.1)), dataset_format=given
    )
    assert (found["summary"]["rows"], share_and_checks(found)) == (600, (0.0, []))


@pytest.mark.parametrize(
    ("classes", "spelled"),
    [
        (("0", "1"), ("0.0", "1.0")),
        (("0", "1"), ("False", "True")),
        (("01", "02"), ("1", "2.0")),
        (("no", "yes"), ("FALSE", "1")),
        (("1", "2", "3"), ("01", "2.0", "3e0")),
    ],
)
def test_labels_are_compared_by_the_one_rule(
    classes: tuple[str, ...], spelled: tuple[str, ...], run: Run
) -> None:
    """An answer is a class as it was written in training, and ground truth one that is equal to it."""
    codes = [n % len(classes) for n in range(120)]
    made = [code if n % 2 else 0 for n, code in enumerate(codes)]
    target = Target.of_classes("t", classes)
    baseline = evaluation(target, [(float(code), np.eye(len(classes))[code]) for code in codes])
    sent = [record("1", inference=f"i{n}", answer=f"{classes[code]},0.9") for n, code in enumerate(made)]
    found = run(
        sent,
        [ground_truth(f"i{n}", spelled[code]) for n, code in enumerate(codes)],
        baseline,
        minimum_records="100",
    )
    right = sum(code == answer for code, answer in zip(codes, made, strict=True)) / 120
    assert found["statistics"][quality.SECTIONS[target.task]]["accuracy"]["value"] == pytest.approx(right)
    assert share_and_checks(found)[0] == 0.0


@pytest.mark.parametrize(
    ("classes", "answer", "accuracy"),
    [
        (("0", "1"), "1.0", 1.0),
        (("1", "2"), "2.0", 1.0),
        (("1", "2"), "1.0", 0.0),
        (("no", "yes"), "YES", 1.0),
    ],
)
def test_answers_of_other_containers_are_classes_or_probabilities(
    classes: tuple[str, str], answer: str, accuracy: float, run: Run
) -> None:
    """A number is the probability of the second class, unless another class is equal to it."""
    baseline = evaluation(
        Target.of_classes("t", classes), [(float(n % 2), np.eye(2)[n % 2]) for n in range(120)]
    )
    sent = [record("1", inference=f"i{n}", answer=answer) for n in range(120)]
    found = run(
        sent, [ground_truth(f"i{n}", classes[1]) for n in range(120)], baseline, minimum_records="100"
    )
    assert found["statistics"]["binary_classification_metrics"]["accuracy"]["value"] == accuracy


def test_an_answer_that_is_neither_class_nor_probability_is_counted(run: Run) -> None:
    """A share of 7 would be a probability of -6."""
    sent = [record("1", inference=f"i{n}", answer="7") for n in range(120)]
    truths = [ground_truth(f"i{n}", "yes") for n in range(120)]
    found = run(
        sent,
        truths,
        evaluation(BINARY, [(float(n % 2), np.eye(2)[n % 2]) for n in range(120)]),
        minimum_records="100",
    )
    assert share_and_checks(found) == (1.0, ["unusable_ground_truth_check"])


def test_requests_of_several_rows_have_a_label_a_row(run: Run) -> None:
    """Responses are in the container's formats, and SageMaker's id is used where the caller gave none."""
    baseline = evaluation(REGRESSION, labelled(1000, 0.1))
    sent = [
        record("1\n2", event="e1", answer="1.0\n2.0"),
        record("1\n2", event="e2", answer='{"predictions":[3.0,4.0]}', answered="JSON"),
        record("1", event="e3", answer=base64.b64encode(b"5.0").decode(), answered="BASE64"),
    ]
    merged = sent[2] | {"groundTruthData": {"data": "5.5", "encoding": "CSV"}}
    truths = [ground_truth("e1", "1.5\n2.5"), ground_truth("e2", "[3.5, 4.5]") | {}]
    truths[1]["groundTruthData"]["encoding"] = "JSON"
    found = run([*sent[:2], merged], truths, baseline, minimum_records="5")
    assert found["statistics"]["dataset"] == {"item_count": 5}
    assert found["statistics"]["regression_metrics"]["mae"]["value"] == 0.5


def in_base64(body: bytes) -> str:
    return base64.b64encode(body).decode()


def npy(rows: Any) -> bytes:
    written = io.BytesIO()
    np.save(written, np.array(rows))
    return written.getvalue()


def test_answers_as_lines_and_as_arrays_are_read(run: Run) -> None:
    """The capture's configuration does not name them as CSV or JSON, so that they are in base64."""
    baseline = evaluation(REGRESSION, labelled(1000, 0.1))
    sent = [
        record("1\n2", event=f"e{n}", answer=in_base64(body), answered="BASE64")
        for n, body in enumerate([b"1.0\n2.0", npy([3.0, 4.0])])
    ]
    for each, kind in zip(sent, ("application/jsonlines", "application/x-npy"), strict=True):
        each["captureData"]["endpointOutput"]["observedContentType"] = kind
    found = run(
        sent, [ground_truth("e0", "1.5\n2.5"), ground_truth("e1", "3.5\n4.5")], baseline, minimum_records="4"
    )
    assert found["statistics"]["dataset"] == {"item_count": 4}
    assert found["statistics"]["regression_metrics"]["mae"]["value"] == 0.5


@pytest.mark.parametrize("form", ["json", "csv", "share", "lines", "array"])
def test_binary_answers_have_their_probabilities(form: str, run: Run) -> None:
    """A label with its confidence gives both probabilities; a number alone is the second class's."""
    chance = random.Random(3)
    shares = [chance.random() for _ in range(600)]
    labels = [float(chance.random() < share) for share in shares]
    both = [[1 - share, share] for share in shares]
    baseline = evaluation(BINARY, list(zip(labels, both, strict=True)))
    sent = []
    for n, share in enumerate(shares):
        label, sure = ("yes", share) if share > 0.5 else ("no", 1 - share)
        answers = {
            "json": json.dumps(
                {"predictions": [{"label": label, "probabilities": {"no": 1 - share, "yes": share}}]}
            ),
            "csv": f"{label},{sure!r}",
            "share": repr(share),
            "lines": in_base64(
                json.dumps({"label": label, "probabilities": {"no": 1 - share, "yes": share}}).encode()
            ),
            "array": in_base64(npy([[1 - share, share]])),
        }
        kinds = {"json": ("JSON", "application/json"), "lines": ("BASE64", "application/jsonlines")}
        encoding, kind = (kinds | {"array": ("BASE64", "application/x-npy")}).get(form, ("CSV", "text/csv"))
        sent.append(record("1", inference=f"i{n}", answer=answers[form], answered=encoding))
        sent[-1]["captureData"]["endpointOutput"]["observedContentType"] = kind
    truths = [ground_truth(f"i{n}", ("no", "yes")[int(label)]) for n, label in enumerate(labels)]
    found = run(sent, truths, baseline)["statistics"]["binary_classification_metrics"]
    expected = baseline["binary_classification_metrics"]
    assert found["auc"]["value"] == pytest.approx(expected["auc"]["value"])
    assert found["log_loss"]["value"] == pytest.approx(expected["log_loss"]["value"])
    for name in ("confusion_matrix", "receiver_operating_characteristic_curve", "precision_recall_curve"):
        assert found[name] == expected[name]


def test_labels_without_probabilities_have_no_auc(run: Run) -> None:
    """Assumed probabilities would make a wrong metric."""
    certain = np.eye(3)
    codes = [n % 3 for n in range(600)]
    baseline = evaluation(MANY, [(float(code), certain[code]) for code in codes])
    sent = [record("1", inference=f"i{n}", answer=f"{'abc'[code]},0.6") for n, code in enumerate(codes)]
    truths = [ground_truth(f"i{n}", "abc"[code if n % 2 else 0]) for n, code in enumerate(codes)]
    found = run(sent, [*truths, ground_truth("i599", "unheard-of")], baseline)
    metrics = found["statistics"]["multiclass_classification_metrics"]
    assert {"auc", "log_loss"}.isdisjoint(metrics)
    assert metrics["accuracy"]["value"] == pytest.approx(399 / 599)
    assert {each["metric_name"] for each in found["constraint_violations"]["violations"]} >= {"accuracy"}
    assert found["summary"]["counts"]["mismatched"] == 1


def test_too_few_rows_are_reported(run: Run) -> None:
    """No metric of the model is published."""
    found = run(*asked(labelled(100, 9.0)), evaluation(REGRESSION, labelled(1000, 0.1)))
    assert found["summary"]["message"].startswith("Completed: Nothing was compared: 100 rows are too few")
    assert found["constraint_violations"] == {"violations": []}
    assert [(each["MetricName"], each["Value"]) for each in found["0"]] == [
        ("unusable_ground_truth_share", 0.0)
    ]


def test_thresholds_may_be_a_persons(run: Run, tmp_path: Path) -> None:
    """A file of constraints in AWS's form takes the place of those that the evaluation suggests."""
    baseline = evaluation(REGRESSION, labelled(1000, 0.1))
    path = tmp_path / "constraints.json"
    constraint = {"threshold": 100.0, "comparison_operator": "GreaterThanThreshold"}
    path.write_text(
        json.dumps({"version": 0.0, "regression_constraints": {"mae": constraint, "other": constraint}})
    )
    found = run(*asked(labelled(600, 9.0)), baseline, baseline_constraints=str(path))
    assert found["constraint_violations"] == {"violations": []}
    assert found["summary"]["not_compared"] == ["other"]


@pytest.mark.parametrize(
    ("constraints", "reason"),
    [
        ({}, r"has no regression_constraints"),
        ({"regression_constraints": {"mae": {"threshold": 1}}}, "is not a file of constraints"),
        (
            {"regression_constraints": {"mae": {"threshold": 1, "comparison_operator": "Above"}}},
            "mae must be GreaterThanThreshold or LessThanThreshold",
        ),
    ],
)
def test_unusable_thresholds_are_refused(
    run: Run, tmp_path: Path, constraints: dict[str, Any], reason: str
) -> None:
    """The error names the file and the metric."""
    path = tmp_path / "constraints.json"
    path.write_text(json.dumps(constraints))
    with pytest.raises(UserError, match=reason):
        run([], [], evaluation(REGRESSION, labelled(300, 0.1)), baseline_constraints=str(path))


@pytest.mark.parametrize("baseline", [{}, {"binary_classification_metrics": {}}])
def test_baseline_without_metrics_is_refused(run: Run, baseline: dict[str, Any]) -> None:
    """The statistics of the data are not an evaluation."""
    with pytest.raises(UserError, match=r"evaluation\.json"):
        run([], [], baseline)


def test_several_instances_are_refused(run: Run, tmp_path: Path) -> None:
    """A prediction and its ground truth could be on two of them."""
    (tmp_path / "config").mkdir()
    hosts = {"current_host": "algo-1", "hosts": ["algo-1", "algo-2"]}
    (tmp_path / "config" / "resourceconfig.json").write_text(json.dumps(hosts))
    with pytest.raises(UsageError, match="by one instance"):
        run([], [], evaluation(REGRESSION, labelled(300, 0.1)))
