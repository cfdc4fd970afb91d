"""ministack's Python worker: errors by their type, output that is whole, and an end in its own time."""

from __future__ import annotations

import os
import queue
import threading
import time
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from localcloud.core.patches import constant, patch
from localcloud.services.awslambda import payloads, worker_program
from localcloud.services.awslambda.spare import Spare
from localcloud.services.awslambda.worker_program import END_OF_OUTPUT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from localcloud.core.service import Json

    Call = Callable[..., Any]

LAMBDA = "ministack.services.lambda_svc"
RUNTIME = "ministack.core.lambda_runtime"
PROGRAM = "_worker.py"  # as ministack names the file of a Python function's program
INIT_SECONDS = "init_seconds"
OUTPUT_TIMEOUT = 0.25
START_TIMEOUT = 5.0
STOPPING = "the local cloud is stopping"
INIT_FAILED = "Worker init failed: "
DIED = "Worker process died"


class Invocation:
    """The parts of a worker's answer that ministack does not take from it."""

    def __init__(self) -> None:
        """Begin without an answer."""
        self.answer: Json = {}
        self.init_seconds = 0.0
        self.worker: Any = None


INVOCATION: ContextVar[Invocation | None] = ContextVar("invocation", default=None)


class Processes:
    """The workers that were started; once they were ended, none runs and none starts."""

    def __init__(self) -> None:
        """Begin without any."""
        self._changed = threading.Condition()
        self._workers: WeakSet[Any] = WeakSet()
        self._starting = 0
        self._over = False

    @contextmanager
    def starting(self, worker: Any) -> Iterator[None]:
        """List the worker from before it has a process.

        Raises:
            RuntimeError: all workers were ended already.
        """
        with self._changed:
            if self._over:
                raise RuntimeError(STOPPING)
            self._workers.add(worker)
            self._starting += 1
        try:
            yield
        finally:
            with self._changed:
                self._starting -= 1
                self._changed.notify_all()

    def end(self, kill: Callable[[list[Any]], None]) -> None:
        """Kill them all, those too that are busy, are starting, or whose function is gone."""
        with self._changed:
            self._over = True
            workers = list(self._workers)
        kill(workers)
        with self._changed:
            self._changed.wait_for(lambda: not self._starting, START_TIMEOUT)
        # Those that got their process between the two.
        kill(workers)


def install() -> Callable[[], None]:
    """Apply the patches; return the function that ends every worker."""
    processes, retired, spare = Processes(), set[Any](), Spare()
    _program.apply()
    _subprocess.apply(spare)
    _credentials.apply()
    _spawn.apply(processes)
    _invoke.apply()
    _read_output.apply()
    _kill_idle.apply(retired)
    # The original: the patch would spare the workers that are busy.
    kill = _kill_idle.original
    _execute_warm.apply(retired, kill)

    def end() -> None:
        spare.end()
        processes.end(kill)

    return end


@constant(
    RUNTIME,
    "_PYTHON_WORKER_SCRIPT",
    version="1.5.33",
    behaviour="the worker's program gives an exception without its type, which ends the process; it does not "
    "mark where the output of an invocation ends, and it outlives a killed cloud",
    reason="Lambda names the exception and keeps the process; ministack waits 50 ms for output each time",
)
def _program(_original: str) -> str:
    return Path(worker_program.__file__).read_text(encoding="utf-8")


@constant(
    RUNTIME,
    "subprocess",
    version="1.5.33",
    behaviour="the process of each function imports boto3 when the first request has come",
    reason="a cold start takes a quarter of the time with a process that has imported it before",
)
def _subprocess(original: Any, spare: Spare) -> Any:
    def start(command: Any, **named: Any) -> Any:
        is_python = Path(command[-1]).name == PROGRAM and {"cwd", "env", "stdin"} <= named.keys()
        return spare.start(command, **named) if is_python else original.Popen(command, **named)

    used = ("DEVNULL", "PIPE", "STDOUT")
    return SimpleNamespace(Popen=start, **{name: getattr(original, name) for name in used})


