"""Patches of ministack's Step Functions: clock, Succeed's Output, stopped tasks, Parallel, errors' names."""

from __future__ import annotations

import threading
from contextvars import ContextVar
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from jsonata.functions import Functions

from localcloud.core import protocol
from localcloud.core.branches import BranchPool, BranchThread
from localcloud.core.clock import now
from localcloud.core.patches import constant, patch, uses
from localcloud.services.stepfunctions.executions import EXECUTION, FAILURES, Execution, ended

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import ThreadPoolExecutor

    from localcloud.core.activity import Activities
    from localcloud.core.clock import Clock
    from localcloud.core.service import Json
    from localcloud.core.timers import Timers

    Call = Callable[..., Any]

MODULE = "ministack.services.stepfunctions"
STATES = uses(
    MODULE,
    "_ExecutionError",
    "_apply_jsonata_arguments",
    "_apply_jsonata_output",
    "_apply_state_assign",
    "_sfn_jsonata_to_millis",
    "_state_query_language",
)
# The execution that has not slept yet, for which ministack's first sleep is left out.
STARTING: ContextVar[list[str]] = ContextVar("starting", default=[])  # noqa: B039 - nothing is added to it
# Whether a task has a limit to its time, which is of this machine's time: the clock must not jump meanwhile.
LIMITED: ContextVar[bool] = ContextVar("limited", default=False)
# `aws-sdk:` tasks name these services otherwise than botocore does.
SDK_NAMES = {"cloudwatchlogs": "logs", "eventbridge": "events", "rdsdata": "rds-data", "sfn": "stepfunctions"}


def install(timers: Timers) -> None:
    """Apply every patch of this module."""
    _register_functions.apply(timers.clock)
    for each in (_run_execution, _scaled_sleep, _sleep_until):
        each.apply(timers)
    for each in (_threading, _pool, _futures_wait):
        each.apply(timers.activities)
    for each in (
        _time,
        _apply_output_path,
        _prefix_sdk_error,
        _execute_task,
        _invoke_with_timeout,
        _run_branch,
        _run_branches,
    ):
        each.apply()


@patch(
    MODULE,
    "_register_sfn_jsonata_functions",
    version="1.5.33",
    behaviour="$millis, $toMillis and $fromMillis are on the machine's own clock",
    reason="a machine that measures time, or waits until a time, must run on the cloud's faster clock",
)
def _register_functions(original: Call, clock: Clock, expression: Any) -> None:
    original(expression)
    parse = STATES["_sfn_jsonata_to_millis"]
    at = _to_simulated(clock, round(now() * 1000))
    expression.register_lambda("millis", lambda: at)
    expression.register_lambda("toMillis", lambda *texts: _to_simulated(clock, parse(*texts)))
    expression.register_lambda("fromMillis", lambda millis=None, *form: _text(clock, millis, *form))


def _to_simulated(clock: Clock, millis: int | None) -> int | None:
    """Return a time of this machine as the faster clock shows it; JSONata's undefined, None, stays None."""
    return None if millis is None else round(clock.to_simulated(millis / 1000) * 1000)


def _text(
    clock: Clock, millis: float | None, picture: str | None = None, zone: str | None = None
) -> str | None:
    """Return the real time that the faster clock shows as `millis`, in JSONata's form `picture`."""
    real = None if millis is None else round(clock.to_real(millis / 1000) * 1000)
    written: str | None = Functions.datetime_from_millis(real, picture, zone)
    return written


@patch(
    MODULE,
    "_run_execution",
    version="1.5.33",
    behaviour="an execution runs in a thread of which nobody knows",
    reason="the clock does not jump while an execution does anything but wait",
)
def _run_execution(original: Call, timers: Timers, arn: str) -> None:
    with timers.activities.active():
        token = STARTING.set([arn])
        try:
            original(arn)
        finally:
            STARTING.reset(token)


@constant(
    MODULE,
    "time",
    version="1.5.33",
    behaviour="an execution sleeps for 0.15 s before its first state",
    reason="nothing waits for that, and each of a delivery's executions would take that much longer",
)
def _time(original: Any) -> Any:
    return _Time(original)


@constant(
    MODULE,
    "threading",
    version="1.5.33",
    behaviour="branches of Parallel run in threads of which nobody knows, and the execution joins them",
    reason="the clock jumps over a Wait in a branch when nothing else is left to do",
)
def _threading(original: Any, activities: Activities) -> Any:
    return _Threading(original, activities)


class _Threading:
    """The module `threading`, whose threads are active."""

    def __init__(self, original: Any, activities: Activities) -> None:
        self._original = original
        self.Thread = partial(BranchThread, activities)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._original, name)


@constant(
    MODULE,
    "ThreadPoolExecutor",
    version="1.5.33",
    behaviour="items of Map run in threads of which nobody knows",
    reason="as for Parallel",
)
def _pool(original: Any, activities: Activities) -> Any:
    def make(max_workers: int) -> ThreadPoolExecutor:
        # The thread of a task that has timed out may run on for hours, in which the clock must not stand.
        return original(max_workers) if LIMITED.get() else BranchPool(activities, max_workers)

    return make


@patch(
    MODULE,
    "futures_wait",
    version="1.5.33",
    behaviour="the execution's thread waits for the items of Map",
    reason="as for Parallel",
)
def _futures_wait(original: Call, activities: Activities, futures: Any) -> Any:
    with activities.idle():
        return original(futures)


