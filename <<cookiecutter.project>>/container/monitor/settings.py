"""The settings of a monitoring job, by Model Monitor's contract for a container of one's own.

    dataset_source              directory of the data
    dataset_format              {"csv": {"header": true}}, or {"sagemakerCaptureJson": {}}: captured requests
    output_path                 directory of the results
    baseline_statistics         the baseline's statistics.json; without a baseline one is suggested
    baseline_constraints        the baseline's constraints.json
    start_time, end_time        captured requests outside of this time are left out
    publish_cloudwatch_metrics  Enabled under a MonitoringSchedule, which publishes the metrics, else Disabled
    sagemaker_endpoint_name, sagemaker_monitoring_schedule_name     the dimensions of the metrics

Variables that Model Monitor does not have:

    analysis_type               DATA_QUALITY, or MODEL_QUALITY: predictions against ground truth, where
                                baseline_statistics is the evaluation.json of the model
    ground_truth_source         directory of ground truth, as SageMaker takes it; none with the dataset_format
                                {"sagemakerMergeJson": {}}, whose records have their ground truth
    comparison_threshold        distance, from 0 to 1, above which a column has drifted; a baseline keeps it
    minimum_records             rows below which nothing is compared, since chance would look like drift
    max_unusable                share of the captured data, or of the ground truth, that may be unusable
    partial_source              directory of several instances' partial profiles to merge; no data is read
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

from container.monitor.window import Window
from container.runtime import environment
from container.runtime.environment import Variable
from container.runtime.errors import UsageError
from container.runtime.paths import ContainerPaths

DRIFT_THRESHOLD = 0.1  # the analyzer's
_INPUT = Path("/opt/ml/processing/input")
_GROUND_TRUTH = _INPUT / "ground_truth"
_CSV = '{"csv": {"header": true}}'
_CAPTURE = "sagemakerCaptureJson"
_CAPTURED = {_CAPTURE, "sagemakerMergeJson"}  # the latter has captured requests with their ground truth


def has_header(text: str) -> bool:
    """Tell whether tables of a `dataset_format` begin with a header; captured requests do not.

    Raises:
        ValueError: it is not a format.
    """
    style: Any = json.loads(text)
    if isinstance(style, dict) and _CAPTURED & style.keys():
        return False
    options = style.get("csv") if isinstance(style, dict) else None
    header = options.get("header") if isinstance(options, dict) else None
    if not isinstance(header, bool):
        raise ValueError(text)  # noqa: TRY004 - the reader of settings reports a ValueError
    return header


def is_captured(text: str) -> bool:
    """Tell whether a `dataset_format` is that of captured requests."""
    style = json.loads(text)
    return isinstance(style, dict) and bool(_CAPTURED & style.keys())


_FORMAT_RULE = f'{_CSV}, with true or false, or {{"{_CAPTURE}": {{}}}}'


@dataclass(frozen=True)
class MetricDimensions:
    """Hold the dimensions of every metric in CloudWatch; an empty one is left out."""

    endpoint: Annotated[str, Variable("sagemaker_endpoint_name")] = ""
    schedule: Annotated[str, Variable("sagemaker_monitoring_schedule_name")] = ""


@dataclass(frozen=True)
class Settings:
    """Hold where the data, the baseline and the results are, and how they are compared."""

    source: Annotated[Path, Variable("dataset_source")] = _INPUT / "baseline_dataset_input"
    output: Annotated[Path, Variable("output_path")] = Path("/opt/ml/processing/output")
    header: Annotated[
        bool, Variable("dataset_format", parse=has_header, rule=_FORMAT_RULE, refuse_blank=True)
    ] = True
    captured: Annotated[
        bool, Variable("dataset_format", parse=is_captured, rule=_FORMAT_RULE, refuse_blank=True)
    ] = False
    statistics: Annotated[Path | None, Variable("baseline_statistics")] = None
    constraints: Annotated[Path | None, Variable("baseline_constraints")] = None
    window: Window = field(default_factory=Window)
    dimensions: MetricDimensions = field(default_factory=MetricDimensions)
    publish: Annotated[
        str, Variable("publish_cloudwatch_metrics", choices=("Enabled", "Disabled"), refuse_blank=True)
    ] = "Disabled"
    cloudwatch_output: Path | None = None  # the directory of the metrics that SageMaker publishes
    minimum: Annotated[int, Variable("minimum_records", least=1, refuse_blank=True)] = 500
    max_unusable: Annotated[float, Variable("max_unusable", least=0, most=1, refuse_blank=True)] = 0.05
    drift_threshold: Annotated[
        float, Variable("comparison_threshold", least=0, most=1, refuse_blank=True)
    ] = DRIFT_THRESHOLD
    partial_source: Annotated[Path | None, Variable("partial_source")] = None
    analysis: Annotated[
        str, Variable("analysis_type", choices=("DATA_QUALITY", "MODEL_QUALITY"), refuse_blank=True)
    ] = "DATA_QUALITY"
    ground_truth: Annotated[Path | None, Variable("ground_truth_source")] = None

    @classmethod
    def read(cls, variables: Mapping[str, str], place: ContainerPaths) -> "Settings":
        """Read environment variables; paths below /opt/ml move to the job's base directory.

        Raises:
            UsageError: a variable breaks its rule, or two do not fit together.
        """
        settings = environment.read(cls, variables, UsageError)
        is_quality = settings.analysis == "MODEL_QUALITY"
        ground_truth = (settings.ground_truth or _GROUND_TRUTH) if is_quality else None
        settings = replace(
            settings,
            source=place.rebase(str(settings.source)),
            output=place.rebase(str(settings.output)),
            statistics=_rebase(settings.statistics, place),
            constraints=_rebase(settings.constraints, place),
            partial_source=_rebase(settings.partial_source, place),
            ground_truth=_rebase(ground_truth, place),
            cloudwatch_output=place.metrics if settings.publish == "Enabled" else None,
        )
        _check(settings)
        return settings

    @property
    def is_parallel(self) -> bool:
        """Tell whether there are captured requests to profile, which several processes can do."""
        return self.captured and not self.partial_source and not self.ground_truth


def _rebase(path: Path | None, place: ContainerPaths) -> Path | None:
    return place.rebase(str(path)) if path else None


def _check(settings: Settings) -> None:
    if bool(settings.statistics) != bool(settings.constraints) and not settings.ground_truth:
        raise UsageError("baseline_statistics and baseline_constraints belong together: set both or none")
    if settings.statistics:
        return
    if settings.ground_truth:
        raise UsageError("MODEL_QUALITY needs baseline_statistics: give the model's evaluation.json")
    if settings.captured:
        raise UsageError(
            "captured requests are compared with a baseline: set baseline_statistics and baseline_constraints"
        )
    if settings.cloudwatch_output:
        raise UsageError("publish_cloudwatch_metrics must be Disabled: a baseline has no metrics to publish")
