"""Run a Lambda function's handler by ministack's worker protocol: one JSON object a line.

The first line of standard input names the handler; each line after it is an invocation, and each is answered
by a line on standard output. Whatever the function prints goes to standard error, where a line of its own
ends the output of an invocation. ministack writes this file beside the function's code and runs it there, so
the standard library is all that it may import.
"""

from __future__ import annotations

import importlib
import json
import os
import site
import sys
import threading
import time
import traceback
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from collections.abc import Callable

    Json = dict[str, Any]
    Handler = Callable[[Any, Any], Any]

END_OF_OUTPUT = "\x00end of output"
PARENT_POLL_SECONDS = 1.0
TRACE = "_X_AMZN_TRACE_ID"
# ministack ends functions that invoke one another without end: it counts in this header, which a function's
# own calls of AWS pass on.
DEPTH, DEPTH_HEADER = "_MINISTACK_INVOKE_DEPTH", "X-Ministack-Invoke-Depth"


def main() -> None:
    """Load the handler and answer invocations until standard input ends."""
    answers, sys.stdout = sys.stdout, sys.stderr
    threading.Thread(target=_end_with_parent, args=(os.getppid(),), daemon=True).start()
    init = json.loads(sys.stdin.readline())
    try:
        handler = _load(init)
    except Exception as error:  # noqa: BLE001 - a module may raise anything while it is imported
        _write(answers, {"status": "error", "error": f"{type(error).__name__}: {error}"})
        return
    _write(answers, {"status": "ready", "cold": True})
    variables: dict[str, str] = {}
    for line in sys.stdin:
        message = json.loads(line)
        context = message.get("ctx") or {}
        variables = _set_variables(variables, context)
        _write(answers, _invoke(handler, message["event"], _context(init, context)))
        sys.stderr.write(f"{END_OF_OUTPUT}\n")
        sys.stderr.flush()


def _load(init: Json) -> Handler:
    os.environ.update(init.get("env") or {})
    sys.path.insert(0, init["code_dir"])
    for layer in filter(None, os.environ.get("_LAMBDA_LAYERS_DIRS", "").split(os.pathsep)):
        _add_layer(Path(layer))
    # Before the handler's module, which may make clients, and after the layers, which may bring a botocore.
    _pass_depth_on()
    handler: Handler = getattr(importlib.import_module(init["module"]), init["handler"])
    if init.get("snapstart"):
        _run_snapshot_hooks()
    return handler


def _add_layer(layer: Path) -> None:
    for packages in (layer / "python" / "lib").glob("*/site-packages"):
        site.addsitedir(str(packages))
    sys.path[:0] = [str(path) for path in (layer, layer / "python") if path.is_dir()]


def _pass_depth_on() -> None:
    try:
        from botocore import handlers  # noqa: PLC0415 - from the function's own packages, which may lack it
    except ImportError:
        return

    def add_header(params: Json, **_: Any) -> None:
        if depth := os.environ.get(DEPTH):
            params["headers"].setdefault(DEPTH_HEADER, depth)

    handlers.BUILTIN_HANDLERS.append(("before-call", add_header))


def _run_snapshot_hooks() -> None:
    """Take and restore a snapshot as SnapStart does, as far as the function's hooks can see."""
    try:
        hooks = importlib.import_module("snapshot_restore_py")
    except ImportError:
        return
    for function, arguments, named in [*reversed(hooks.get_before_snapshot()), *hooks.get_after_restore()]:
        function(*arguments, **named)


def _set_variables(old: dict[str, str], context: Json) -> dict[str, str]:
    """Set the environment variables of this invocation in place of the previous one's, and return them."""
    values = {
        TRACE: context.get("trace_id") or None,
        DEPTH: context.get("depth"),
        **(context.get("durable") or {}),
    }
    new = {name: str(value) for name, value in values.items() if value is not None}
    for name in old:
        os.environ.pop(name, None)
    os.environ.update(new)
    return new


def _context(init: Json, context: Json) -> SimpleNamespace:
    """Return the context object of an invocation."""
    name = init.get("function_name", "")
    deadline = time.time() + float(os.environ.get("_LAMBDA_TIMEOUT", "3"))
    return SimpleNamespace(
        function_name=name,
        function_version=os.environ.get("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST"),
        memory_limit_in_mb=init.get("memory", 128),
        invoked_function_arn=context.get("invoked_function_arn", init.get("arn", "")),
        aws_request_id=context.get("request_id", ""),
        log_group_name=os.environ.get("AWS_LAMBDA_LOG_GROUP_NAME", f"/aws/lambda/{name}"),
        log_stream_name=os.environ.get("AWS_LAMBDA_LOG_STREAM_NAME", ""),
        identity=None,
        client_context=None,
        get_remaining_time_in_millis=lambda: max(0, int((deadline - time.time()) * 1000)),
    )


def _invoke(handler: Handler, event: Any, context: SimpleNamespace) -> str:
    """Return the answer as JSON; an exception is one too, and so is a result that JSON can't hold."""
    try:
        return json.dumps({"status": "ok", "result": handler(event, context)})
    except Exception as error:  # noqa: BLE001 - a handler may raise anything
        result = {
            "errorMessage": str(error),
            "errorType": type(error).__name__,
            "stackTrace": traceback.format_tb(error.__traceback__),
        }
        return json.dumps({"status": "ok", "raised": True, "trace": traceback.format_exc(), "result": result})


def _write(answers: TextIO, answer: Json | str) -> None:
    answers.write((answer if isinstance(answer, str) else json.dumps(answer)) + "\n")
    answers.flush()


def _end_with_parent(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(PARENT_POLL_SECONDS)
    os._exit(0)


if __name__ == "__main__":
    main()
