"""Patches of ministack's EventBridge and Scheduler: the cloud's clock, and targets of our services.

At speed, schedules come sooner. A function is not faster: a schedule passes over one that is still busy, or
its invocations would pile up.
"""

from __future__ import annotations

import threading
from functools import partial
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from localcloud.core.clock import iso
from localcloud.core.ministack import in_context
from localcloud.core.patches import constant, patch, uses
from localcloud.services.events.schedules import EVENTS, RULES, SCHEDULER, SCHEDULES, Schedules

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from localcloud.core.service import Json, Target
    from localcloud.core.timers import Timers
    from localcloud.services.awslambda.executions import Executions

    Call = Callable[..., Any]

_EVENTS = uses(EVENTS, "_apply_input_transformer", "_pattern_event_view")
SCHEDULED_TIME = "<aws.scheduler.scheduled-time>"


def install(timers: Timers, executions: Executions) -> None:
    """Apply the patches of time."""
    schedules = Schedules(timers)
    for each in (_rule_loop, _schedule_loop, _rules_now, _event_view, _schedules_time, _at, _date):
        each.apply(schedules)
    _pass_over_busy.apply(schedules, executions)


def add_targets(targets: Mapping[str, Target]) -> None:
    """Let rules have targets of our services; `targets` has each service's by the service's name in ARNs."""
    _invoke_target.apply(targets)


@patch(
    EVENTS,
    "_scheduler_loop",
    version="1.5.33",
    behaviour="rules with a schedule are looked at every ten seconds",
    reason="they are looked at when one is due, on the cloud's clock",
)
def _rule_loop(_original: Call, schedules: Schedules) -> None:
    schedules.begin(RULES)


@patch(
    SCHEDULER,
    "_ticker_loop",
    version="1.5.33",
    behaviour="schedules are looked at every ten seconds",
    reason="they are looked at when one is due, on the cloud's clock",
)
def _schedule_loop(_original: Call, schedules: Schedules) -> None:
    schedules.begin(SCHEDULES)


@patch(
    EVENTS,
    "_now_ts",
    version="1.5.33",
    behaviour="rates and crons are on the machine's own clock",
    reason="they are on the cloud's clock, which runs faster and jumps",
)
def _rules_now(original: Call, schedules: Schedules) -> float:
    simulated = schedules.simulated
    return float(original()) if simulated is None else simulated


@patch(
    EVENTS,
    "_pattern_event_view",
    version="1.5.33",
    behaviour="the event of a schedule has the time at which ministack found it due",
    reason="that is simulated here, and an event has the time of this machine",
)
def _event_view(original: Call, schedules: Schedules, event: Json) -> Any:
    if schedules.simulated is None:
        return original(event)
    with schedules.real() as now:
        return original({**event, "Time": now})


@constant(
    SCHEDULER,
    "time",
    version="1.5.33",
    behaviour="schedules are on the machine's own clock",
    reason="they are on the cloud's clock, which runs faster and jumps",
)
def _schedules_time(original: Any, schedules: Schedules) -> Any:
    def read() -> float:
        simulated = schedules.simulated
        return float(original.time()) if simulated is None else simulated

    return SimpleNamespace(time=read, sleep=original.sleep)


@patch(
    SCHEDULER,
    "_at_time_epoch",
    version="1.5.33",
    behaviour="`at()` comes as its second begins on the machine's own clock",
    reason="it was written for the clock as it was then, and cut to a second it lies before what is meant",
)
def _at(original: Call, schedules: Schedules, expression: str) -> float | None:
    seconds = original(expression)
    return seconds if schedules.simulated is None or seconds is None else schedules.planned(expression)


@patch(
    SCHEDULER,
    "_to_epoch",
    version="1.5.33",
    behaviour="the dates at which a schedule begins and ends are on the machine's own clock",
    reason="they were written for the clock as it was then",
)
def _date(original: Call, schedules: Schedules, value: Any) -> float | None:
    return original(value) if schedules.simulated is None else schedules.planned(value)


@patch(
    EVENTS,
    "_invoke_target",
    version="1.5.33",
    behaviour="each tick of a schedule invokes its function, and Scheduler fills in no time",
    reason="at speed, invocations of a slow function would pile up; AWS fills in the scheduled time",
)
def _pass_over_busy(  # noqa: PLR0913, PLR0917 - ministack's signature
    original: Call,
    schedules: Schedules,
    executions: Executions,
    target: Json,
    event: Json,
    rule: Json,
    view: Any = None,
) -> Any:
    function = target.get("Arn", "").partition(":function:")[2].partition(":")[0]
    is_scheduled = schedules.simulated is not None
    clock = schedules.timers.clock
    if is_scheduled and clock.speed > 1 and function and executions.running(function):
        return None
    with schedules.real() as now:
        event = {**event, "Time": now} if is_scheduled else event
        return original(_with_scheduled_time(target, event), event, rule, view)


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
