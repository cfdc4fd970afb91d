"""CloudWatch metrics of a comparison, in the shape of PutMetricData, under the names of Model Monitor.

`metrics/0.json` and so on are arrays for a state machine that publishes them, within the limits of both. They
have no timestamp, so that CloudWatch takes the time of publishing. For a MonitoringSchedule of AWS the
same metrics, with the end of the window as their timestamp, are written where SageMaker reads them.
"""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from container.monitor.baseline_file import Baseline
from container.monitor.checks import Comparison
from container.monitor.profile import ColumnProfile, TableProfile
from container.monitor.settings import MetricDimensions
from container.runtime.files import write_atomically

_FILE = "cloudwatch_metrics.jsonl"
_MAX_METRICS = 1000  # of a call of PutMetricData
_MAX_BYTES = 180_000  # of a file: a state of a state machine passes on at most 256 KiB
_MAX_NAME = 255  # characters of a metric's name
_MAX_NUMBER = 2.0**360  # CloudWatch refuses numbers beyond it

Metric = dict[str, Any]


def of_data(
    profile: TableProfile, comparison: Comparison, baseline: Baseline, dimensions: MetricDimensions
) -> list[Metric]:
    """Return the metrics of each column of the baseline: its numbers, its completeness and its drift."""
    metrics: list[Metric] = []
    for name, expectation in baseline.expectations.items():
        column = profile.columns.get(name) or ColumnProfile(name, missing=profile.rows)
        if not expectation.config.emit:
            continue
        metrics.append({"MetricName": f"feature_non_null_{name}", "StatisticValues": _presence(column)})
        if column.moments.count:
            metrics.append({"MetricName": f"feature_data_{name}", "StatisticValues": _numbers(column)})
        if name in comparison.drift:
            metrics.append({"MetricName": f"feature_baseline_drift_{name}", "Value": comparison.drift[name]})
    return _with_dimensions(metrics, dimensions)


def of_quality(scores: dict[str, float], dimensions: MetricDimensions) -> list[Metric]:
    """Return a CloudWatch metric for each score of a model or share of data."""
    metrics = [{"MetricName": name, "Value": value} for name, value in scores.items()]
    return _with_dimensions(metrics, dimensions)


def publish(metrics: list[Metric], output: Path, cloudwatch_output: Path | None, time: str) -> list[str]:
    """Write the files for a state machine, and the one for SageMaker; return the names of the former.

    `cloudwatch_output` is SageMaker's directory, None where SageMaker does not publish metrics. `time` is
    the end of the window, to the second and in UTC; an empty one means now.
    """
    names = []
    for number, chunk in enumerate(_chunks(metrics)):
        names.append(f"metrics/{number}.json")
        write_atomically(output / names[-1], f"[{','.join(chunk)}]\n")
    if cloudwatch_output and metrics:
        moment = f"{time or datetime.now(UTC).strftime('%Y-%m-%dT%H:%M:%S')}Z"
        lines = (json.dumps({**metric, "Timestamp": moment}, ensure_ascii=False) for metric in metrics)
        write_atomically(cloudwatch_output / _FILE, "".join(f"{line}\n" for line in lines))
    return names


def _with_dimensions(metrics: list[Metric], dimensions: MetricDimensions) -> list[Metric]:
    """Return the metrics whose name CloudWatch takes, with the dimensions that are set."""
    accepted = (metric for metric in metrics if len(metric["MetricName"]) <= _MAX_NAME)
    named = {"Endpoint": dimensions.endpoint, "MonitoringSchedule": dimensions.schedule}
    pairs = [{"Name": name, "Value": value} for name, value in named.items() if value]
    return [{**metric, "Dimensions": pairs} for metric in accepted]


def _presence(column: ColumnProfile) -> dict[str, float]:
    """Return statistics of a 1 for each value and a 0 for each missing one, whose average is completeness."""
    return {
        "SampleCount": column.present + column.missing,
        "Sum": column.present,
        "Minimum": float(not column.missing),
        "Maximum": float(column.present > 0),
    }


def _numbers(column: ColumnProfile) -> dict[str, float]:
    numbers = {"Sum": column.moments.sum, "Minimum": column.minimum, "Maximum": column.maximum}
    limited = {name: min(max(number, -_MAX_NUMBER), _MAX_NUMBER) for name, number in numbers.items()}
    return {"SampleCount": column.moments.count, **limited}


def _chunks(metrics: list[Metric]) -> Iterator[list[str]]:
    chunk: list[str] = []
    size = 0
    for text in (json.dumps(metric, ensure_ascii=False) for metric in metrics):
        if chunk and (len(chunk) == _MAX_METRICS or size + len(text.encode()) > _MAX_BYTES):
            yield chunk
            chunk, size = [], 0
        chunk.append(text)
        size += len(text.encode()) + 1
    if chunk:
        yield chunk
