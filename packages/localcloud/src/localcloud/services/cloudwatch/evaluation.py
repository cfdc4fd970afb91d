"""The state of an alarm by its data points, with CloudWatch's rules for missing and for few data points."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from localcloud.core.service import Json

OK, ALARM, INSUFFICIENT = "OK", "ALARM", "INSUFFICIENT_DATA"
# AWS's evaluation range is longer than the evaluation periods; AWS does not say by how much, its examples
# have two more.
MORE_PERIODS = 2
PERCENTILE = re.compile(r"p(\d{1,2}(?:\.\d+)?|100)")
COMPARISONS = {
    "GreaterThanOrEqualToThreshold": lambda value, threshold: value >= threshold,
    "GreaterThanThreshold": lambda value, threshold: value > threshold,
    "LessThanThreshold": lambda value, threshold: value < threshold,
    "LessThanOrEqualToThreshold": lambda value, threshold: value <= threshold,
}


@dataclass(frozen=True)
class Sample:
    """Stored values: one value with its count, or the count, sum and bounds of several."""

    count: float
    total: float
    low: float
    high: float


@dataclass(frozen=True)
class Datapoint:
    """The statistic of one period; `few` when there are too few samples for the percentile."""

    value: float
    few: bool = False


@dataclass(frozen=True)
class Rule:
    """The rule of an alarm: which data points put it into ALARM."""

    statistic: str
    comparison: str
    threshold: float
    periods: int
    needed: int
    missing: str
    ignore_few: bool

    @classmethod
    def of(cls, alarm: Json) -> Rule:
        """Read the rule of an alarm as PutMetricAlarm keeps it."""
        periods = int(alarm.get("EvaluationPeriods") or 1)
        return cls(
            statistic=str(alarm.get("ExtendedStatistic") or alarm.get("Statistic") or "Average"),
            comparison=str(alarm["ComparisonOperator"]),
            threshold=float(alarm.get("Threshold") or 0.0),
            periods=periods,
            needed=int(alarm.get("DatapointsToAlarm") or periods),
            missing=str(alarm.get("TreatMissingData") or "missing"),
            ignore_few=alarm.get("EvaluateLowSampleCountPercentile") == "ignore",
        )

    @property
    def evaluation_range(self) -> int:
        """The number of periods whose data points count."""
        return self.periods + MORE_PERIODS

    def breaches(self, point: Datapoint) -> bool:
        """Whether a data point is beyond the threshold."""
        return bool(COMPARISONS[self.comparison](point.value, self.threshold))

    def datapoint(self, samples: Sequence[Sample]) -> Datapoint | None:
        """Return the statistic of one period's samples, or None without any."""
        samples = [sample for sample in samples if sample.count > 0]
        if not samples:
            return None
        match = PERCENTILE.fullmatch(self.statistic)
        if not match:
            return Datapoint(_statistic(self.statistic, samples))
        share = float(match[1]) / 100
        return Datapoint(percentile(samples, share), few=self.ignore_few and _too_few(samples, share))

    def state(self, points: Sequence[Datapoint | None], present: str) -> str:
        """Return the state by the data points, newest first; `present` is the state until now."""
        existing = [point for point in points if point is not None][: self.periods]
        if any(point.few for point in existing):
            return present
        if not existing:
            return {"notBreaching": OK, "breaching": ALARM, "ignore": present}.get(self.missing, INSUFFICIENT)
        lacking = self.periods - len(existing)
        breaching = sum(map(self.breaches, existing))
        if breaching + (lacking if self.missing == "breaching" else 0) >= self.needed:
            return ALARM
        if lacking and breaching == len(existing):
            # The missing data points would decide.
            return {"missing": ALARM, "ignore": present}.get(self.missing, OK)
        return OK


def _statistic(name: str, samples: Sequence[Sample]) -> float:
    """Return one of the plain statistics."""
    count = sum(sample.count for sample in samples)
    match name:
        case "SampleCount":
            return count
        case "Sum":
            return sum(sample.total for sample in samples)
        case "Minimum":
            return min(sample.low for sample in samples)
        case "Maximum":
            return max(sample.high for sample in samples)
        case _:
            return sum(sample.total for sample in samples) / count


def percentile(samples: Sequence[Sample], share: float) -> float:
    """Return the value that the share of all samples does not exceed (nearest rank)."""
    ordered = sorted(samples, key=lambda sample: sample.high)
    rank: float = math.ceil(share * sum(sample.count for sample in ordered))
    for sample in ordered:
        rank -= sample.count
        if rank <= 0:
            return sample.high
    return ordered[-1].high


def _too_few(samples: Sequence[Sample], share: float) -> bool:
    """Whether the samples are too few for a percentile: fewer than 10 beyond it, on the smaller side."""
    rest = 1 - share if share >= 0.5 else share  # noqa: PLR2004 - the median
    return rest <= 0 or sum(sample.count for sample in samples) < 10 / rest - 1e-9


def reason(rule: Rule, points: Sequence[Datapoint | None], state: str) -> str:
    """Return the reason of an alarm's state, in CloudWatch's words."""
    existing = [point for point in points if point is not None][: rule.periods]
    if not existing:
        if state == INSUFFICIENT:
            return f"Insufficient Data: {rule.periods} datapoints were unknown."
        treated = "Breaching" if state == ALARM else "NonBreaching"
        return (
            f"Threshold Crossed: no datapoints were received for {rule.periods} period(s) and "
            f"{rule.periods} missing datapoint(s) were treated as [{treated}]."
        )
    shown = ", ".join(f"{point.value:g}" for point in existing)
    was = "was" if state == ALARM else "was not"
    words = re.sub(r"(?<!^)([A-Z])", r" \1", rule.comparison.removesuffix("Threshold")).lower()
    compared = f"{was} {words} the threshold ({rule.threshold:g})"
    return f"Threshold Crossed: {len(existing)} datapoint(s) [{shown}] {compared}."


def sample(point: Mapping[str, Any]) -> Sample:
    """Read a value as ministack stores it."""
    if (stored := point.get("_stat")) is not None:
        members = ("SampleCount", "Sum", "Minimum", "Maximum")
        return Sample(*(float(stored.get(member, 0.0)) for member in members))
    count, value = float(point.get("Count", 1.0)), float(point["Value"])
    return Sample(count, count * value, value, value)
