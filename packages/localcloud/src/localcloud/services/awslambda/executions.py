"""Executions of functions: drawn by an alias' weights, counted, and measured as Lambda measures them."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from localcloud.core import ministack
from localcloud.core.clock import METRICS_FLUSH
from localcloud.core.metrics import Dimensions, Meter, Metric
from localcloud.core.patches import patch, uses
from localcloud.services.awslambda import embedded_metrics, payloads
from localcloud.services.awslambda.worker import INIT_SECONDS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from localcloud.core.context import CloudContext
    from localcloud.core.service import Json

    Call = Callable[..., Any]

LAMBDA = "ministack.services.lambda_svc"
_LAMBDA = uses(LAMBDA, "_functions")
NAMESPACE = "AWS/Lambda"
LATEST = "$LATEST"
# Marks the record of an execution that is counted already: ministack calls again, in its own account's scope.
COUNTED = "_counted"
QUALIFIED_PARTS = 8
# The version that an invocation was executed by, for the answer's header.
EXECUTED: ContextVar[list[str] | None] = ContextVar("executed", default=None)


@dataclass(frozen=True)
class Invocation:
    """The function and qualifier that were called, and the record of the version that executes them."""

    function: str
    qualifier: str
    version: str
    by_alias: bool
    record: Json

    @property
    def dimensions(self) -> list[Dimensions]:
        """The sets of dimensions under which AWS counts this call."""
        resource = f"{self.function}:{self.qualifier}" if self.qualifier else self.function
        by_function: Dimensions = (("FunctionName", self.function),)
        by_resource: Dimensions = (*by_function, ("Resource", resource))
        by_version: Dimensions = (*by_resource, ("ExecutedVersion", self.version))
        return [(), by_function, by_resource, *([by_version] if self.by_alias else [])]


def resolve(record: Json) -> Invocation:
    """Return the invocation that a record's ARN means; of a weighted alias' versions one is drawn."""
    config = record.get("config") or record
    arn, function = str(config.get("FunctionArn", "")), str(config.get("FunctionName", ""))
    parts = arn.split(":")
    qualifier = parts[-1] if len(parts) == QUALIFIED_PARTS else ""
    stored = _LAMBDA["_functions"].get(function)
    alias = stored["aliases"].get(qualifier) if stored else None
    if alias is None:
        return Invocation(
            function, qualifier, str(config.get("Version", LATEST)), by_alias=False, record=record
        )
    version = draw(alias)
    chosen = stored if version == LATEST else stored["versions"].get(version, record)
    chosen = {**chosen, "config": {**chosen["config"], "FunctionArn": arn}}
    return Invocation(function, qualifier, version, by_alias=True, record=chosen)


def draw(alias: Mapping[str, Any]) -> str:
    """Draw one of an alias' versions by their weights."""
    left = random.random()  # noqa: S311 - nothing is to be kept secret
    for version, weight in alias.get("RoutingConfig", {}).get("AdditionalVersionWeights", {}).items():
        left -= float(weight)
        if left < 0:
            return str(version)
    return str(alias["FunctionVersion"])


