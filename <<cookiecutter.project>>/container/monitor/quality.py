"""Model quality: metrics of captured predictions and their ground truth, compared with the evaluation's."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from container.data.metrics import ERRORS
from container.data.schema import Schema, Target
from container.evaluation import quality as evaluation
from container.monitor import baseline_file, metrics, report, unusable
from container.monitor.files import Document, write
from container.monitor.ground_truth import Pairs, join
from container.monitor.report import Outcome
from container.monitor.settings import Settings
from container.monitor.unusable import UnusableShare
from container.runtime.errors import UsageError, UserError
from container.runtime.paths import ResourceConfig

_CONSTRAINTS = {
    "regression_metrics": "regression_constraints",
    "binary_classification_metrics": "binary_classification_constraints",
    "multiclass_classification_metrics": "multiclass_classification_constraints",
}
_TASKS = {section: task for task, section in evaluation.SECTIONS.items()}
_GREATER, _LESS = "GreaterThanThreshold", "LessThanThreshold"
# Metrics that the analyzer does not have, and that get no suggested constraint: explained_variance repeats
# r2, and a few rows decide mape (labels near 0) and log_loss (a wrong certainty).
_UNCONSTRAINED = ("explained_variance", "mape", "log_loss")
_PROBABILITY_METRICS = (
    "auc",
    "log_loss",
    "receiver_operating_characteristic_curve",
    "precision_recall_curve",
)
# The standard deviation over four fifths of the rows, drawn without replacement, is half the standard error
# of all: sqrt((1 - 4/5) / (4/5)). Chance explains three standard errors.
_ERRORS_OF_DEVIATION = 2.0
_ERRORS_ALLOWED = 3.0


@dataclass(frozen=True)
class Violation:
    """Hold which metric breaks its constraint, in the form of AWS's analyzer."""

    constraint_check_type: str
    description: str
    metric_name: str


@dataclass(frozen=True)
class Threshold:
    """Hold a value that a metric must not be greater, or less, than."""

    metric: str
    operator: str
    value: float


@dataclass(frozen=True)
class QualityBaseline:
    """Hold the task, and the section of the baseline's file that has the metrics, with its content."""

    target: Target
    section: str
    statistics: dict[str, Any]

    @classmethod
    def from_document(cls, content: Document, name: str) -> "QualityBaseline":
        """Take an evaluation.json, or the statistics.json of AWS's analyzer; `name` names it in errors.

        Raises:
            UserError: it does not have metrics of a model, or the names of the classes.
        """
        section = next((section for section in _TASKS if isinstance(content.get(section), dict)), None)
        if section is None:
            raise UserError(f"{name} has none of {', '.join(_TASKS)}: give the evaluation.json of the model")
        statistics = content[section]
        task = _TASKS[section]
        if "schema" in content:
            return cls(Schema.from_json(content["schema"]).target, section, statistics)
        classes = None if task == "regression" else tuple(map(str, statistics.get("confusion_matrix", {})))
        if classes is not None and len(classes) < 2:  # noqa: PLR2004 - one class needs no model
            raise UserError(f"{name} has no confusion_matrix, which names the classes")
        return cls(Target("", task, classes), section, statistics)  # type: ignore[arg-type]


def run(settings: Settings, resources: ResourceConfig) -> str:
    """Compare a model's quality with its baseline; write the files; return the outcome in one line.

    Raises:
        UsageError: the job has several instances, or no baseline or ground truth.
        UserError: a file of the baseline can't be used.
    """
    if len(resources.hosts) > 1:
        raise UsageError("a model's quality is compared by one instance: predictions and truth must meet")
    if settings.statistics is None or settings.ground_truth is None:
        raise UsageError("a model's quality needs baseline_statistics and ground_truth_source")
    document = baseline_file.document(settings.statistics)
    baseline = QualityBaseline.from_document(document, settings.statistics.name)
    constraints = baseline_file.document(settings.constraints) if settings.constraints else suggest(baseline)
    name = settings.constraints.name if settings.constraints else ""
    thresholds = thresholds_of(constraints, baseline, name)
    pairs, counts, truth = join(settings.source, settings.ground_truth, settings.window, baseline.target)
    rows = len(pairs.labels)
    measured = measure(pairs, baseline.target) if rows else {}
    statistics = {"version": 0.0, "dataset": {"item_count": rows}, baseline.section: measured}
    write(settings.output / "statistics.json", statistics)
    write(settings.output / "constraints.json", constraints)
    is_compared = rows >= settings.minimum
    violations = list(check(measured, thresholds, baseline)) if is_compared else []
    lost = unusable.of_ground_truth(counts, truth, settings.minimum)
    if lost and lost.share > settings.max_unusable:
        text = lost.description(settings.max_unusable)
        violations.insert(0, Violation("unusable_ground_truth_check", text, lost.metric))
    names = _publish(measured if is_compared else {}, lost, settings)
    unmeasured = [
        each.metric for each in thresholds if is_compared and not _is_measured(measured, each.metric)
    ]
    counts.corrupt += truth.corrupt
    counts.other_files += truth.other_files
    counts.hidden_files += truth.hidden_files
    outcome = Outcome(rows, is_compared, violations, counts, names, settings.minimum, unmeasured)
    report.write_outcome(settings.output, outcome)
    return outcome.message


