"""Each execution of a function: by which version, how long, with which end."""

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
from localcloud.services.awslambda import embedded_metrics, payloads
from localcloud.services.awslambda.worker import INIT_SECONDS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from localcloud.core.context import CloudContext
    from localcloud.core.service import Json

    Execute = Callable[[Json, Any], Json]

LAMBDA = "ministack.services.lambda_svc"
NAMESPACE = "AWS/Lambda"
LATEST = "$LATEST"
# Marks the record of an execution that is counted already: ministack comes back for its own account's scope.
COUNTED = "_counted"
QUALIFIED_PARTS = 8
# The version that an invocation was executed by, for the answer's header.
EXECUTED: ContextVar[list[str] | None] = ContextVar("executed", default=None)


@dataclass(frozen=True)
class Call:
    """What was called, and the record of the version that executes it."""

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


def resolve(record: Json) -> Call:
    """Say what a record's ARN calls; of a weighted alias' versions one is drawn."""
    config = record.get("config") or record
    arn, function = str(config.get("FunctionArn", "")), str(config.get("FunctionName", ""))
    parts = arn.split(":")
    qualifier = parts[-1] if len(parts) == QUALIFIED_PARTS else ""
    known = ministack.name(LAMBDA, "_functions").get(function)
    alias = known["aliases"].get(qualifier) if known else None
    if alias is None:
        return Call(function, qualifier, str(config.get("Version", LATEST)), by_alias=False, record=record)
    version = drawn(alias)
    chosen = known if version == LATEST else known["versions"].get(version, record)
    chosen = {**chosen, "config": {**chosen["config"], "FunctionArn": arn}}
    return Call(function, qualifier, version, by_alias=True, record=chosen)


def drawn(alias: Mapping[str, Any]) -> str:
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
        self._closing = threading.Event()

    def install(self) -> None:
        """Take the place of ministack's own routing and metrics."""
        execute: Execute = ministack.name(LAMBDA, "_execute_function")
        ministack.replace(
            LAMBDA, "_execute_function", lambda func, event: self._execute(execute, func, event)
        )
        ministack.replace(LAMBDA, "_emit_lambda_metrics", lambda *_, **__: None)
        keep_aliases()
        tell_executed_versions()
        payloads.refuse_large_requests()
        threading.Thread(target=ministack.in_context(self._store), daemon=True).start()

    def close(self) -> None:
        """Stop measuring."""
        self._closing.set()

    def running(self, function: str, version: str = "") -> int:
        """Count a function's executions under way, of one version or of all."""
        return sum(
            count
            for (name, executed), count in self._running.items()
            if name == function and version in ("", executed)
        )

    def drain(self, function: str, version: str, seconds: float) -> bool:
        """Wait, at most so long, until no execution of the version is under way."""
        with self._ended:
            return self._ended.wait_for(lambda: not self._running[function, version], seconds)

    def _execute(self, execute: Execute, func: Json, event: Any) -> Json:
        if COUNTED in func:
            return execute(func, event)
        call = resolve(func)
        if (executed := EXECUTED.get()) is not None:
            executed.append(call.version)
        started = time.perf_counter()
        with self._counted(call):
            result = execute({**call.record, COUNTED: True}, event)
        seconds = time.perf_counter() - started - result.get(INIT_SECONDS, 0.0)
        self._measure(call, result, max(0.0, seconds))
        return result

    @contextmanager
    def _counted(self, call: Call) -> Iterator[None]:
        key = call.function, call.version
        with self._ended:
            self._running[key] += 1
        try:
            yield
        finally:
            with self._ended:
                self._running[key] -= 1
                self._ended.notify_all()

    def _measure(self, call: Call, result: Json, seconds: float) -> None:
        for dimensions in call.dimensions:
            for name, unit, value in measured(result, seconds):
                self._meter.add(Metric(NAMESPACE, name, unit, dimensions), value)
        for metric, value in embedded_metrics.metrics(result.get("log") or ""):
            self._meter.add(metric, value)

    def _store(self) -> None:
        with ministack.scope(self._context.region):
            while not self._closing.wait(self._context.clock.interval(METRICS_FLUSH)):
                self._meter.flush()


def measured(result: Json, seconds: float) -> list[tuple[str, str, float]]:
    """Return the metrics of one execution: name, unit and value; a throttled one did not run."""
    if result.get("throttle"):
        return [("Throttles", "Count", 1.0)]
    return [
        ("Invocations", "Count", 1.0),
        ("Errors", "Count", float(bool(result.get("error")))),
        ("Throttles", "Count", 0.0),
        ("Duration", "Milliseconds", round(seconds * 1000, 2)),
    ]


def keep_aliases() -> None:
    """Let a record that was found by an alias say so, whatever finds it: APIs, rules, state machines."""
    find = ministack.name(LAMBDA, "_effective_func_record_for_qualifier")

    def effective(func: Json | None, qualifier: str | None) -> tuple[Json | None, Json | None]:
        record, config = find(func, qualifier)
        alias = func["aliases"].get(qualifier) if func else None
        if alias is None or record is None:
            return record, config
        config = {**config, "FunctionArn": alias["AliasArn"]}
        return {**record, "config": config}, config

    ministack.replace(LAMBDA, "_effective_func_record_for_qualifier", effective)


def tell_executed_versions() -> None:
    """Name in Invoke's answer the version that was drawn."""
    invoke = ministack.name(LAMBDA, "_invoke")

    async def invoked(*arguments: Any, **named: Any) -> Any:
        executed: list[str] = []
        token = EXECUTED.set(executed)
        try:
            status, headers, body = await invoke(*arguments, **named)
        finally:
            EXECUTED.reset(token)
        if executed and "X-Amz-Executed-Version" in headers:
            headers["X-Amz-Executed-Version"] = executed[-1]
        return status, headers, body

    ministack.replace(LAMBDA, "_invoke", invoked)
