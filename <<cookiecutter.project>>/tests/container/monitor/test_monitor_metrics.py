"""Metrics have the shape of PutMetricData, and each file is one that a state machine can pass on."""

import json
from pathlib import Path

import polars as pl
import pytest

from container.monitor import metrics
from container.monitor.checks import Comparison
from container.monitor.profile import TableProfile
from container.monitor.settings import MetricDimensions
from tests.container.monitor.captured import baseline_of

WATCHED = MetricDimensions("prd-7", "prd")
DIMENSIONS = [{"Name": "Endpoint", "Value": "prd-7"}, {"Name": "MonitoringSchedule", "Value": "prd"}]


def test_each_column_has_its_numbers_its_completeness_and_its_drift(tmp_path: Path) -> None:
    """Names and dimensions are Model Monitor's; a column that is absent has no values."""
    baseline = baseline_of({"x": ["1", "2"], "c": ["a", "a"], "away": ["1", "1"]}, tmp_path)
    profile = TableProfile(known_texts=baseline.known_texts)
    profile.update(
        pl.DataFrame({"x": ["1", "", "4", "1e200"], "c": ["a", "a", "b", "a"], "extra": ["1"] * 4})
    )
    found = metrics.of_data(profile, Comparison([], {"x": 0.25}), baseline, WATCHED)
    assert [(each["MetricName"], each["Dimensions"]) for each in found] == [
        ("feature_non_null_x", DIMENSIONS),
        ("feature_data_x", DIMENSIONS),
        ("feature_baseline_drift_x", DIMENSIONS),
        ("feature_non_null_c", DIMENSIONS),
        ("feature_non_null_away", DIMENSIONS),
    ]
    assert found[0]["StatisticValues"] == {"SampleCount": 4, "Sum": 3, "Minimum": 0.0, "Maximum": 1.0}
    # CloudWatch refuses numbers beyond 2^360.
    assert found[1]["StatisticValues"] == {
        "SampleCount": 3,
        "Sum": 2.0**360,
        "Minimum": 1.0,
        "Maximum": 2.0**360,
    }
    assert found[2]["Value"] == 0.25
    assert found[4]["StatisticValues"] == {"SampleCount": 4, "Sum": 0, "Minimum": 0.0, "Maximum": 0.0}


@pytest.mark.parametrize("width", [10, 200])
def test_files_are_within_what_cloudwatch_and_a_state_take(width: int, tmp_path: Path) -> None:
    """A file has a thousand metrics, and fewer when their names are long."""
    many: list[metrics.Metric] = [
        {"MetricName": f"{n:0{width}}é", "Value": n / 7, "Dimensions": DIMENSIONS} for n in range(3000)
    ]
    names = metrics.publish(many, tmp_path, None, "")
    read = [json.loads((tmp_path / name).read_text(encoding="utf-8")) for name in names]
    assert [metric for chunk in read for metric in chunk] == many
    assert all(len(chunk) <= 1000 for chunk in read)
    assert all((tmp_path / name).stat().st_size < 200_000 for name in names)
    assert not (tmp_path / "cloudwatch_metrics.jsonl").exists()


def test_sagemaker_is_handed_a_metric_a_line_with_the_windows_end(tmp_path: Path) -> None:
    """SageMaker publishes them itself."""
    given: list[metrics.Metric] = [{"MetricName": "m", "Value": 1.0, "Dimensions": DIMENSIONS}] * 2
    metrics.publish(given, tmp_path, tmp_path / "cloudwatch", "2026-01-31T15:00:00")
    lines = (tmp_path / "cloudwatch" / "cloudwatch_metrics.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == [
        {**each, "Timestamp": "2026-01-31T15:00:00Z"} for each in given
    ]


def test_nothing_is_published_where_nothing_is_known(tmp_path: Path) -> None:
    """Missing data does not alarm."""
    assert metrics.publish([], tmp_path, tmp_path / "cloudwatch", "") == []
    assert list(tmp_path.iterdir()) == []


def test_names_that_cloudwatch_refuses_are_left_out() -> None:
    """One column's name must not keep the others from being published."""
    assert metrics.of_quality({"m" * 256: 1.0, "mae": 2.0}, MetricDimensions("e")) == [
        {
            "MetricName": "mae",
            "Value": 2.0,
            "Dimensions": [{"Name": "Endpoint", "Value": "e"}],
        }
    ]
