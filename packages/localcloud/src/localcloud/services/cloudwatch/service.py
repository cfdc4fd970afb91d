"""CloudWatch's alarms as ministack leaves them: by their dimensions, over time, missing data and all."""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING, Any

from localcloud.core import ministack
from localcloud.core.clock import ALARM_EVALUATION, iso, now
from localcloud.core.service import Service
from localcloud.services.cloudwatch import evaluation

if TYPE_CHECKING:
    from collections.abc import Iterator

    from localcloud.core.clock import Clock
    from localcloud.core.context import CloudContext
    from localcloud.core.service import Json

logger = logging.getLogger(__name__)
CLOUDWATCH = "ministack.services.cloudwatch"
LOW_SAMPLES = "EvaluateLowSampleCountPercentile"
# A value is stored a moment after it was measured, so a period counts as over a moment after its end.
LATE = 0.25
# Values are stored about in the order of their times.
DISORDER = 60.0


def service(context: CloudContext) -> Service:
    """Return the service; its operations are ministack's."""
    alarms = Alarms(context)
    return Service(name="cloudwatch", install=alarms.install, close=alarms.close)


class Alarms:
    """All alarms, looked at again and again."""

    def __init__(self, context: CloudContext) -> None:
        """Keep the clock."""
        self._context = context
        self._closing = threading.Event()

    def install(self) -> None:
        """Take the place of ministack's own evaluation."""
        ministack.replace(CLOUDWATCH, "_evaluate_alarm", self.evaluate)
        # ministack would look at all alarms with each metric that comes.
        ministack.replace(CLOUDWATCH, "_evaluate_all_alarms", lambda: None)
        keep_low_sample_setting()
        send_events()
        threading.Thread(target=ministack.in_context(self._keep_looking), daemon=True).start()

    def close(self) -> None:
        """Stop looking."""
        self._closing.set()

    def evaluate(self, alarm: Json) -> None:
        """Bring an alarm into the state that its data points ask for."""
        if not alarm.get("MetricName") or alarm.get("ComparisonOperator") not in evaluation.COMPARISONS:
            return
        rule = evaluation.Rule.of(alarm)
        points = self._datapoints(alarm, rule)
        old, new = alarm["StateValue"], rule.state(points, alarm["StateValue"])
        if new != old:
            enter(alarm, old, new, evaluation.reason(rule, points, new))

    def _datapoints(self, alarm: Json, rule: evaluation.Rule) -> list[evaluation.Datapoint | None]:
        return [rule.datapoint(each) for each in periods(alarm, self._context.clock, rule.looked_at)]

    def _keep_looking(self) -> None:
        with ministack.scope(self._context.region):
            while not self._closing.wait(self._interval()):
                for alarm in list(ministack.name(CLOUDWATCH, "_alarms").values()):
                    try:
                        self.evaluate(alarm)
                    except Exception:
                        logger.exception("the alarm %s can't be evaluated", alarm.get("AlarmName"))

    def _interval(self) -> float:
        return self._context.clock.interval(ALARM_EVALUATION)


def periods(alarm: Json, clock: Clock, count: int) -> list[list[evaluation.Sample]]:
    """Return the samples of the last whole periods of an alarm's metric, newest first."""
    length = clock.seconds(float(alarm.get("Period") or 60))
    last = int((time.time() - min(LATE, length / 2)) / length) - 1
    samples: list[list[evaluation.Sample]] = [[] for _ in range(count)]
    for point in stored(alarm, (last + 1 - count) * length):
        age = last - int(point["Timestamp"] / length)
        if 0 <= age < count:
            samples[age].append(evaluation.sample(point))
    return samples


def stored(alarm: Json, since: float) -> Iterator[Json]:
    """Find the values of an alarm's metric since a time; others' dimensions are other metrics."""
    dimensions = {each["Name"]: each["Value"] for each in alarm.get("Dimensions") or []}
    key = alarm["Namespace"], alarm["MetricName"], ministack.name(CLOUDWATCH, "_dims_key")(dimensions)
    unit = alarm.get("Unit")
    for point in reversed(ministack.name(CLOUDWATCH, "_metrics").get(key) or []):
        if point["Timestamp"] < since - DISORDER:
            return
        if point["Timestamp"] >= since and unit in (None, point["Unit"]):
            yield point


def enter(alarm: Json, old: str, new: str, reason: str) -> None:
    """Put an alarm into a state, and tell everyone."""
    alarm.update(StateValue=new, StateReason=reason, StateUpdatedTimestamp=int(time.time()))
    ministack.name(CLOUDWATCH, "_record_history")(alarm["AlarmName"], old, new, reason)
    ministack.name(CLOUDWATCH, "_dispatch_alarm_actions")(alarm, old, new, reason)
    ministack.name(CLOUDWATCH, "_evaluate_parent_alarms")(alarm)


def keep_low_sample_setting() -> None:
    """Let alarms keep what to do with percentiles of few samples, which ministack drops."""
    record = ministack.name(ministack.PROVISIONERS, "_cw_metric_alarm_record")
    put = ministack.name(CLOUDWATCH, "_put_metric_alarm")

    def recorded(name: str, properties: Json) -> Json:
        made: Json = record(name, properties)
        return made | ({LOW_SAMPLES: properties[LOW_SAMPLES]} if LOW_SAMPLES in properties else {})

    def kept(parameters: Json, given: Json, *more: Any) -> Any:
        answer = put(parameters, given, *more)
        name = given.get("AlarmName") or first(parameters.get("AlarmName"))
        setting = given.get(LOW_SAMPLES) or first(parameters.get(LOW_SAMPLES))
        alarm = ministack.name(CLOUDWATCH, "_alarms").get(name)
        if setting and alarm is not None:
            alarm[LOW_SAMPLES] = setting
        return answer

    ministack.replace(ministack.PROVISIONERS, "_cw_metric_alarm_record", recorded)
    ministack.replace(CLOUDWATCH, "_put_metric_alarm", kept)


def first(values: Any) -> Any:
    """Return a form's first value."""
    return values[0] if isinstance(values, list) and values else values


def send_events() -> None:
    """Send EventBridge's event with each change of a state, whoever changed it."""
    dispatch = ministack.name(CLOUDWATCH, "_dispatch_alarm_actions")

    def dispatched(alarm: Json, old: str, new: str, reason: str) -> None:
        dispatch(alarm, old, new, reason)
        detail = changed(alarm, old, new, reason)
        ministack.put_event("aws.cloudwatch", "CloudWatch Alarm State Change", detail, [alarm["AlarmArn"]])

    ministack.replace(CLOUDWATCH, "_dispatch_alarm_actions", dispatched)


def changed(alarm: Json, old: str, new: str, reason: str) -> Json:
    """Return the detail of the event."""
    at = iso(now()).replace("Z", ".000+0000")
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
