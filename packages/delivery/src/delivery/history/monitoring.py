"""The monitor: Model Monitor's executions, the state machine that follows them, and alarms."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from delivery.cloud import pages
from delivery.history.state_machines import ended_execution

if TYPE_CHECKING:
    from datetime import datetime

    from delivery.cloud import Cloud


def monitoring_executions(
    cloud: Cloud, schedule: str, since: datetime, until: datetime
) -> list[dict[str, Any]] | None:
    """List Model Monitor's executions since then, oldest first, when one of them looked as far as `until`."""
    listed = cloud.client("sagemaker").get_paginator("list_monitoring_executions")
    found = [
        each
        for page in listed.paginate(MonitoringScheduleName=schedule, ScheduledTimeAfter=since)
        for each in page["MonitoringExecutionSummaries"]
    ]
    running = any(each["MonitoringExecutionStatus"] in {"InProgress", "Stopping"} for each in found)
    complete = any(each["ScheduledTime"] >= until for each in found)
    return found[::-1] if complete and not running else None


def executions_after(cloud: Cloud, machine: str, jobs: list[str]) -> list[dict[str, Any]] | None:
    """Describe the state machine's executions that the jobs' events started, once they have ended."""
    listed = pages(cloud.client("stepfunctions"), "list_executions", "executions", stateMachineArn=machine)
    found = [ended for each in listed if (ended := ended_execution(cloud, each["executionArn"]))]
    by_job = {json.loads(each["input"]).get("detail", {}).get("ProcessingJobName"): each for each in found}
    return [by_job[job] for job in jobs] if all(job in by_job for job in jobs) else None


def alarm_is_on(cloud: Cloud, name: str) -> bool:
    """Return whether the alarm is in ALARM."""
    found = cloud.client("cloudwatch").describe_alarms(AlarmNames=[name])["MetricAlarms"]
    return any(alarm["StateValue"] == "ALARM" for alarm in found)
