"""CloudWatch of ministack with alarms by their dimensions, over time, with missing data, and with events."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Any

from localcloud.core import ministack
from localcloud.core.clock import ALARM_EVALUATION, iso_milliseconds, now
from localcloud.core.patches import patch, uses
from localcloud.core.service import Service
from localcloud.core.timers import ALWAYS
from localcloud.services.cloudwatch import evaluation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from localcloud.core.clock import Clock
    from localcloud.core.context import CloudContext
    from localcloud.core.service import Json

    Call = Callable[..., Any]

logger = logging.getLogger(__name__)
CLOUDWATCH = "ministack.services.cloudwatch"
_CLOUDWATCH = uses(
    CLOUDWATCH,
    "_alarms",
    "_dims_key",
    "_dispatch_alarm_actions",
    "_evaluate_parent_alarms",
    "_metrics",
    "_record_history",
)
LOW_SAMPLES = "EvaluateLowSampleCountPercentile"
# A value is stored a moment after it was measured, so a period counts as over a moment after its end.
LATE_SECONDS = 0.25
# Values are stored about in the order of their times.
DISORDER_SECONDS = 60.0


def service(context: CloudContext) -> Service:
    """Return the service; its operations are ministack's."""
    alarms = Alarms(context)
    return Service(name="cloudwatch", install=alarms.install)


class Alarms:
    """All alarms, evaluated again and again."""

    def __init__(self, context: CloudContext) -> None:
        """Keep the clock."""
        self._context = context
        self._lock = threading.Lock()

    def install(self) -> None:
        """Replace ministack's own evaluation, and begin to evaluate."""
        _evaluate_alarm.apply(self)
        for each in (_evaluate_all, _record_low_samples, _put_low_samples, _send_event):
            each.apply()
        evaluate = ministack.in_context(self._evaluate_all)
        self._context.timers.every(ALARM_EVALUATION, evaluate, "evaluation of alarms", self._due)

    def evaluate(self, alarm: Json) -> None:
        """Put an alarm into the state of its data points."""
        if not alarm.get("MetricName") or alarm.get("ComparisonOperator") not in evaluation.COMPARISONS:
            return
        rule = evaluation.Rule.of(alarm)
        with (
            self._lock
        ):  # a request that changes the alarm evaluates it too, and one of both enters the state
            points, old = self._datapoints(alarm, rule), alarm["StateValue"]
            new = rule.state(points, old)
            if new == old:
                return
            reason = evaluation.reason(rule, points, new)
            alarm.update(StateValue=new, StateReason=reason, StateUpdatedTimestamp=int(now()))
        with self._context.activities.active():
            _report(alarm, old, new, reason)

    def _datapoints(self, alarm: Json, rule: evaluation.Rule) -> list[evaluation.Datapoint | None]:
        return [rule.datapoint(each) for each in periods(alarm, self._context.clock, rule.evaluation_range)]

    def _due(self) -> float | None:
        return ALWAYS if _CLOUDWATCH["_alarms"] else None

    def _evaluate_all(self) -> None:
        with ministack.scope(self._context.region):
            for alarm in list(_CLOUDWATCH["_alarms"].values()):
                try:
                    self.evaluate(alarm)
                except Exception:
                    logger.exception("the alarm %s can't be evaluated", alarm.get("AlarmName"))


def periods(alarm: Json, clock: Clock, count: int) -> list[list[evaluation.Sample]]:
    """Return the samples of the last whole periods of an alarm's metric, newest first."""
    length = float(alarm.get("Period") or 60)
    last = int((clock.simulated() - min(LATE_SECONDS * clock.speed, length / 2)) / length) - 1
    samples: list[list[evaluation.Sample]] = [[] for _ in range(count)]
    for point in _stored(alarm, clock.to_real((last + 1 - count) * length)):
        age = last - int(clock.to_simulated(point["Timestamp"]) / length)
        if 0 <= age < count:
            samples[age].append(evaluation.sample(point))
    return samples


def _stored(alarm: Json, since: float) -> Iterator[Json]:
    """Find the values of an alarm's metric since a time; others' dimensions are other metrics."""
    dimensions = {each["Name"]: each["Value"] for each in alarm.get("Dimensions") or []}
    key = alarm["Namespace"], alarm["MetricName"], _CLOUDWATCH["_dims_key"](dimensions)
    unit = alarm.get("Unit")
    for point in reversed(_CLOUDWATCH["_metrics"].get(key) or []):
        if point["Timestamp"] < since - DISORDER_SECONDS:
            return
        if point["Timestamp"] >= since and unit in (None, point["Unit"]):
            yield point


