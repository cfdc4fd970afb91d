"""Alarms: their states by data points and by missing ones, and their notifications."""

from __future__ import annotations

import json
import threading
import time
from contextlib import suppress
from importlib import import_module
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

if TYPE_CHECKING:
    from collections.abc import Callable

activity: Any = import_module("localcloud.core.activity")
evaluation: Any = import_module("localcloud.services.cloudwatch.evaluation")
service: Any = import_module("localcloud.services.cloudwatch.service")
TREATMENTS = ("missing", "ignore", "breaching", "notBreaching")
KEEP = "as it was"


def rule(periods: int, needed: int, missing: str) -> Any:
    return evaluation.Rule("Sum", "GreaterThanThreshold", 0.0, periods, needed, missing, ignore_few=False)


def points(line: str) -> list[Any]:
    """Read a line of AWS's tables, oldest point first: 0 within, X beyond, - missing."""
    values = {"0": evaluation.Datapoint(0.0), "X": evaluation.Datapoint(1.0), "-": None}
    return [values[mark] for mark in reversed(line.split())]


@pytest.mark.parametrize(
    ("needed", "line", "expected"),
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
def test_missing_data_counts_as_in_awss_tables(needed: int, line: str, expected: list[str]) -> None:
    """Three evaluation periods, an evaluation range of five, and every treatment of missing data."""
    assert rule(3, needed, "missing").evaluation_range == 5
    assert [rule(3, needed, treatment).state(points(line), KEEP) for treatment in TREATMENTS] == expected


def test_an_alarm_that_two_threads_evaluate_enters_its_state_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A request that puts the alarm and the timer do so at once; a second ALARM would start actions again."""
    both, reported = threading.Barrier(2), []
    alarms = service.Alarms(SimpleNamespace(activities=activity.Activities()))
    alarm = {
        "AlarmName": "a",
        "MetricName": "m",
        "Namespace": "n",
        "Statistic": "Sum",
        "ComparisonOperator": "GreaterThanThreshold",
        "Threshold": 0.0,
        "EvaluationPeriods": 1,
        "Period": 60,
        "StateValue": "INSUFFICIENT_DATA",
    }

    def read(*_: Any) -> list[Any]:
        with suppress(threading.BrokenBarrierError):  # of a thread that the other one has to wait for
            both.wait(0.3)
        return points("X")

    monkeypatch.setattr(alarms, "_datapoints", read)
    monkeypatch.setattr(service, "_report", lambda _, old, new, __: reported.append((old, new)))
    threads = [threading.Thread(target=alarms.evaluate, args=(alarm,)) for _ in range(2)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert reported == [("INSUFFICIENT_DATA", "ALARM")]


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=60), st.floats(0.01, 1.0))
def test_a_percentile_is_one_of_the_values(values: list[float], share: float) -> None:
    """At least that share of the values is less than or equal to the percentile."""
    samples = [evaluation.Sample(1, value, value, value) for value in values]
    percentile = evaluation.percentile(samples, share)
    assert percentile in values
    assert sum(value <= percentile for value in values) >= share * len(values) - 1e-6


def test_a_percentile_of_few_samples_changes_no_state() -> None:
    """A p99 needs a thousand samples to change the state, when the alarm ignores fewer."""
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
    (described,) = rig.cloudwatch.describe_alarms(AlarmNames=[name])["MetricAlarms"]
    return str(described["StateValue"])


def test_an_alarm_reads_its_own_dimensions_and_recovers_without_data(
    fast: Any, alarm: Callable[..., str]
) -> None:
    """The alarm enters ALARM and, without data, returns to OK; an alarm of other dimensions stays OK."""
    name, neighbour = alarm(), alarm()
    fast.until(lambda: state(fast, name) == state(fast, neighbour) == "OK")
    measure(fast, name)
    began = time.monotonic()
    fast.until(lambda: state(fast, name) == "ALARM")
    assert state(fast, neighbour) == "OK"
    fast.until(lambda: state(fast, name) == "OK")
    # Three periods of a minute at speed 150, and the time of the requests.
    assert 0.4 < time.monotonic() - began < 4
    measure(fast, name, 0.0)
    time.sleep(1.0)
    history = fast.cloudwatch.describe_alarm_history(AlarmName=name, HistoryItemType="StateUpdate")
    assert (
        len([item for item in history["AlarmHistoryItems"] if "OK to ALARM" in item["HistorySummary"]]) == 1
    )


def test_a_change_of_state_is_notified(fast: Any, alarm: Callable[..., str]) -> None:
    """EventBridge and SNS are notified of ALARM, in the words of AWS."""
    queue = fast.sqs.create_queue(QueueName=fast.unique("notified"))["QueueUrl"]
    arn = fast.sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    topic = fast.sns.create_topic(Name=fast.unique("notified"))["TopicArn"]
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
        response = fast.sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10, VisibilityTimeout=0)
        return [json.loads(message["Body"]) for message in response.get("Messages", [])]

    both = fast.until(received, lambda bodies: len(bodies) >= 2)
    event = next(message for message in both if "detail" in message)
    notice = json.loads(next(message for message in both if "Message" in message)["Message"])
    assert (notice["AlarmName"], notice["NewStateValue"]) == (name, "ALARM")
    assert event["detail"]["previousState"]["value"] == "OK"
    assert event["detail"]["configuration"]["metrics"][0]["metricStat"]["metric"]["dimensions"] == {
        "of": name
    }
