"""Schedules of EventBridge and Scheduler at the cloud's speed: rates come sooner, a cron's clock is faster.

A function is no faster here: at speed, a schedule passes over one that is still busy, or they would pile up.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from localcloud.core import ministack
from localcloud.core.clock import SCHEDULER_TICK, iso
from localcloud.core.service import Service

if TYPE_CHECKING:
    from localcloud.core.context import CloudContext
    from localcloud.core.service import Json
    from localcloud.services.awslambda.executions import Executions

EVENTS = "ministack.services.eventbridge"
SCHEDULER = "ministack.services.scheduler"
SCHEDULED_TIME = "<aws.scheduler.scheduled-time>"
# A time that was rounded down would come once more.
AFTER = 0.001
# `at()` names a second, and comes when that has passed; AWS's Scheduler is exact to the minute.
WHOLE_SECOND = 1.0


def service(context: CloudContext, executions: Executions) -> Service:
    """Return the service; its operations are ministack's."""
    clock = context.clock
    invoke = ministack.name(EVENTS, "_invoke_target")
    interval, following = (
        ministack.name(EVENTS, "_parse_rate_seconds"),
        ministack.name(EVENTS, "_cron_next_fire"),
    )
    moment = ministack.name(SCHEDULER, "_at_time_epoch")

    def rate(expression: str) -> float | None:
        seconds = interval(expression)
        return None if seconds is None else clock.seconds(seconds)

    def cron(fields: Any, after: datetime) -> datetime | None:
        found = following(fields, datetime.fromtimestamp(clock.to_simulated(after.timestamp()), UTC))
        return (
            None if found is None else datetime.fromtimestamp(clock.to_real(found.timestamp()) + AFTER, UTC)
        )

    def at(expression: str) -> float | None:
        named = moment(expression)
        return None if named is None else named + WHOLE_SECOND

    def unless_busy(target: Json, event: Json, *more: Any) -> Any:
        function = target.get("Arn", "").partition(":function:")[2].partition(":")[0]
        scheduled = event.get("Source") == "aws.events" and clock.speed > 1
        if scheduled and function and executions.running(function):
            return None
        return invoke(told_the_time(target, event), event, *more)

    def install() -> None:
        ministack.replace(EVENTS, "_SCHEDULER_TICK_INTERVAL", clock.interval(SCHEDULER_TICK))
        ministack.replace(EVENTS, "_parse_rate_seconds", rate)
        ministack.replace(EVENTS, "_cron_next_fire", cron)
        ministack.replace(EVENTS, "_invoke_target", unless_busy)
        ministack.replace(SCHEDULER, "_SCHEDULE_TICK_INTERVAL", clock.interval(SCHEDULER_TICK))
        ministack.replace(SCHEDULER, "_at_time_epoch", at)

    return Service(name="events", install=install)


def told_the_time(target: Json, event: Json) -> Json:
    """Put the time into the input of Scheduler's target that asks for it."""
    if event.get("Source") != "aws.scheduler" or SCHEDULED_TIME not in target.get("Input", ""):
        return target
    return {**target, "Input": target["Input"].replace(SCHEDULED_TIME, iso(event["Time"]))}