@patch(
    (RUNTIME, LAMBDA),
    "execution_credentials",
    version="1.5.33",
    behaviour="a function's access key names the account of the function",
    reason="the cloud answers its own access key only",
)
def _credentials(_original: Call, _config: Json) -> dict[str, str]:
    return {name: os.environ[name] for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")}


@patch(
    RUNTIME,
    "Worker._spawn",
    version="1.5.33",
    behaviour="neither processes that are starting nor the time of a start are counted",
    reason="no process may outlive the cloud, and Lambda's Duration is without the start",
)
def _spawn(original: Call, processes: Processes, worker: Any) -> None:
    started = time.perf_counter()
    try:
        with processes.starting(worker):
            original(worker)
    finally:
        if invocation := INVOCATION.get():
            invocation.init_seconds += time.perf_counter() - started


@patch(
    RUNTIME,
    "Worker.invoke",
    version="1.5.33",
    behaviour="the caller takes result, error and log from a worker's answer",
    reason="the answer also has the exception's type and stack",
)
def _invoke(original: Call, worker: Any, *arguments: Any, **named: Any) -> Json:
    if invocation := INVOCATION.get():
        invocation.worker = worker
    answer: Json = original(worker, *arguments, **named)
    if invocation := INVOCATION.get():
        invocation.answer = answer
    return answer


@patch(
    RUNTIME,
    "Worker._drain_stderr_bounded",
    version="1.5.33",
    behaviour="output counts as complete when none comes for 5 ms, or none within 50 ms",
    reason="the program marks where the output of an invocation ends",
)
def _read_output(_original: Call, worker: Any) -> str:
    return _output(worker._stderr_queue)  # noqa: SLF001 - the lines of a worker have no public name


@patch(
    RUNTIME,
    "kill_workers",
    version="1.5.33",
    behaviour="a change of a function kills its workers, those too that run an invocation",
    reason="on AWS an invocation ends in its own time, with the settings that it began with",
)
def _kill_idle(original: Call, retired: set[Any], workers: Iterable[Any]) -> None:
    present = [worker for worker in workers if worker is not None]
    retired.update(worker for worker in present if worker.in_use)
    original([worker for worker in present if worker not in retired])


@patch(
    LAMBDA,
    "_execute_function_warm",
    version="1.5.33",
    behaviour="errors of a function have ministack's own words, and answers have no limit",
    reason="Lambda has names for them: the exception's, Runtime.ExitError, Function.ResponseSizeTooLarge",
)
def _execute_warm(  # noqa: PLR0913, PLR0917 - the state, and ministack's signature
    original: Call, retired: set[Any], kill: Call, func: Json, event: Any, request_id: str
) -> Json:
    invocation = Invocation()
    token = INVOCATION.set(invocation)
    try:
        result = original(func, event, request_id)
    finally:
        INVOCATION.reset(token)
        if invocation.worker in retired:
            retired.discard(invocation.worker)
            kill([invocation.worker])
    return {**_named(result, invocation, request_id, func), INIT_SECONDS: invocation.init_seconds}


def _output(lines: queue.Queue[str]) -> str:
    """Return the lines that an invocation wrote, up to the line that ends its output."""
    deadline, taken = time.monotonic() + OUTPUT_TIMEOUT, []
    while (left := deadline - time.monotonic()) > 0:
        try:
            line = lines.get(timeout=left)
        except queue.Empty:
            break
        if line.endswith(END_OF_OUTPUT):
            taken += [rest] if (rest := line.removesuffix(END_OF_OUTPUT)) else []
            break
        taken.append(line)
    return "\n".join(taken)


def _named(result: Json, invocation: Invocation, request_id: str, func: Json) -> Json:
    """Return the result with the error as Lambda names it."""
    answer = invocation.answer
    if answer.get("raised"):
        log = "\n".join(filter(None, [result.get("log", ""), answer["trace"]]))
        body = {**answer["result"], "requestId": request_id}
        return {**result, "body": body, "error": True, "function_error": "Unhandled", "log": log}
    message = result["body"].get("errorMessage") if result.get("error") else None
    if message == DIED:
        text = f"RequestId: {request_id} Error: Runtime exited without providing a reason"
        return {**result, "body": {"errorType": "Runtime.ExitError", "errorMessage": text}}
    if message and message.startswith(INIT_FAILED):
        return {**result, "body": _init_error(message.removeprefix(INIT_FAILED), request_id, func)}
    return payloads.bounded(result)


def _init_error(text: str, request_id: str, func: Json) -> Json:
    """Return the error of a function whose module can't be imported, or fails while it is."""
    kind, _, message = text.partition(": ")
    if kind in ("ImportError", "ModuleNotFoundError"):
        handler = str(func["config"].get("Handler", ""))
        module = handler.rpartition(".")[0]
        kind, message = "Runtime.ImportModuleError", f"Unable to import module '{module}': {message}"
    return {"errorType": kind, "errorMessage": message, "requestId": request_id}