class _Time:
    """The module `time`, whose first sleep in an execution is none."""

    def __init__(self, original: Any) -> None:
        self._original = original

    def __getattr__(self, name: str) -> Any:
        return getattr(self._original, name)

    def sleep(self, seconds: float) -> None:
        """Sleep, but for an execution that has not slept yet."""
        if starting := STARTING.get():
            starting.clear()
        else:
            self._original.sleep(seconds)


@patch(
    MODULE,
    "_scaled_sleep",
    version="1.5.33",
    behaviour="a Wait state or the interval of a Retry sleeps for a fixed share of its seconds",
    reason="it ends when the cloud's clock, which jumps, has come to its end, or when another branch fails",
)
def _scaled_sleep(_original: Call, timers: Timers, seconds: float) -> None:
    if seconds > 0:
        _sleep(timers, float(seconds))


def _sleep(timers: Timers, seconds: float) -> None:
    """Wait for AWS's seconds; the failure of a branch around this state or beside it ends the thread."""
    what, failures = "Wait or Retry of a state machine", FAILURES.get()
    if not failures:
        timers.sleep(seconds, what)
    elif timers.wait(lambda: any(failure.is_set() for failure in failures), seconds, what):
        raise ended()


@patch(
    MODULE,
    "_sleep_until",
    version="1.5.33",
    behaviour="the time until a Wait state's Timestamp, a time of this machine, is divided as well",
    reason="as each text that a state machine writes, it shows a time that is divided already",
)
def _sleep_until(_original: Call, timers: Timers, timestamp: str) -> None:
    clock, until = timers.clock, datetime.fromisoformat(timestamp)
    seconds = clock.planned(until.timestamp(), clock.real()) - clock.simulated()
    if seconds > 0:
        _sleep(timers, seconds)


@patch(
    MODULE,
    "_apply_output_path",
    version="1.5.33",
    behaviour="a Succeed state passes its input on, whatever Output it has in JSONata",
    reason="on AWS the state's Output is the result of the execution",
)
def _apply_output_path(original: Call, state: Json, data: Any, context: Any = None) -> Any:
    if state["Type"] == "Succeed" and STATES["_state_query_language"](state, context) == "JSONata":
        return STATES["_apply_jsonata_output"](state, data, context, default=data)
    return original(state, data, context)


@patch(
    MODULE,
    "_prefix_sdk_error",
    version="1.5.33",
    behaviour="errors of `aws-sdk:` tasks have the service's code: `Ssm.ParameterNotFound`",
    reason="on AWS they have the name of the Java SDK's exception, by which machines catch them: "
    "`Ssm.ParameterNotFoundException`",
)
def _prefix_sdk_error(original: Call, service: str, code: str) -> str:
    names = protocol.sdk_error_names(SDK_NAMES.get(service, service))
    return str(original(service, names.get(code, code)))


@patch(
    MODULE,
    "_execute_task",
    version="1.5.33",
    behaviour="a task does not learn of its execution",
    reason="a task that waits must end when its execution is stopped, and its calls are the machine's role's",
)
def _execute_task(original: Call, state: Json, raw_input: Any, execution: Json, context: Json) -> Any:
    following = Execution(execution or {}, FAILURES.get())
    token = EXECUTION.set(following)
    try:
        if following.abandoned():
            raise ended()
        return original(state, raw_input, execution, context)
    finally:
        EXECUTION.reset(token)


@patch(
    MODULE,
    "_invoke_resource_with_timeout",
    version="1.5.33",
    behaviour="the thread of a task that timed out runs on",
    reason="on AWS a job is stopped when its task times out",
)
def _invoke_with_timeout(original: Call, resource: str, request: Any, timeout: float) -> Any:
    following, token = EXECUTION.get(), LIMITED.set(True)
    try:
        return original(resource, request, timeout)
    except STATES["_ExecutionError"] as error:
        following.timed_out = error.error == "States.Timeout"
        raise
    finally:
        LIMITED.reset(token)


@patch(
    MODULE,
    "_run_sub_machine",
    version="1.5.33",
    behaviour="branches of Parallel share one context, and run on when one of them fails",
    reason="they would read one another's state and variables; on AWS a failure ends all branches",
)
def _run_branch(  # noqa: PLR0913, PLR0917 - ministack's signature
    original: Call, states: Json, start: str, state_input: Any, execution: Json, context: Json
) -> Any:
    branch_context = {**context, "variables": {**context.get("variables", {})}}
    try:
        return original(states, start, state_input, execution, branch_context)
    except STATES["_ExecutionError"]:
        for failure in FAILURES.get()[-1:]:
            failure.set()
        raise


@patch(
    MODULE,
    "_run_parallel_branches",
    version="1.5.33",
    behaviour="Parallel ignores Arguments, Output and Assign in JSONata",
    reason="on AWS it has them, as each other state has",
)
def _run_branches(original: Call, state: Json, raw_input: Any, execution: Json, context: Json) -> Any:
    token = FAILURES.set((*FAILURES.get(), threading.Event()))
    try:
        if STATES["_state_query_language"](state, context) != "JSONata":
            return original(state, raw_input, execution, context)
        arguments = STATES["_apply_jsonata_arguments"](state, raw_input, context)
        result, following = original(state, arguments, execution, context)
    finally:
        FAILURES.reset(token)
    output = STATES["_apply_jsonata_output"](state, raw_input, context, result=result, default=result)
    STATES["_apply_state_assign"](state, raw_input, context, result=result)
    return output, following
