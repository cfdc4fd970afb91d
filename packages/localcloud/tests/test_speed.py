"""Speed: what AWS imposes is divided, what the user's code takes is not."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from importlib import import_module
from types import SimpleNamespace
from typing import Any

import pytest
from cloud_harness import project_at
from hypothesis import given
from hypothesis import strategies as st

clock: Any = import_module("localcloud.core.clock")
process: Any = import_module("localcloud.core.process")
timers: Any = import_module("localcloud.core.timers")
waiting: Any = import_module("localcloud.clock")
traffic: Any = import_module("localcloud.services.codedeploy.traffic")
jobs: Any = import_module("localcloud.services.sagemaker.jobs")


@given(st.floats(0, 1e6), st.floats(1, 3600))
def test_a_wait_is_divided(seconds: float, speed: float) -> None:
    """A wait takes its share of this machine's time; looking is never more than a few times a second."""
    fast_clock = clock.Clock(speed)
    assert fast_clock.seconds(seconds) == seconds / speed
    assert fast_clock.to_simulated(fast_clock.began + fast_clock.seconds(seconds)) == pytest.approx(
        fast_clock.began + seconds
    )
    assert fast_clock.to_real(fast_clock.to_simulated(seconds)) == pytest.approx(seconds, abs=1e-3)
    assert fast_clock.interval(seconds) >= clock.SHORTEST


@pytest.mark.parametrize(
    ("speed", "seconds"), [(1.0, 10.0), (12.0, 10.0), (60.0, 2.0), (120.0, 1.0), (3600.0, 1.0)]
)
def test_sigkill_comes_after_120_seconds_of_the_cloud(speed: float, seconds: float) -> None:
    """No container is killed in less than a second of this machine, nor has longer than ten."""
    job = SimpleNamespace(context=SimpleNamespace(clock=clock.Clock(speed)))
    assert jobs.Job.stop_grace(job) == seconds


def test_a_running_cloud_changes_its_speed(fast: Any) -> None:
    """A command that finds the cloud knows its speed; a start may change it, and the time continues."""
    project = project_at(fast.cloud.root)
    before = fast.cloud.clock()["simulated"]
    assert process.find(project).speed == process.start(project).speed == 150.0
    try:
        assert process.start(project, 300.0).speed == process.find(project).speed == 300.0
        state = fast.cloud.clock()
        assert (state["speed"], state["skip"]) == (300.0, False)
        assert before < state["simulated"] < before + 300 * 60
    finally:
        process.start(project, 150.0)


def test_a_schedule_comes_round_sooner(fast: Any) -> None:
    """`rate(1 minute)` comes every 0.4 s, and a Wait of a minute is over as soon."""
    queue = fast.sqs.create_queue(QueueName=fast.unique("schedule"))["QueueUrl"]
    arn = fast.sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    name = fast.unique("schedule")
    fast.events.put_rule(Name=name, ScheduleExpression="rate(1 minute)")
    fast.events.put_targets(Rule=name, Targets=[{"Id": "queue", "Arn": arn}])

    def count() -> int:
        attributes = fast.sqs.get_queue_attributes(
            QueueUrl=queue, AttributeNames=["ApproximateNumberOfMessages"]
        )
        return int(attributes["Attributes"]["ApproximateNumberOfMessages"])

    began = time.monotonic()
    fast.until(count, lambda seen: seen >= 3)
    assert 0.8 < time.monotonic() - began < 10
    fast.events.remove_targets(Rule=name, Ids=["queue"])
    fast.events.delete_rule(Name=name)
    states = {"Wait": {"Type": "Wait", "Seconds": 60, "End": True}}
    machine = fast.stepfunctions.create_state_machine(
        name=name, definition=json.dumps({"StartAt": "Wait", "States": states}), roleArn=fast.role
    )["stateMachineArn"]
    began = time.monotonic()
    execution = fast.stepfunctions.start_execution(stateMachineArn=machine)["executionArn"]
    fast.until(lambda: fast.stepfunctions.describe_execution(executionArn=execution)["status"] == "SUCCEEDED")
    assert 0.3 < time.monotonic() - began < 10


def test_a_state_machine_measures_what_it_waits_for(fast: Any) -> None:
    """Its milliseconds run as fast as its waits are short, and what it writes is the real time."""
    measured = {
        "Waited": "{% $millis() - $begun %}",
        "Apart": "{% $toMillis('2026-01-31T00:00:01Z') - $toMillis('2026-01-31T00:00:00.5Z') %}",
        "Same": "{% $fromMillis($toMillis('2026-01-31T01:02:03.456Z')) %}",
        "Day": "{% $fromMillis($toMillis('2026-01-31T01:02:03Z'), '[Y0001]/[M01]/[D01]') %}",
        "Now": "{% $now() %}",
    }
    states = {
        "Begin": {"Type": "Pass", "Assign": {"begun": "{% $millis() %}"}, "Next": "Wait"},
        "Wait": {"Type": "Wait", "Seconds": 60, "Next": "Measure"},
        "Measure": {"Type": "Pass", "Output": measured, "End": True},
    }
    machine = fast.stepfunctions.create_state_machine(
        name=fast.unique("clock"),
        definition=json.dumps({"QueryLanguage": "JSONata", "StartAt": "Begin", "States": states}),
        roleArn=fast.role,
    )["stateMachineArn"]
    execution = fast.stepfunctions.start_execution(stateMachineArn=machine)["executionArn"]
    ended = fast.until(
        lambda: fast.stepfunctions.describe_execution(executionArn=execution),
        lambda seen: seen["status"] != "RUNNING",
    )
    output = json.loads(ended["output"])
    assert output.pop("Waited") >= 60_000
    now = datetime.fromisoformat(output.pop("Now"))
    assert ended["startDate"] <= now <= datetime.now(UTC)
    assert output == {"Apart": 75_000, "Same": "2026-01-31T01:02:03.456Z", "Day": "2026/01/31"}


