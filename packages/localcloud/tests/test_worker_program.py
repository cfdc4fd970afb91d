"""The program that runs a function's handler, by the lines that ministack writes to it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from localcloud.services.awslambda import worker_program

HANDLER = """
import os
import layered, packaged

def handler(event, context):
    print("handling", event)
    if event == "raise":
        raise LookupError("not there")
    if event == "set":
        return {1, 2}
    if event == "botocore":
        from botocore import handlers
        name, add_header = handlers.BUILTIN_HANDLERS[-1]
        add_header(params := {"headers": {}})
        return params["headers"]
    names = ("SETTING", "_X_AMZN_TRACE_ID", "AWS_LAMBDA_DURABLE_EXECUTION_ARN")
    return {
        "variables": {name: os.environ.get(name) for name in names},
        "modules": [layered.NAME, packaged.NAME],
        "context": [context.function_name, context.aws_request_id, context.invoked_function_arn],
        "left": 0 < context.get_remaining_time_in_millis() <= 3000,
    }
"""
HOOKS = """
calls = []
def get_before_snapshot():
    return [(calls.append, ("first",), {}), (calls.append, ("second",), {})]
def get_after_restore():
    return [(print, ("restored after", calls), {})]
"""


@pytest.fixture
def init(tmp_path: Path) -> dict[str, Any]:
    """Write a function and its layer; return the first line of the protocol."""
    code, layer = tmp_path / "code", tmp_path / "layer"
    packages = layer / "python" / "lib" / "python3.13" / "site-packages"
    for folder in (code, packages):
        folder.mkdir(parents=True)
    (code / "index.py").write_text(HANDLER)
    (code / "snapshot_restore_py.py").write_text(HOOKS)
    (layer / "python" / "layered.py").write_text("NAME = 'a module of a layer'")
    (packages / "packaged.py").write_text("NAME = 'a package of a layer'")
    env = {"SETTING": "set", "_LAMBDA_LAYERS_DIRS": str(layer)}
    return {"code_dir": str(code), "module": "index", "handler": "handler", "env": env, "function_name": "f"}


def run(init: dict[str, Any], *invocations: dict[str, Any]) -> tuple[list[Any], list[str]]:
    """Run the program to its end; return its answers, and the output of each invocation."""
    lines = [json.dumps(line) + "\n" for line in (init, *invocations)]
    ended = subprocess.run(
        [sys.executable, str(Path(worker_program.__file__))],
        input="".join(lines),
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
        env={name: value for name, value in os.environ.items() if not name.startswith("_")},
    )
    outputs = ended.stderr.split(f"{worker_program.END_OF_OUTPUT}\n")
    return [json.loads(line) for line in ended.stdout.splitlines()], outputs


def test_a_handler_has_its_environment_and_context(init: dict[str, Any]) -> None:
    """Variables of an invocation end with it; modules come from layers; printed text is not an answer."""
    context = {"request_id": "id", "invoked_function_arn": "arn", "trace_id": "Root=1", "depth": 1}
    durable = {"AWS_LAMBDA_DURABLE_EXECUTION_ARN": "execution"}
    (ready, first, second), outputs = run(
        init, {"event": 1, "ctx": {**context, "durable": durable}}, {"event": 2, "ctx": {}}
    )
    assert ready["status"] == "ready"
    assert first["result"] == {
        "variables": {
            "SETTING": "set",
            "_X_AMZN_TRACE_ID": "Root=1",
            "AWS_LAMBDA_DURABLE_EXECUTION_ARN": "execution",
        },
        "modules": ["a module of a layer", "a package of a layer"],
        "context": ["f", "id", "arn"],
        "left": True,
    }
    assert [value for value in second["result"]["variables"].values() if value] == ["set"]
    assert outputs == ["handling 1\n", "handling 2\n", ""]


def test_a_handler_that_raises_is_answered_for(init: dict[str, Any]) -> None:
    """An exception, or a result that JSON can't hold, is an answer; the program runs the next invocation."""
    (_, raised, unfit, header), _ = run(
        init, {"event": "raise"}, {"event": "set"}, {"event": "botocore", "ctx": {"depth": 3}}
    )
    assert (raised["raised"], raised["result"]["errorType"]) == (True, "LookupError")
    assert raised["result"]["errorMessage"] == "not there"
    assert "LookupError: not there" in raised["trace"]
    assert unfit["result"]["errorType"] == "TypeError"
    assert header["result"] == {worker_program.DEPTH_HEADER: "3"}


def test_snapshot_hooks_run_in_their_order(init: dict[str, Any]) -> None:
    """Hooks before the snapshot run in the reverse order of their registration, and before those after it."""
    (ready,), (output,) = run({**init, "snapstart": True})
    assert ready["status"] == "ready"
    assert output == "restored after ['second', 'first']\n"


def test_a_module_that_cannot_be_imported_is_named(init: dict[str, Any]) -> None:
    """The answer has the exception's type, and the program ends."""
    (answer,), _ = run({**init, "module": "absent"}, {"event": 1})
    assert answer == {"status": "error", "error": "ModuleNotFoundError: No module named 'absent'"}
