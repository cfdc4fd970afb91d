"""What the monitor is asked for, by its environment: Model Monitor's contract for a container of one's own.

    dataset_source              directory of the data
    dataset_format              {"csv": {"header": true}}, or {"sagemakerCaptureJson": {}}: captured requests
    output_path                 directory of the results
    baseline_statistics         the baseline's statistics.json; without a baseline one is suggested
    baseline_constraints        the baseline's constraints.json
    start_time, end_time        captured requests outside of this time are left out; without them none is
    publish_cloudwatch_metrics  Enabled under a MonitoringSchedule, which publishes them; Disabled otherwise
    sagemaker_endpoint_name, sagemaker_monitoring_schedule_name     the dimensions of the metrics

What Model Monitor does not know:

    analysis_type               DATA_QUALITY, or MODEL_QUALITY: predictions against ground truth, where
                                baseline_statistics is the evaluation.json of the model
    ground_truth_source         directory of ground truth, as SageMaker takes it
    comparison_threshold        distance, from 0 to 1, beyond which something has drifted; a baseline keeps it
    minimum_records             rows below which nothing is compared, since chance alone would look like drift
    partial_source              directory with what several instances left: it is merged, and no data is read
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from container.monitor.capture import Window
from container.runtime.errors import UsageError
from container.runtime.paths import ContainerPaths

_INPUT = "/opt/ml/processing/input"
_SOURCE = f"{_INPUT}/baseline_dataset_input"
_TRUTH = f"{_INPUT}/ground_truth"
_OUTPUT = "/opt/ml/processing/output"
_FORMAT = '{"csv": {"header": true}}'
_CAPTURE = "sagemakerCaptureJson"
_MINIMUM = 500
THRESHOLD = 0.1  # the analyzer's
_ANALYSES = ("DATA_QUALITY", "MODEL_QUALITY")


@dataclass(frozen=True)
class Watched:
    """Hold what watches what: the dimensions of every metric."""

    endpoint: str = ""
    schedule: str = ""


@dataclass(frozen=True)
class Settings:
    """Hold where the data, the baseline and the results are, and what is asked for."""

    source: Path
    output: Path
    header: bool = True
    captured: bool = False
    statistics: Path | None = None
    constraints: Path | None = None
    window: Window = field(default_factory=Window)
    watched: Watched = field(default_factory=Watched)
    handed_over: Path | None = None  # where SageMaker takes metrics from, when it publishes them
    minimum: int = _MINIMUM
    threshold: float = THRESHOLD
    partials: Path | None = None
    truth: Path | None = None  # of a model's quality

    @property
    def is_shared(self) -> bool:
        """Tell whether there are captured requests to profile, which several processes can do."""
        return self.captured and not self.partials and not self.truth


def read(environment: Mapping[str, str], layout: ContainerPaths) -> Settings:
    """Read the environment; refuse what can't be done."""
    statistics, constraints = _baseline(environment, layout)
    captured, header = _format(environment.get("dataset_format", _FORMAT))
    partials = environment.get("partial_source")
    settings = Settings(
        source=layout.rebase(environment.get("dataset_source", _SOURCE)),
        output=layout.rebase(environment.get("output_path", _OUTPUT)),
        header=header,
        captured=captured,
        statistics=statistics,
        constraints=constraints,
        window=Window(_time(environment, "start_time"), _time(environment, "end_time")),
        watched=Watched(
            environment.get("sagemaker_endpoint_name", ""),
            environment.get("sagemaker_monitoring_schedule_name", ""),
        ),
        handed_over=layout.metrics if _publishes(environment) else None,
        threshold=_threshold(environment.get("comparison_threshold", str(THRESHOLD))),
        minimum=_minimum(environment.get("minimum_records", str(_MINIMUM))),
        partials=layout.rebase(partials) if partials else None,
        truth=_truth(environment, layout),
    )
    _check(settings)
    return settings


def _check(settings: Settings) -> None:
    if settings.statistics:
        return
    if settings.truth:
        raise UsageError("MODEL_QUALITY needs baseline_statistics: give the model's evaluation.json")
    if settings.captured:
        raise UsageError(
            "captured requests are compared with a baseline: set baseline_statistics and baseline_constraints"
        )
    if settings.handed_over:
        raise UsageError("publish_cloudwatch_metrics must be Disabled: a baseline has no metrics to publish")


def _baseline(environment: Mapping[str, str], layout: ContainerPaths) -> tuple[Path | None, Path | None]:
    statistics, constraints = environment.get("baseline_statistics"), environment.get("baseline_constraints")
    if bool(statistics) != bool(constraints) and environment.get("analysis_type") != "MODEL_QUALITY":
        raise UsageError("baseline_statistics and baseline_constraints belong together: set both or none")
    return (
        layout.rebase(statistics) if statistics else None,
        layout.rebase(constraints) if constraints else None,
    )


def _truth(environment: Mapping[str, str], layout: ContainerPaths) -> Path | None:
    analysis = environment.get("analysis_type", _ANALYSES[0])
    if analysis not in _ANALYSES:
        raise UsageError(f"analysis_type is {analysis}, and must be {' or '.join(_ANALYSES)}")
    if analysis == _ANALYSES[0]:
        return None
    return layout.rebase(environment.get("ground_truth_source", _TRUTH))


def _publishes(environment: Mapping[str, str]) -> bool:
    text = environment.get("publish_cloudwatch_metrics", "Disabled")
    if text not in {"Enabled", "Disabled"}:
        raise UsageError(f"publish_cloudwatch_metrics is {text}, and must be Enabled or Disabled")
    return text == "Enabled"


def _format(text: str) -> tuple[bool, bool]:
    """Return whether the data is captured requests, and whether a table begins with a header."""
    refusal = UsageError(
        f'dataset_format must be {_FORMAT}, with true or false, or {{"{_CAPTURE}": {{}}}}; it is {text}'
    )
    try:
        style: Any = json.loads(text)
    except ValueError:
        raise refusal from None
    if isinstance(style, dict) and _CAPTURE in style:
        return True, False
    options = style.get("csv") if isinstance(style, dict) else None
    header = options.get("header") if isinstance(options, dict) else None
    if not isinstance(header, bool):
        raise refusal
    return False, header


def _time(environment: Mapping[str, str], name: str) -> str:
    """Return a time as far as its second, in UTC, as the records have it before their Z."""
    text = environment.get(name, "").replace(" ", "")
    if not text:
        return ""
    try:
        moment = datetime.fromisoformat(re.sub("Z$", "+00:00", text))
    except ValueError:
        raise UsageError(f"{name} is {text}, and must be a time such as 2026-01-31T14:00:00Z") from None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S")


def _minimum(text: str) -> int:
    if not text.isdecimal() or not int(text):
        raise UsageError(f"minimum_records is {text}, and must be a whole number above 0")
    return int(text)


def _threshold(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise UsageError(f"comparison_threshold is {text}, and must be a number from 0 to 1")
    return value
