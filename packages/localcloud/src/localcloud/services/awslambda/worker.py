"""ministack's Python worker: errors by their type, output that is whole, and an end in its own time."""

from __future__ import annotations

import os
import queue
import threading
import time
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from localcloud.core import ministack
from localcloud.services.awslambda import payloads

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from localcloud.core.service import Json

LAMBDA = "ministack.services.lambda_svc"
RUNTIME = "ministack.core.lambda_runtime"
INIT_SECONDS = "init_seconds"
# Ends the output of an invocation; ministack waits 50 ms for output that may not come.
END_OF_OUTPUT = "\x00end of output"
OUTPUT_TIMEOUT = 0.25
START_TIMEOUT = 5.0
STOPPING = "the local cloud is stopping"
INIT_FAILED = "Worker init failed: "
DIED = "Worker process died"
RAISED = """json.dumps({
                "status": "ok", "raised": True, "trace": traceback.format_exc(), "result": {
                    "errorMessage": str(e), "errorType": type(e).__name__,
                    "stackTrace": traceback.format_tb(e.__traceback__)}})"""
LAST_LINES = "        _real_stdout.flush()\n\nrun()"
ENDING = f"""        _real_stdout.flush()
        sys.__stderr__.write({END_OF_OUTPUT!r} + chr(10))
        sys.__stderr__.flush()

def end_with(parent):
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(0)

import threading
threading.Thread(target=end_with, args=(os.getppid(),), daemon=True).start()
run()"""
SCRIPT = {
    'json.dumps({"status": "error", "error": str(e), "trace": traceback.format_exc()})': RAISED,
    'json.dumps({"status": "error", "error": str(e)})': (
        'json.dumps({"status": "error", "error": type(e).__name__ + ": " + str(e)})'
    ),
    LAST_LINES: ENDING,
}


class Invocation:
    """What the worker's answer says beyond what ministack takes from it."""

    def __init__(self) -> None:
        """Begin without an answer."""
        self.answer: Json = {}
        self.init_seconds = 0.0
        self.worker: Any = None


INVOCATION: ContextVar[Invocation | None] = ContextVar("invocation", default=None)


def install() -> Callable[[], None]:
    """Change the worker's program, and what is made of its answers; return what ends every worker."""
    kill = ministack.name(RUNTIME, "kill_workers")
    script = ministack.name(RUNTIME, "_PYTHON_WORKER_SCRIPT")
    for old, new in SCRIPT.items():
        if script.count(old) != 1:
            raise ministack.MissingNameError(f"ministack's Lambda worker has no {old!r} any more")
        script = script.replace(old, new)
    ministack.replace(RUNTIME, "_PYTHON_WORKER_SCRIPT", script)
    for module in (RUNTIME, LAMBDA):
        ministack.replace(module, "execution_credentials", credentials)
    processes = Processes()
    watch_workers(ministack.name(RUNTIME, "Worker"), processes)
    retire = spare_busy_workers()
    execute = ministack.name(LAMBDA, "_execute_function_warm")

    def execute_warm(func: Json, event: Any, request_id: str) -> Json:
        invocation = Invocation()
        token = INVOCATION.set(invocation)
        try:
            result = execute(func, event, request_id)
        finally:
            INVOCATION.reset(token)
            retire(invocation.worker)
        return {**ended(result, invocation, request_id, func), INIT_SECONDS: invocation.init_seconds}

    ministack.replace(LAMBDA, "_execute_function_warm", execute_warm)
    return lambda: processes.end(kill)


def credentials(config: Json) -> dict[str, str]:  # noqa: ARG001 - ministack names the account of the function
    """Return the credentials that a function has: the cloud's access key."""
    return {name: os.environ[name] for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")}


class Processes:
    """The workers that were started, of which none runs, or starts any more, once they were ended."""

    def __init__(self) -> None:
        """Begin without any."""
        self._changed = threading.Condition()
        self._workers: WeakSet[Any] = WeakSet()
        self._starting = 0
        self._over = False

    @contextmanager
    def starting(self, worker: Any) -> Iterator[None]:
        """Know the worker from before it has a process; refuse one that comes after the end."""
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
        # Those whose process came between.
        kill(workers)


def watch_workers(kind: Any, processes: Processes) -> None:
    """Keep each answer whole, and measure how long a worker takes to start."""
    spawn, invoke = kind._spawn, kind.invoke  # noqa: SLF001 - it is the private method that is mended

    def spawned(worker: Any) -> None:
        started = time.perf_counter()
        try:
            with processes.starting(worker):
                spawn(worker)
        finally:
            if invocation := INVOCATION.get():
                invocation.init_seconds += time.perf_counter() - started

    def invoked(worker: Any, *arguments: Any, **named: Any) -> Json:
        if invocation := INVOCATION.get():
            invocation.worker = worker
        answer: Json = invoke(worker, *arguments, **named)
        if invocation := INVOCATION.get():
            invocation.answer = answer
        return answer

    kind._spawn, kind.invoke = spawned, invoked  # noqa: SLF001
    kind._drain_stderr_bounded = lambda worker: output(worker._stderr_queue)  # noqa: SLF001


def spare_busy_workers() -> Callable[[Any], None]:
    """Let a worker finish what it does when its function is changed, or another worker of it fails.

    Return what ends such a worker once it has nothing to do.
    """
    kill = ministack.name(RUNTIME, "kill_workers")
    retired: set[Any] = set()

    def kill_idle(workers: Iterable[Any]) -> None:
        present = [worker for worker in workers if worker is not None]
        retired.update(worker for worker in present if worker.in_use)
        kill([worker for worker in present if worker not in retired])

    def retire(worker: Any) -> None:
        if worker in retired:
            retired.discard(worker)
            kill([worker])

    ministack.replace(RUNTIME, "kill_workers", kill_idle)
    return retire


def output(lines: queue.Queue[str]) -> str:
    """Return what an invocation wrote, up to the line that ends it."""
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


def ended(result: Json, invocation: Invocation, request_id: str, func: Json) -> Json:
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
        return {**result, "body": not_started(message.removeprefix(INIT_FAILED), request_id, func)}
    return payloads.bounded(result)


def not_started(told: str, request_id: str, func: Json) -> Json:
    """Return the error of a function whose module can't be imported, or fails while it is."""
    kind, _, message = told.partition(": ")
    if kind in ("ImportError", "ModuleNotFoundError"):
        handler = str(func["config"].get("Handler", ""))
        module = handler.rpartition(".")[0]
        kind, message = "Runtime.ImportModuleError", f"Unable to import module '{module}': {message}"
    return {"errorType": kind, "errorMessage": message, "requestId": request_id}
