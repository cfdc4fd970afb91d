"""What CloudWatch is told of a comparison, in the shape of PutMetricData, under the names of Model Monitor.

`metrics/0.json` and so on are arrays that a state machine reads and publishes, each within what it can hold;
they have no time, so that what is published counts now. For AWS's MonitoringSchedule the same goes, with the
end of the window as its time, to where SageMaker looks for it.
"""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from container.monitor.baseline_file import Reference
from container.monitor.checks import Finding
from container.monitor.files import write_text
from container.monitor.profile import ColumnProfile, TableProfile
from container.monitor.settings import Watched

_FILE = "cloudwatch_metrics.jsonl"
_MOST, _BYTES = 1000, 180_000  # of PutMetricData at a time, and of what a state machine passes on
_NAME = 255
_RANGE = 2.0**360  # CloudWatch refuses greater numbers

Metric = dict[str, Any]


def of_data(profile: TableProfile, finding: Finding, reference: Reference, watched: Watched) -> list[Metric]:
    """Return the metrics of each column of the baseline: its numbers, its completeness and its drift."""
    found: list[Metric] = []
    for name, expectation in reference.expectations.items():
        column = profile.columns.get(name) or ColumnProfile(name, missing=profile.rows)
        if not expectation.config.emit:
            continue
        found.append({"MetricName": f"feature_non_null_{name}", "StatisticValues": _presence(column)})
        if column.moments.count:
            found.append({"MetricName": f"feature_data_{name}", "StatisticValues": _numbers(column)})
        if name in finding.drift:
            found.append({"MetricName": f"feature_baseline_drift_{name}", "Value": finding.drift[name]})
    return _published(found, watched)


def of_quality(values: dict[str, float], watched: Watched) -> list[Metric]:
    """Return a metric for each of a model's."""
    return _published([{"MetricName": name, "Value": value} for name, value in values.items()], watched)


def publish(metrics: list[Metric], output: Path, handed_over: Path | None, time: str) -> list[str]:
    """Write what a state machine publishes, and what SageMaker takes where it does; return the files' names.

    `time` is that of the window's end, to the second and in UTC; without one it is now.
    """
    names = []
    for number, chunk in enumerate(_chunks(metrics)):
        names.append(f"metrics/{number}.json")
        write_text(output / names[-1], f"[{','.join(chunk)}]\n")
    if handed_over and metrics:
        moment = f"{time or datetime.now(UTC).strftime('%Y-%m-%dT%H:%M:%S')}Z"
        lines = (json.dumps({**metric, "Timestamp": moment}, ensure_ascii=False) for metric in metrics)
        write_text(handed_over / _FILE, "".join(f"{line}\n" for line in lines))
    return names


def _published(metrics: list[Metric], watched: Watched) -> list[Metric]:
    fitting = (metric for metric in metrics if len(metric["MetricName"]) <= _NAME)
    named = {"Endpoint": watched.endpoint, "MonitoringSchedule": watched.schedule}
    dimensions = [{"Name": name, "Value": value} for name, value in named.items() if value]
    return [{**metric, "Dimensions": dimensions} for metric in fitting]


def _presence(column: ColumnProfile) -> dict[str, float]:
    """Return one for each value and zero for each that is missing: their average is the completeness."""
    return {
        "SampleCount": column.present + column.missing,
        "Sum": column.present,
        "Minimum": float(not column.missing),
        "Maximum": float(column.present > 0),
    }


def _numbers(column: ColumnProfile) -> dict[str, float]:
    numbers = {"Sum": column.moments.sum, "Minimum": column.minimum, "Maximum": column.maximum}
    held = {name: min(max(number, -_RANGE), _RANGE) for name, number in numbers.items()}
    return {"SampleCount": column.moments.count, **held}


def _chunks(metrics: list[Metric]) -> Iterator[list[str]]:
    chunk: list[str] = []
    size = 0
    for text in (json.dumps(metric, ensure_ascii=False) for metric in metrics):
        if chunk and (len(chunk) == _MOST or size + len(text.encode()) > _BYTES):
            yield chunk
            chunk, size = [], 0
        chunk.append(text)
        size += len(text.encode()) + 1
    if chunk:
        yield chunk
