"""A model's quality: captured predictions against ground truth, and that against the model's evaluation."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from container.data.metrics import ERRORS
from container.data.schema import Target
from container.evaluation import quality as evaluation
from container.monitor import baseline_file, metrics, report
from container.monitor.capture import Counts
from container.monitor.files import Document, write
from container.monitor.ground_truth import Pairs, join
from container.monitor.report import Outcome
from container.monitor.settings import Settings
from container.runtime.errors import UsageError, UserError
from container.runtime.paths import ResourceConfig

_CONSTRAINTS = {
    "regression_metrics": "regression_constraints",
    "binary_classification_metrics": "binary_classification_constraints",
    "multiclass_classification_metrics": "multiclass_classification_constraints",
}
_TASKS = {section: task for task, section in evaluation.SECTIONS.items()}
_GREATER, _LESS = "GreaterThanThreshold", "LessThanThreshold"
# Which the analyzer has not: r2 tells of the first, and few rows decide the others, by labels near 0 or by a
# certainty that was wrong.
_NOT_WATCHED = ("explained_variance", "mape", "log_loss")
_OF_PROBABILITIES = (
    "auc",
    "log_loss",
    "receiver_operating_characteristic_curve",
    "precision_recall_curve",
)
# The standard deviation of four fifths of the rows is half the standard error of all; three errors are no
# chance.
_ERRORS_OF_DEVIATION = 2.0
_ERRORS_ALLOWED = 3.0


@dataclass(frozen=True)
class Violation:
    """Hold which metric is worse than it may be, in the form of AWS's analyzer."""

    constraint_check_type: str
    description: str
    metric_name: str


@dataclass(frozen=True)
class Threshold:
    """Hold what a metric may not be: greater, or less, than a value."""

    metric: str
    operator: str
    value: float


@dataclass(frozen=True)
class Baseline:
    """Hold the task, the section of the files that has its metrics, and these."""

    target: Target
    section: str
    statistics: dict[str, Any]

    @classmethod
    def of(cls, content: Document, name: str) -> "Baseline":
        """Take an evaluation.json, or the statistics.json of AWS's analyzer; refuse what has no metrics."""
        section = next((section for section in _TASKS if isinstance(content.get(section), dict)), None)
        if section is None:
            raise UserError(f"{name} has none of {', '.join(_TASKS)}: give the evaluation.json of the model")
        statistics = content[section]
        task = _TASKS[section]
        classes = None if task == "regression" else tuple(map(str, statistics.get("confusion_matrix", {})))
        if classes is not None and len(classes) < 2:  # noqa: PLR2004
            raise UserError(f"{name} has no confusion_matrix, which names the classes")
        return cls(Target("", task, classes), section, statistics)  # type: ignore[arg-type]


def run(settings: Settings, resources: ResourceConfig) -> str:
    """Compare; write the files; return the outcome in one line."""
    if len(resources.hosts) > 1:
        raise UsageError("a model's quality is compared by one instance: predictions and truth must meet")
    if settings.statistics is None or settings.truth is None:
        raise UsageError("a model's quality needs baseline_statistics and ground_truth_source")
    baseline = Baseline.of(baseline_file.document(settings.statistics), settings.statistics.name)
    constraints = baseline_file.document(settings.constraints) if settings.constraints else suggest(baseline)
    thresholds = thresholds_of(
        constraints, baseline, settings.constraints.name if settings.constraints else ""
    )
    counts = Counts()
    pairs = join(settings.source, settings.truth, settings.window, baseline.target, counts)
    rows = len(pairs.labels)
    compared = rows >= settings.minimum
    found = measure(pairs, baseline.target) if rows else {}
    statistics = {"version": 0.0, "dataset": {"item_count": rows}, baseline.section: found}
    write(settings.output / "statistics.json", statistics)
    write(settings.output / "constraints.json", constraints)
    scores = {name: float(metric["value"]) for name, metric in found.items() if "value" in metric}
    published = metrics.of_quality(scores, settings.watched) if compared else []
    names = metrics.publish(published, settings.output, settings.handed_over, settings.window.end)
    violations = list(check(found, thresholds, baseline)) if compared else []
    outcome = Outcome(rows, compared, violations, counts, names, settings.minimum)
    report.write_outcome(settings.output, outcome)
    return outcome.message


def measure(pairs: Pairs, target: Target) -> dict[str, Any]:
    """Return the metrics with their standard deviations, by the names that evaluation.json has."""
    document = evaluation.quality(pairs.labels, pairs.predicted, target)
    found: dict[str, Any] = document[evaluation.SECTIONS[target.task]]
    return found if pairs.complete else {name: found[name] for name in found if name not in _OF_PROBABILITIES}


def suggest(baseline: Baseline) -> Document:
    """Return constraints in AWS's form: every metric of the analyzer stays as good as the baseline's."""
    named = {
        name: metric
        for name, metric in baseline.statistics.items()
        if "value" in metric and name not in _NOT_WATCHED
    }
    return {
        "version": 0.0,
        _CONSTRAINTS[baseline.section]: {
            name: {
                "threshold": metric["value"],
                "comparison_operator": _GREATER if name in ERRORS else _LESS,
            }
            for name, metric in named.items()
        },
    }


def check(found: dict[str, Any], thresholds: list[Threshold], baseline: Baseline) -> Iterator[Violation]:
    """Hold metrics to thresholds; what chance explains, in them or in the baseline's, is no violation."""
    for threshold in thresholds:
        metric = found.get(threshold.metric)
        if metric is None or "value" not in metric:
            continue
        value, deviation = float(metric["value"]), float(metric["standard_deviation"])
        theirs = baseline.statistics.get(threshold.metric, {}).get("standard_deviation", math.nan)
        excess = (value - threshold.value) * (1 if threshold.operator == _GREATER else -1)
        if excess > _allowed(deviation, float(theirs)):
            spread = "NaN" if math.isnan(deviation) else repr(deviation)
            told = f"with {value!r} +/- {spread} was {threshold.operator} '{threshold.value!r}'"
            yield Violation(threshold.operator, f"Metric {threshold.metric} {told}", threshold.metric)


def thresholds_of(constraints: Document, baseline: Baseline, name: str) -> list[Threshold]:
    """Read constraints in AWS's form; refuse what has none for this task."""
    section = constraints.get(_CONSTRAINTS[baseline.section])
    if not isinstance(section, dict):
        raise UserError(f"{name} has no {_CONSTRAINTS[baseline.section]}, which the model's task needs")
    try:
        found = [
            Threshold(metric, str(each["comparison_operator"]), float(each["threshold"]))
            for metric, each in section.items()
        ]
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{name} is no file of constraints: {error}") from error
    for threshold in found:
        if threshold.operator not in {_GREATER, _LESS}:
            raise UserError(f"{name}: {threshold.metric} must be {_GREATER} or {_LESS}")
    return found


def _allowed(*deviations: float) -> float:
    known = [_ERRORS_OF_DEVIATION * each for each in deviations if math.isfinite(each)]
    return _ERRORS_ALLOWED * math.hypot(*known)