class Executions:
    """All executions of functions: routed, counted and measured."""

    def __init__(self, context: CloudContext) -> None:
        """Begin with none."""
        self._context = context
        self._meter = Meter()
        self._running: Counter[tuple[str, str]] = Counter()
        self._ended = threading.Condition()

    def install(self) -> None:
        """Replace ministack's own routing and metrics, and begin to store metrics."""
        _execute.apply(self)
        _emit_metrics.apply()
        _keep_alias.apply()
        _name_executed_version.apply()
        payloads.refuse_large_requests.apply()
        self._context.timers.every(
            METRICS_FLUSH, ministack.in_context(self._store), "metrics of functions", self._flush_due
        )

    def running(self, function: str, version: str = "") -> int:
        """Count a function's executions under way, of one version or of all."""
        return sum(
            count
            for (name, executed), count in self._running.items()
            if name == function and version in ("", executed)
        )

    def drain(self, function: str, version: str, seconds: float) -> bool:
        """Wait until no execution of the version is under way; False when `seconds` pass before."""
        with self._ended:
            return self._ended.wait_for(lambda: not self._running[function, version], seconds)

    def execute(self, original: Call, func: Json, event: Any) -> Json:
        """Execute the version that the record means by `original`, ministack's own, and measure it."""
        if COUNTED in func:
            result: Json = original(func, event)
            return result
        call = resolve(func)
        if (executed := EXECUTED.get()) is not None:
            executed.append(call.version)
        started = time.perf_counter()
        with self._context.activities.active(code=True):
            with self._counted(call):
                result = original({**call.record, COUNTED: True}, event)
            seconds = time.perf_counter() - started - result.get(INIT_SECONDS, 0.0)
            self._measure(call, result, max(0.0, seconds))
        return result

    @contextmanager
    def _counted(self, call: Invocation) -> Iterator[None]:
        key = call.function, call.version
        with self._ended:
            self._running[key] += 1
        try:
            yield
        finally:
            with self._ended:
                self._running[key] -= 1
                self._ended.notify_all()

    def _measure(self, call: Invocation, result: Json, seconds: float) -> None:
        for dimensions in call.dimensions:
            for name, unit, value in _measurements(result, seconds):
                self._meter.add(Metric(NAMESPACE, name, unit, dimensions), value)
        for metric, value in embedded_metrics.metrics(result.get("log") or ""):
            self._meter.add(metric, value)

    def _flush_due(self) -> float | None:
        return self._context.clock.to_simulated(self._meter.began) if self._meter.began else None

    def _store(self) -> None:
        with ministack.scope(self._context.region):
            self._meter.flush()


def _measurements(result: Json, seconds: float) -> list[tuple[str, str, float]]:
    """Return the metrics of one execution: name, unit and value; a throttled one did not run."""
    if result.get("throttle"):
        return [("Throttles", "Count", 1.0)]
    return [
        ("Invocations", "Count", 1.0),
        ("Errors", "Count", float(bool(result.get("error")))),
        ("Throttles", "Count", 0.0),
        ("Duration", "Milliseconds", round(seconds * 1000, 2)),
    ]


@patch(
    LAMBDA,
    "_execute_function",
    version="1.5.33",
    behaviour="an alias calls its first version, whatever its weights; executions are not counted by version",
    reason="CodeDeploy shifts weights for every caller, and watches the metrics of a version",
)
def _execute(original: Call, executions: Executions, func: Json, event: Any) -> Json:
    return executions.execute(original, func, event)


@patch(
    LAMBDA,
    "_emit_lambda_metrics",
    version="1.5.33",
    behaviour="metrics have the function as their one dimension",
    reason="`Executions` stores them under each set of dimensions that AWS has",
)
def _emit_metrics(_original: Call, *_: Any, **__: Any) -> None:
    return None


@patch(
    LAMBDA,
    "_effective_func_record_for_qualifier",
    version="1.5.33",
    behaviour="the record of an alias' function is that of a version, without the alias",
    reason="APIs, rules and state machines find functions by it, and the alias has to be drawn from",
)
def _keep_alias(original: Call, func: Json | None, qualifier: str | None) -> tuple[Json | None, Json | None]:
    record, config = original(func, qualifier)
    alias = func["aliases"].get(qualifier) if func else None
    if alias is None or record is None:
        return record, config
    config = {**config, "FunctionArn": alias["AliasArn"]}
    return {**record, "config": config}, config


@patch(
    LAMBDA,
    "_invoke",
    version="1.5.33",
    behaviour="X-Amz-Executed-Version is the first version of an alias",
    reason="it is the version that was drawn by the weights",
)
async def _name_executed_version(original: Call, *arguments: Any, **named: Any) -> Any:
    executed: list[str] = []
    token = EXECUTED.set(executed)
    try:
        status, headers, body = await original(*arguments, **named)
    finally:
        EXECUTED.reset(token)
    if executed and "X-Amz-Executed-Version" in headers:
        headers["X-Amz-Executed-Version"] = executed[-1]
    return status, headers, body
