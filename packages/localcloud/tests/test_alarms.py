"""Alarms: what data points say, what missing ones say, and who is told."""

from __future__ import annotations

import json
import time
from importlib import import_module
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

if TYPE_CHECKING:
    from collections.abc import Callable

evaluation: Any = import_module("localcloud.services.cloudwatch.evaluation")
TREATMENTS = ("missing", "ignore", "breaching", "notBreaching")
KEEP = "as it was"


def rule(periods: int, needed: int, missing: str) -> Any:
    return evaluation.Rule("Sum", "GreaterThanThreshold", 0.0, periods, needed, missing, ignore_few=False)


def points(told: str) -> list[Any]:
    """Read a line of AWS's tables, oldest first: 0 within, X beyond, - missing."""
    values = {"0": evaluation.Datapoint(0.0), "X": evaluation.Datapoint(1.0), "-": None}
    return [values[each] for each in reversed(told.split())]


@pytest.mark.parametrize(
    ("needed", "told", "expected"),
    [
        (3, "0 - X - X", ["OK", "OK", "OK", "OK"]),
        (3, "0 - - - -", ["OK", "OK", "OK", "OK"]),
        (3, "- - - - -", ["INSUFFICIENT_DATA", KEEP, "ALARM", "OK"]),
        (3, "0 X X - X", ["ALARM", "ALARM", "ALARM", "ALARM"]),
        (3, "- - X - -", ["ALARM", KEEP, "ALARM", "OK"]),
        (2, "0 - X - X", ["ALARM", "ALARM", "ALARM", "ALARM"]),
        (2, "0 0 X 0 X", ["ALARM", "ALARM", "ALARM", "ALARM"]),
        (2, "0 - X - -", ["OK", "OK", "ALARM", "OK"]),
        (2, "- - - - 0", ["OK", "OK", "ALARM", "OK"]),
        (2, "- - - X -", ["ALARM", KEEP, "ALARM", "OK"]),
    ],
)
def test_missing_data_counts_as_in_awss_tables(needed: int, told: str, expected: list[str]) -> None:
    """Three evaluation periods, five looked at, with every treatment of missing data."""
    assert rule(3, needed, "missing").evaluation_range == 5
    assert [rule(3, needed, each).state(points(told), KEEP) for each in TREATMENTS] == expected


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=60), st.floats(0.01, 1.0))
def test_a_percentile_is_one_of_the_values(values: list[float], share: float) -> None:
    """So many of the values are not above it, however the values were stored."""
    samples = [evaluation.Sample(1, value, value, value) for value in values]
    found = evaluation.percentile(samples, share)
    assert found in values
    assert sum(value <= found for value in values) >= share * len(values) - 1e-6


def test_a_percentile_of_few_samples_changes_no_state() -> None:
    """A p99 says something from a thousand samples on, when the alarm is told to ignore fewer."""
    alarm = {
        "ExtendedStatistic": "p99",
        "EvaluateLowSampleCountPercentile": "ignore",
        "ComparisonOperator": "GreaterThanThreshold",
        "Threshold": 5.0,
        "EvaluationPeriods": 1,
    }
    ignoring = evaluation.Rule.of(alarm)
    few = ignoring.datapoint([evaluation.Sample(999, 9990.0, 10.0, 10.0)])
    many = ignoring.datapoint([evaluation.Sample(1000, 10000.0, 10.0, 10.0)])
    assert (ignoring.state([few], "OK"), ignoring.state([many], "OK")) == ("OK", "ALARM")
    evaluating = evaluation.Rule.of({**alarm, "EvaluateLowSampleCountPercentile": "evaluate"})
    assert evaluating.state([evaluating.datapoint([evaluation.Sample(1, 10.0, 10.0, 10.0)])], "OK") == "ALARM"


@pytest.fixture
def alarm(fast: Any) -> Callable[..., str]:
    def make(**more: Any) -> str:
        name: str = fast.unique("alarm")
        fast.cloudwatch.put_metric_alarm(
            **{
                "AlarmName": name,
                "Namespace": "own",
                "MetricName": "failures",
                "Dimensions": [{"Name": "of", "Value": name}],
                "Statistic": "Sum",
                "Period": 60,
                "EvaluationPeriods": 1,
                "Threshold": 0,
                "ComparisonOperator": "GreaterThanThreshold",
                "TreatMissingData": "notBreaching",
                **more,
            }
        )
        return name

    return make


def measure(rig: Any, of: str, value: float = 1.0) -> None:
    datum = {"MetricName": "failures", "Dimensions": [{"Name": "of", "Value": of}], "Value": value}
    rig.cloudwatch.put_metric_data(Namespace="own", MetricData=[datum])


def state(rig: Any, name: str) -> str:
    (found,) = rig.cloudwatch.describe_alarms(AlarmNames=[name])["MetricAlarms"]
    return str(found["StateValue"])


def test_an_alarm_sees_its_own_dimensions_and_clears_by_itself(fast: Any, alarm: Callable[..., str]) -> None:
    """One goes into ALARM and, without any data, back; its neighbour, of other dimensions, stays silent."""
    name, neighbour = alarm(), alarm()
    fast.until(lambda: state(fast, name) == state(fast, neighbour) == "OK")
    measure(fast, name)
    began = time.monotonic()
    fast.until(lambda: state(fast, name) == "ALARM")
    assert state(fast, neighbour) == "OK"
    fast.until(lambda: state(fast, name) == "OK")
    # Three periods of a minute at speed 150, and what looking takes.
    assert 0.4 < time.monotonic() - began < 4
    measure(fast, name, 0.0)
    time.sleep(1.0)
    history = fast.cloudwatch.describe_alarm_history(AlarmName=name, HistoryItemType="StateUpdate")
    assert (
        len([item for item in history["AlarmHistoryItems"] if "OK to ALARM" in item["HistorySummary"]]) == 1
    )


def test_a_change_of_state_is_told(fast: Any, alarm: Callable[..., str]) -> None:
    """EventBridge and SNS are told of ALARM, as AWS words it."""
    queue = fast.sqs.create_queue(QueueName=fast.unique("told"))["QueueUrl"]
    arn = fast.sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    topic = fast.sns.create_topic(Name=fast.unique("told"))["TopicArn"]
    fast.sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)
    name = alarm(AlarmActions=[topic])
    pattern = {
        "source": ["aws.cloudwatch"],
        "detail-type": ["CloudWatch Alarm State Change"],
        "detail": {"alarmName": [name], "state": {"value": ["ALARM"]}},
    }
    fast.events.put_rule(Name=name, EventPattern=json.dumps(pattern))
    fast.events.put_targets(Rule=name, Targets=[{"Id": "queue", "Arn": arn}])
    measure(fast, name)

    def received() -> list[Any]:
        found = fast.sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10, VisibilityTimeout=0)
        return [json.loads(each["Body"]) for each in found.get("Messages", [])]

    both = fast.until(received, lambda seen: len(seen) >= 2)
    event = next(each for each in both if "detail" in each)
    notice = json.loads(next(each for each in both if "Message" in each)["Message"])
    assert (notice["AlarmName"], notice["NewStateValue"]) == (name, "ALARM")
    assert event["detail"]["previousState"]["value"] == "OK"
    assert event["detail"]["configuration"]["metrics"][0]["metricStat"]["metric"]["dimensions"] == {
        "of": name
    }