def measure(pairs: Pairs, target: Target) -> dict[str, Any]:
    """Return the metrics with their standard deviations, by the names that evaluation.json has."""
    document = evaluation.quality(pairs.labels, pairs.predicted, target)
    section: dict[str, Any] = document[evaluation.SECTIONS[target.task]]
    if pairs.complete:
        return section
    return {name: metric for name, metric in section.items() if name not in _PROBABILITY_METRICS}


def suggest(baseline: QualityBaseline) -> Document:
    """Return constraints in AWS's form: every metric of the analyzer stays as good as the baseline's."""
    constrained = {
        name: metric
        for name, metric in baseline.statistics.items()
        if "value" in metric and name not in _UNCONSTRAINED
    }
    return {
        "version": 0.0,
        _CONSTRAINTS[baseline.section]: {
            name: {
                "threshold": metric["value"],
                "comparison_operator": _GREATER if name in ERRORS else _LESS,
            }
            for name, metric in constrained.items()
        },
    }


def check(
    measured: dict[str, Any], thresholds: list[Threshold], baseline: QualityBaseline
) -> Iterator[Violation]:
    """Compare metrics with thresholds; a difference that chance explains, by both spreads, passes."""
    for threshold in thresholds:
        if not _is_measured(measured, threshold.metric):
            continue
        metric = measured[threshold.metric]
        value, deviation = float(metric["value"]), float(metric["standard_deviation"])
        expected = baseline.statistics.get(threshold.metric, {}).get("standard_deviation", math.nan)
        excess = (value - threshold.value) * (1 if threshold.operator == _GREATER else -1)
        if excess > _allowed(deviation, float(expected)):
            spread = "NaN" if math.isnan(deviation) else repr(deviation)
            text = f"with {value!r} +/- {spread} was {threshold.operator} '{threshold.value!r}'"
            yield Violation(threshold.operator, f"Metric {threshold.metric} {text}", threshold.metric)


def thresholds_of(constraints: Document, baseline: QualityBaseline, name: str) -> list[Threshold]:
    """Read the thresholds of constraints in AWS's form; `name` names their file in errors.

    Raises:
        UserError: the constraints of the task are missing, or one is not a threshold.
    """
    section = constraints.get(_CONSTRAINTS[baseline.section])
    if not isinstance(section, dict):
        raise UserError(f"{name} has no {_CONSTRAINTS[baseline.section]}, which the model's task needs")
    try:
        thresholds = [
            Threshold(metric, str(constraint["comparison_operator"]), float(constraint["threshold"]))
            for metric, constraint in section.items()
        ]
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{name} is not a file of constraints: {error}") from error
    for threshold in thresholds:
        if threshold.operator not in {_GREATER, _LESS}:
            raise UserError(f"{name}: {threshold.metric} must be {_GREATER} or {_LESS}")
    return thresholds


def _is_measured(measured: dict[str, Any], name: str) -> bool:
    return math.isfinite(float(measured.get(name, {}).get("value", math.nan)))


def _publish(measured: dict[str, Any], lost: UnusableShare | None, settings: Settings) -> list[str]:
    scores = {name: float(metric["value"]) for name, metric in measured.items() if "value" in metric}
    scores |= {lost.metric: lost.share} if lost else {}
    published = metrics.of_quality(scores, settings.dimensions)
    return metrics.publish(published, settings.output, settings.cloudwatch_output, settings.window.end)


def _allowed(*deviations: float) -> float:
    """Return the difference that chance explains, for the standard deviations that are known."""
    errors = [_ERRORS_OF_DEVIATION * deviation for deviation in deviations if math.isfinite(deviation)]
    return _ERRORS_ALLOWED * math.hypot(*errors)
