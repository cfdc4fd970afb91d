"""Comparison of our baseline with AWS's own analyzer, for the same tables."""

import csv
import dataclasses
import json
import math
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from container.data import metrics
from container.data.schema import Target
from container.evaluation.quality import quality
from container.monitor import command
from container.monitor.files import render
from container.monitor.quality import QualityBaseline, check, suggest, thresholds_of
from container.monitor.settings import Settings
from container.runtime.paths import ResourceConfig

SHARED_DATA = Path(os.environ.get("SHARED_DATA", Path(__file__).resolve().parents[3] / "shared" / "data"))
FIXTURES = SHARED_DATA / "model_monitor" / "aws_pysdk_quality_check"
DATA_QUALITY = FIXTURES / "data_quality"
MODEL_QUALITY = FIXTURES / "model_quality"

# Fields of a later version of the analyzer than the one that wrote the files.
NEWER = {"approximate_num_distinct_values", "completeness"}

Document = dict[str, Any]
Array = np.ndarray[Any, np.dtype[np.float64]]


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Suggest a baseline for the analyzer's table, which has no header."""
    source, output = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("output")
    (source / "baseline.csv").write_bytes((DATA_QUALITY / "baseline_dataset.csv").read_bytes())
    command.run(Settings(source, output, header=False), ResourceConfig(), [])
    return output


def features(document: Document) -> dict[str, Document]:
    return {feature["name"]: feature["numerical_statistics"] for feature in document["features"]}


@pytest.fixture(scope="module")
def statistics(ours: Path) -> Document:
    document: Document = json.loads((ours / "statistics.json").read_text())
    return document


@pytest.fixture(scope="module")
def theirs() -> Document:
    document: Document = json.loads((DATA_QUALITY / "statistics.json").read_text())
    return document


def test_constraints_are_the_analyzers_byte_for_byte(ours: Path) -> None:
    """The file of the bad case differs only in one type that was changed by hand."""
    assert (ours / "constraints.json").read_bytes() == (
        DATA_QUALITY / "good_cases/constraints.json"
    ).read_bytes()


def test_fields_have_the_analyzers_order(statistics: Document, theirs: Document) -> None:
    """The two fields of the newer analyzer are between them."""
    assert list(statistics) == list(theirs)
    for mine, its in zip(statistics["features"], theirs["features"], strict=True):
        assert list(mine) == list(its)
        fields = list(mine["numerical_statistics"])
        assert [field for field in fields if field not in NEWER] == list(its["numerical_statistics"])
        assert set(fields) >= NEWER


def test_exact_statistics_equal_the_analyzers(statistics: Document, theirs: Document) -> None:
    """All digits are equal."""
    assert statistics["version"] == theirs["version"]
    assert statistics["dataset"] == theirs["dataset"]
    for mine, its in zip(statistics["features"], theirs["features"], strict=True):
        assert mine["inferred_type"] == its["inferred_type"]
    for name, its in features(theirs).items():
        mine = features(statistics)[name]
        for field in ("common", "mean", "sum", "min", "max"):
            assert mine[field] == its[field], (name, field)


def test_deviation_equals_the_analyzers_up_to_rounding(statistics: Document, theirs: Document) -> None:
    """The analyzer rounds at each row, in their order; ours is rounded once, so that parts can be merged."""
    for name, its in features(theirs).items():
        difference = abs(features(statistics)[name]["std_dev"] - its["std_dev"])
        assert difference <= 2 * math.ulp(its["std_dev"]), name


def test_distributions_equal_the_analyzers(statistics: Document, theirs: Document) -> None:
    """Buckets with their bounds are equal; the sketch has the same numbers and parameters."""
    for name, its in features(theirs).items():
        mine, its_kll = features(statistics)[name]["distribution"]["kll"], its["distribution"]["kll"]
        assert mine["buckets"] == its_kll["buckets"], name
        assert mine["sketch"]["parameters"] == its_kll["sketch"]["parameters"], name
        assert [sorted(level) for level in mine["sketch"]["data"]] == [
            sorted(level) for level in its_kll["sketch"]["data"]
        ]


def test_table_with_a_header_has_the_analyzers_rows_and_types(tmp_path: Path) -> None:
    """The analyzer left only the number of rows of this table, besides a model's quality."""
    source = tmp_path / "source"
    source.mkdir()
    (source / "baseline.csv").write_bytes((MODEL_QUALITY / "baseline_dataset.csv").read_bytes())
    command.run(Settings(source, tmp_path, header=True), ResourceConfig(), [])
    mine = json.loads((tmp_path / "statistics.json").read_text())
    assert mine["dataset"] == json.loads((MODEL_QUALITY / "statistics.json").read_text())["dataset"]
    types = {feature["name"]: feature["inferred_type"] for feature in mine["features"]}
    assert types == {
        **{f"F{n}": "Integral" for n in range(1, 8)},
        "Label": "Integral",
        "Prediction": "Fractional",
    }


