"""Patches of ministack's EventBridge and Scheduler: the cloud's speed, and targets of our services.

At speed, rates come sooner and a cron's clock is faster. A function is not faster: a schedule passes over
one that is still busy, or its invocations would pile up.
"""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from localcloud.core.clock import SCHEDULER_TICK, iso
from localcloud.core.ministack import in_context
from localcloud.core.patches import constant, patch, uses

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from localcloud.core.clock import Clock
    from localcloud.core.service import Json, Target
    from localcloud.services.awslambda.executions import Executions

    Call = Callable[..., Any]

EVENTS = "ministack.services.eventbridge"
SCHEDULER = "ministack.services.scheduler"
_EVENTS = uses(EVENTS, "_apply_input_transformer", "_pattern_event_view")
SCHEDULED_TIME = "<aws.scheduler.scheduled-time>"
# A time that was rounded down would come once more.
AFTER_SECONDS = 0.001
# `at()` names a second, and comes when that has passed; AWS's Scheduler is exact to the minute.
WHOLE_SECOND = 1.0


def install(clock: Clock, executions: Executions) -> None:
    """Apply the patches of time."""
    _events_tick.apply(clock)
    _scheduler_tick.apply(clock)
    _rate.apply(clock)
    _cron.apply(clock)
    _at.apply()
    _pass_over_busy.apply(clock, executions)


def add_targets(targets: Mapping[str, Target]) -> None:
    """Let rules have targets of our services; `targets` has each service's by the service's name in ARNs."""
    _invoke_target.apply(targets)


@constant(
    EVENTS,
    "_SCHEDULER_TICK_INTERVAL",
    version="1.5.33",
    behaviour="rules with a schedule are checked every ten seconds",
    reason="ten seconds are ten minutes of a cloud at speed 60",
)
def _events_tick(_original: float, clock: Clock) -> float:
    return clock.interval(SCHEDULER_TICK)


@constant(
    SCHEDULER,
    "_SCHEDULE_TICK_INTERVAL",
    version="1.5.33",
    behaviour="schedules are checked every ten seconds",
    reason="ten seconds are ten minutes of a cloud at speed 60",
)
def _scheduler_tick(_original: float, clock: Clock) -> float:
    return clock.interval(SCHEDULER_TICK)


@patch(
    EVENTS,
    "_parse_rate_seconds",
    version="1.5.33",
    behaviour="a rate is as many seconds as it says",
    reason="at speed N it comes N times as often",
)
def _rate(original: Call, clock: Clock, expression: str) -> float | None:
    seconds = original(expression)
    return None if seconds is None else clock.seconds(seconds)


@patch(
    EVENTS,
    "_cron_next_fire",
    version="1.5.33",
    behaviour="a cron is on the machine's own clock",
    reason="at speed N a cron's clock is N times as fast",
)
def _cron(original: Call, clock: Clock, fields: Any, after: datetime) -> datetime | None:
    fires = original(fields, datetime.fromtimestamp(clock.to_simulated(after.timestamp()), UTC))
    if fires is None:
        return None
    return datetime.fromtimestamp(clock.to_real(fires.timestamp()) + AFTER_SECONDS, UTC)


@patch(
    SCHEDULER,
    "_at_time_epoch",
    version="1.5.33",
    behaviour="`at()` comes as its second begins",
    reason="a time that was cut to its second lies up to a second before the moment that is meant",
)
def _at(original: Call, expression: str) -> float | None:
    seconds = original(expression)
    return None if seconds is None else seconds + WHOLE_SECOND


@patch(
    EVENTS,
    "_invoke_target",
    version="1.5.33",
    behaviour="each tick of a schedule invokes its function, and Scheduler fills in no time",
    reason="at speed, invocations of a slow function would pile up; AWS fills in the scheduled time",
)
def _pass_over_busy(
    original: Call, clock: Clock, executions: Executions, target: Json, event: Json, *more: Any
) -> Any:
    function = target.get("Arn", "").partition(":function:")[2].partition(":")[0]
    scheduled = event.get("Source") == "aws.events" and clock.speed > 1
    if scheduled and function and executions.running(function):
        return None
    return original(_with_scheduled_time(target, event), event, *more)


def _with_scheduled_time(target: Json, event: Json) -> Json:
    """Return a target of Scheduler with the time in the place of its context attribute."""
    if event.get("Source") != "aws.scheduler" or SCHEDULED_TIME not in target.get("Input", ""):
        return target
    return {**target, "Input": target["Input"].replace(SCHEDULED_TIME, iso(event["Time"]))}


@patch(
    EVENTS,
    "_invoke_target",
    version="1.5.33",
    behaviour="rules have targets of ministack's services only",
    reason="rules start pipelines and builds",
)
def _invoke_target(  # noqa: PLR0913, PLR0917 - ministack's signature
    original: Call, targets: Mapping[str, Target], target: Json, event: Json, rule: Json, view: Any = None
) -> None:
    arn = target.get("Arn", "")
    invoke = targets.get(arn.split(":")[2]) if arn.count(":") > 2 else None  # noqa: PLR2004 - the service is an ARN's third part
    if invoke is None:
        original(target, event, rule, view)
        return
    # In a thread: the target may call this very server.
    act = in_context(partial(invoke, arn, rule.get("Arn", ""), _target_input(target, event, rule, view)))
    threading.Thread(target=act, name=f"target {arn}", daemon=True).start()


def _target_input(target: Json, event: Json, rule: Json, view: Any) -> str | None:
    """Return the input that a rule itself gives to its target, or None where that is the event."""
    if transformer := target.get("InputTransformer"):
        event_view = view or _EVENTS["_pattern_event_view"](event)
        return str(_EVENTS["_apply_input_transformer"](transformer, rule, event_view))
    return target.get("Input")
