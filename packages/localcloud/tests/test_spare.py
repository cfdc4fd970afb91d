"""A cold start of a function from a process that waits: the function cannot tell, but for the time."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from localcloud.services.awslambda import worker_program
from localcloud.services.awslambda.spare import Spare

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

HANDLER = """
import os, sys
EARLY = "boto3" in sys.modules  # the program of a worker imports botocore alone
import botocore

def handler(event, context):
    environment = {name: os.environ.get(name) for name in ("SETTING", "OTHER")}
    return [EARLY, environment, os.getcwd(), getattr(botocore, "OWN", False), sys.argv, sys.path[1]]
"""
PIPES = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)


@pytest.fixture
def code(tmp_path: Path) -> Path:
    """Write a function and its program."""
    folder = tmp_path / "code"
    folder.mkdir()
    (folder / "index.py").write_text(HANDLER)
    (tmp_path / "_worker.py").write_text(worker_program.__loader__.get_source(worker_program.__name__))  # type: ignore[union-attr]
    return folder


@pytest.fixture
def spare(code: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Yield a spare process that waits, begun with a variable that the functions do not have."""
    monkeypatch.setenv("OTHER", "of the cloud")
    made = Spare()
    end(begin(made, code))
    monkeypatch.delenv("OTHER")
    yield made
    made.end()


def begin(spare: Any, code: Path, **env: str) -> Any:
    """Start a function's process."""
    command = [sys.executable, str(code.parent / "_worker.py")]
    environment = {**os.environ, **env}
    return spare.start(command, cwd=str(code), env=environment, text=True, bufsize=1, **PIPES)


def answer(process: Any, code: Path) -> Any:
    """Return what the function answers."""
    init = {"code_dir": str(code), "module": "index", "handler": "handler", "env": {}}
    for line in (init, {"event": 1}):
        process.stdin.write(json.dumps(line) + "\n")
        process.stdin.flush()
    assert json.loads(process.stdout.readline())["status"] == "ready"
    return json.loads(process.stdout.readline())["result"]


def end(process: Any) -> None:
    """End a function's process."""
    process.communicate(timeout=10)


def waiting(spare: Any) -> Any:
    """Return the process that waits."""
    return spare._process  # noqa: SLF001 - a function can't tell


def test_a_function_runs_in_the_process_that_waited(spare: Any, code: Path) -> None:
    """It has its own variables, folder and arguments, and the next process waits already."""
    waited = waiting(spare)
    process = begin(spare, code, SETTING="set")
    assert process is waited
    program = str(code.parent / "_worker.py")
    variables = {"SETTING": "set", "OTHER": None}
    assert answer(process, code) == [True, variables, str(code), False, [program], str(code.parent)]
    assert waiting(spare).poll() is None
    end(process)


@pytest.mark.parametrize(
    "why",
    ["its own botocore", "a module with a common name", "layers", "a setting of Python", "a dead process"],
)
def test_a_function_that_does_not_fit_gets_an_interpreter_of_its_own(
    spare: Any, code: Path, why: str
) -> None:
    waited, env = waiting(spare), {"SETTING": "set"}
    if why == "its own botocore":
        (code / "botocore").mkdir()
        (code / "botocore" / "__init__.py").write_text("OWN = True")
    elif why == "a module with a common name":
        (code / "calendar.py").write_text("OWN = True")
        (code / "index.py").write_text(HANDLER.replace("import botocore\n", "import calendar as botocore\n"))
    elif why == "layers":
        env["_LAMBDA_LAYERS_DIRS"] = str(code.parent)
    elif why == "a setting of Python":
        env["PYTHONHASHSEED"] = "1"
    else:
        waited.kill()
        waited.wait()
    process = begin(spare, code, **env)
    assert (process is waited) is (why != "a dead process")
    early, variables, folder, own, arguments, _ = answer(process, code)
    assert (early, variables["SETTING"], folder, len(arguments)) == (False, "set", str(code), 1)
    assert own is (why in {"its own botocore", "a module with a common name"})
    end(process)


def test_no_process_outlives_the_cloud(spare: Any, code: Path) -> None:
    """The one that waits ends with its cloud, also with one that is killed: then its input ends."""
    waited = waiting(spare)
    waited.stdin.close()
    assert waited.wait(10) == 0
    end(begin(spare, code))
    waited = waiting(spare)
    spare.end()
    assert waited.poll() is not None
    end(begin(spare, code))
    assert waiting(spare) is None