@pytest.mark.parametrize(
    ("case", "expected"),
    [
        ("good_cases", []),
        (
            "bad_cases",
            [
                {
                    "feature_name": "_c5",
                    "constraint_check_type": "data_type_check",
                    "description": "Data type match requirement is not met. Expected data type: String, "
                    "Expected match: 100.0%. Observed: Only 0.0% of data is String.",
                }
            ],
        ),
    ],
)
def test_data_is_compared_with_the_analyzers_own_baseline(
    case: str, expected: list[Document], tmp_path: Path
) -> None:
    """The analyzer's files are read unchanged, and the table is the one of the baseline."""
    source = tmp_path / "source"
    source.mkdir()
    (source / "rows.csv").write_bytes((DATA_QUALITY / "baseline_dataset.csv").read_bytes())
    baseline = DATA_QUALITY / "statistics.json", DATA_QUALITY / case / "constraints.json"
    settings = Settings(source, tmp_path, header=False, statistics=baseline[0], constraints=baseline[1])
    command.run(dataclasses.replace(settings, minimum=100), ResourceConfig(), [])
    violations = json.loads((tmp_path / "constraint_violations.json").read_text())
    assert violations == {"violations": expected}
    published = json.loads((tmp_path / "metrics/0.json").read_text())
    drift = {each["MetricName"]: each["Value"] for each in published if "drift" in each["MetricName"]}
    assert drift == {f"feature_baseline_drift__c{n}": 0.0 for n in range(6)}


@pytest.fixture(scope="module")
def predictions() -> tuple[Array, Array]:
    """Read the labels and the predictions of the analyzer's regression of 0 and 1."""
    with (MODEL_QUALITY / "baseline_dataset.csv").open() as file:
        rows = list(csv.DictReader(file))
    labels, predicted = (np.array([float(row[name]) for row in rows]) for name in ("Label", "Prediction"))
    return labels, predicted


def test_quality_of_a_model_equals_the_analyzers(predictions: tuple[Array, Array]) -> None:
    """All metrics but r2 are equal up to rounding: the analyzer exchanges labels and predictions.

    So the analyzer divides by the variance of the predictions, which gives -3.2; r2 is defined with the
    variance of the labels, which gives -0.34. With exchanged arguments our r2 equals the analyzer's.
    """
    labels, predicted = predictions
    theirs = json.loads((MODEL_QUALITY / "statistics.json").read_text())
    mine = quality(labels, predicted, Target("Label", "regression"))
    assert list(mine) == list(theirs)
    assert mine["dataset"] == theirs["dataset"]
    # mape is undefined for labels of 0, so it is missing.
    assert list(mine["regression_metrics"]) == [*theirs["regression_metrics"], "explained_variance"]
    exchanged = metrics.regression(predicted, labels)
    for name, its in theirs["regression_metrics"].items():
        found = exchanged[name] if name == "r2" else mine["regression_metrics"][name]["value"]
        assert found == pytest.approx(its["value"], rel=1e-15, abs=4 * math.ulp(its["value"])), name
        assert mine["regression_metrics"][name]["standard_deviation"] == its["standard_deviation"]
    assert mine["regression_metrics"]["r2"]["value"] == pytest.approx(
        1 - np.mean((labels - predicted) ** 2) / np.var(labels)
    )


@pytest.fixture(scope="module")
def analyzer_baseline() -> QualityBaseline:
    return QualityBaseline.from_document(
        json.loads((MODEL_QUALITY / "statistics.json").read_text()), "statistics.json"
    )


def test_constraints_of_a_model_are_the_analyzers_byte_for_byte(analyzer_baseline: QualityBaseline) -> None:
    """The constraints are suggested from the analyzer's statistics."""
    assert render(suggest(analyzer_baseline)) == (MODEL_QUALITY / "good_cases/constraints.json").read_text()


@pytest.mark.parametrize(
    ("case", "expected"),
    [
        ("good_cases", []),
        (
            "bad_cases",
            ["Metric mse with 0.33364933609800973 +/- NaN was GreaterThanThreshold '0.03364933609800973'"],
        ),
    ],
)
def test_a_model_is_compared_with_the_analyzers_own_constraints(
    case: str, expected: list[str], analyzer_baseline: QualityBaseline
) -> None:
    """The file of the bad case has a threshold that was changed by hand."""
    constraints = json.loads((MODEL_QUALITY / case / "constraints.json").read_text())
    thresholds = thresholds_of(constraints, analyzer_baseline, "constraints.json")
    assert [
        each.description for each in check(analyzer_baseline.statistics, thresholds, analyzer_baseline)
    ] == expected