def _report(alarm: Json, old: str, new: str, reason: str) -> None:
    """Record the state that an alarm has entered, and start its actions and composite alarms."""
    _CLOUDWATCH["_record_history"](alarm["AlarmName"], old, new, reason)
    _CLOUDWATCH["_dispatch_alarm_actions"](alarm, old, new, reason)
    _CLOUDWATCH["_evaluate_parent_alarms"](alarm)


@patch(
    CLOUDWATCH,
    "_evaluate_alarm",
    version="1.5.33",
    behaviour="an alarm takes values of its metric's name, of any dimensions, as one long period",
    reason="AWS's alarms have dimensions, several periods, percentiles and rules for missing data",
)
def _evaluate_alarm(_original: Call, alarms: Alarms, alarm: Json) -> None:
    alarms.evaluate(alarm)


@patch(
    CLOUDWATCH,
    "_evaluate_all_alarms",
    version="1.5.33",
    behaviour="each metric that comes evaluates all alarms",
    reason="`Alarms` evaluates them in its own time",
)
def _evaluate_all(_original: Call) -> None:
    return None


@patch(
    "ministack.services.cloudformation.provisioners",
    "_cw_metric_alarm_record",
    version="1.5.33",
    behaviour="a template's alarm loses EvaluateLowSampleCountPercentile",
    reason="an alarm on a percentile of few samples must keep its state",
)
def _record_low_samples(original: Call, name: str, properties: Json) -> Json:
    record: Json = original(name, properties)
    return record | ({LOW_SAMPLES: properties[LOW_SAMPLES]} if LOW_SAMPLES in properties else {})


@patch(
    CLOUDWATCH,
    "_put_metric_alarm",
    version="1.5.33",
    behaviour="PutMetricAlarm drops EvaluateLowSampleCountPercentile",
    reason="an alarm on a percentile of few samples must keep its state",
)
def _put_low_samples(original: Call, parameters: Json, data: Json, *more: Any) -> Any:
    answer = original(parameters, data, *more)
    name = data.get("AlarmName") or _first(parameters.get("AlarmName"))
    setting = data.get(LOW_SAMPLES) or _first(parameters.get(LOW_SAMPLES))
    alarm = _CLOUDWATCH["_alarms"].get(name)
    if setting and alarm is not None:
        alarm[LOW_SAMPLES] = setting
    return answer


def _first(values: Any) -> Any:
    """Return a form's first value."""
    return values[0] if isinstance(values, list) and values else values


@patch(
    CLOUDWATCH,
    "_dispatch_alarm_actions",
    version="1.5.33",
    behaviour="a change of an alarm's state sends nothing to EventBridge",
    reason="rules wait for the event `CloudWatch Alarm State Change`",
)
def _send_event(original: Call, alarm: Json, old: str, new: str, reason: str) -> None:
    original(alarm, old, new, reason)
    detail = _detail(alarm, old, new, reason)
    ministack.put_event("aws.cloudwatch", "CloudWatch Alarm State Change", detail, [alarm["AlarmArn"]])


def _detail(alarm: Json, old: str, new: str, reason: str) -> Json:
    """Return the detail of the event."""
    at = iso_milliseconds(now()).replace("Z", "+0000")
    configuration: Json = {"description": alarm.get("AlarmDescription", "")}
    if "MetricName" in alarm:
        metric = {
            "namespace": alarm["Namespace"],
            "name": alarm["MetricName"],
            "dimensions": {each["Name"]: each["Value"] for each in alarm.get("Dimensions") or []},
        }
        statistic = alarm.get("ExtendedStatistic") or alarm.get("Statistic")
        measured = {"metric": metric, "period": alarm.get("Period"), "stat": statistic}
        configuration["metrics"] = [{"id": "m1", "metricStat": measured, "returnData": True}]
    return {
        "alarmName": alarm["AlarmName"],
        "state": {"value": new, "reason": reason, "timestamp": at},
        "previousState": {"value": old, "timestamp": at},
        "configuration": configuration,
    }