def test_a_schedule_does_not_pile_up(fast: Any) -> None:
    """A function that takes longer than the schedule's interval here runs once at a time."""
    bucket, code = fast.function("import time\ndef handler(event, context): time.sleep(1.0)")
    name = fast.unique("slow")
    arn = fast.lambda_.create_function(
        FunctionName=name,
        Runtime="python3.13",
        Role=fast.role,
        Handler="index.handler",
        Code={"S3Bucket": bucket, "S3Key": code},
    )["FunctionArn"]
    fast.events.put_rule(Name=name, ScheduleExpression="rate(1 minute)")
    began = time.monotonic()
    fast.events.put_targets(Rule=name, Targets=[{"Id": "function", "Arn": arn}])
    time.sleep(3.5)
    fast.events.remove_targets(Rule=name, Ids=["function"])
    fast.events.delete_rule(Name=name)
    found = fast.logs.filter_log_events(logGroupName=f"/aws/lambda/{name}", filterPattern="REPORT")["events"]
    assert 1 <= len(found) <= time.monotonic() - began


def test_schedules_are_due_on_the_clouds_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """A rate, a cron and an `at()` come on the simulated clock; a jump moves no `at()` from before."""
    schedules: Any = import_module("localcloud.services.events.schedules")
    began = 1_800_000_000.0  # a whole hour
    present = [began]
    timed = timers.Timers(clock.Clock(60.0, began, lambda: present[0]), skip=False)
    timed.close()
    found = {
        "rate": {"ScheduleExpression": "rate(1 minute)"},
        "cron": {"ScheduleExpression": "cron(20 * * * ? *)"},
        "at": {"ScheduleExpression": f"at({datetime.fromtimestamp(began + 60, UTC):%Y-%m-%dT%H:%M:%S})"},
    }
    store = schedules.Store("schedules", lambda: found, dict, "CreationDate", lambda: None)
    for each in found.values():
        each |= {"State": "ENABLED", "CreationDate": began}
    looks = schedules.Schedules(timed)

    def dues() -> dict[str, float]:
        due = looks._due  # noqa: SLF001 - of each schedule, and not of the first
        return {name: due(store, name, each) - began for name, each in found.items()}

    expected = {"rate": 60.0, "cron": 1200.0, "at": 61 * 60.0}
    assert dues() == expected
    present[0] += 10
    timed.clock.jump(began + 1000.0)
    assert dues() == expected
    assert looks.due(store) == began + 60.0
    monkeypatch.setitem(found["rate"], "State", "DISABLED")
    assert looks.due(store) == began + 1200.0


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ("CodeDeployDefault.LambdaAllAtOnce", [(0.0, 1.0)]),
        ("CodeDeployDefault.LambdaCanary10Percent5Minutes", [(0.0, 0.1), (300.0, 1.0)]),
        ("CodeDeployDefault.LambdaCanary10Percent30Minutes", [(0.0, 0.1), (1800.0, 1.0)]),
        (
            "CodeDeployDefault.LambdaLinear10PercentEvery1Minute",
            [(0.0, 0.1), *((60.0, share / 10) for share in range(2, 11))],
        ),
    ],
)
def test_configurations_say_how_traffic_moves(config: str, expected: list[tuple[float, float]]) -> None:
    """The steps of CodeDeploy's own configurations for Lambda; others are unknown."""
    assert [(step.wait, round(step.share, 6)) for step in traffic.shift_steps(config)] == expected
    assert traffic.shift_steps(f"{config}s or so") is None


def _history(fast: Any) -> list[tuple[str, float]]:
    """Let a state machine wait twice; return each event of its history with its simulated seconds."""
    states = {
        "First": {"Type": "Wait", "Seconds": 100, "Next": "Between"},
        "Between": {"Type": "Pass", "Next": "Second"},
        "Second": {"Type": "Wait", "Seconds": 300, "End": True},
    }
    machine = fast.stepfunctions.create_state_machine(
        name=fast.unique("history"),
        definition=json.dumps({"StartAt": "First", "States": states}),
        roleArn=fast.role,
    )["stateMachineArn"]
    execution = fast.stepfunctions.start_execution(stateMachineArn=machine)["executionArn"]

    def ended() -> bool:
        described = fast.stepfunctions.describe_execution(executionArn=execution)
        return bool(described["status"] == "SUCCEEDED")

    waiting.wait_until(fast.cloud, ended, "It does not end.")
    events = fast.stepfunctions.get_execution_history(executionArn=execution)["events"]
    simulated = fast.cloud.simulated(*(each["timestamp"].timestamp() for each in events))
    return [(each["type"], at - simulated[0]) for each, at in zip(events, simulated, strict=True)]


def test_records_are_the_same_with_and_without_skipping(fast: Any) -> None:
    """The same events, in the same order, at the same simulated times, by the records of a real cloud."""
    project = project_at(fast.cloud.root)
    waited = _history(fast)
    began = time.monotonic()
    try:
        assert process.start(project, skip=True).skip
        skipped = _history(fast)
    finally:
        process.start(project, skip=False)
    assert time.monotonic() - began < 400 / 150 + 2
    assert [name for name, _ in skipped] == [name for name, _ in waited]
    assert [at for _, at in skipped] == pytest.approx([at for _, at in waited], abs=60.0)
    assert skipped[-1][1] == pytest.approx(400.0, abs=60.0)
