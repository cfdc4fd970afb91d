"""Executing notebooks: which of them, their copies with outputs, and the error of a cell."""

from __future__ import annotations

import json
import os
import sys
import venv
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread, Timer
from typing import TYPE_CHECKING

import nbformat
import pytest
from botocore.client import BaseClient

from delivery import notebook_calls, notebook_endings, notebooks
from delivery.cloud import DeliveryError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from localcloud import Cloud


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes a notebook of code cells into a project."""

    def make(name: str, *cells: str) -> Path:
        book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in cells])
        path = tmp_path / notebooks.FOLDER / f"{name}.ipynb"
        path.parent.mkdir(exist_ok=True)
        nbformat.write(book, str(path))
        return path

    return make


def test_notebooks_are_found_in_order_and_by_the_beginning_of_their_names(
    write: Callable[..., Path], tmp_path: Path
) -> None:
    """A name that no notebook has is refused, and so executes nothing."""
    second, first = write("02-b"), write("01-a")
    assert notebooks.find_notebooks(tmp_path, ()) == [first, second]
    assert notebooks.find_notebooks(tmp_path, ["02"]) == [second]
    with pytest.raises(DeliveryError, match="has no notebook 03; it has 01-a, 02-b"):
        notebooks.find_notebooks(tmp_path, ["01", "03"])
    with pytest.raises(DeliveryError, match="has no notebook at all; it has none"):
        notebooks.find_notebooks(tmp_path / "elsewhere", ())


def test_the_error_of_a_cell_ends_a_notebook_and_outputs_go_to_the_copy_alone(
    write: Callable[..., Path], tmp_path: Path
) -> None:
    """The source stays without outputs; a notebook sees the given variables, and its own folder."""
    cells = ("import os\nprint(os.environ['PLACE'], os.getcwd())", "1 / 0", "print('too late')")
    path = write("01-a", *cells)
    before, results = path.read_bytes(), tmp_path / "results"
    variables = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "PLACE": "here"}
    with pytest.raises(DeliveryError, match=r"(?s)01-a\.ipynb failed.*ZeroDivisionError: division by zero"):
        notebooks.execute(path, results, Path(sys.executable), variables)
    assert path.read_bytes() == before
    first, second, third = nbformat.read(str(results / path.name), as_version=4).cells
    assert first.outputs[0]["text"] == f"here {path.parent}\n"
    assert second.outputs[0]["ename"] == "ZeroDivisionError"
    assert third.outputs == []
    assert [found.name for found in path.parent.iterdir()] == [path.name]


STARTS = """
import boto3, os
names = [name for name in dir() if "record" in name]
sagemaker = boto3.client("sagemaker", "eu-central-1", endpoint_url=os.environ["URL"])
role = "arn:aws:iam::123456789012:role/r"
image = {"TrainingImage": "i", "TrainingInputMode": "File"}
for refused in (True, False):
    try:
        sagemaker.create_training_job(
            TrainingJobName="refused" if refused else "started", RoleArn=role, AlgorithmSpecification=image,
            OutputDataConfig={"S3OutputPath": "s3://b/o"}, StoppingCondition={"MaxRuntimeInSeconds": 60},
            ResourceConfig={"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1},
        )
    except sagemaker.exceptions.ClientError:
        pass
print("names", names)
"""
WAIT = """
import os, pathlib, time
pathlib.Path("kernel").write_text(str(os.getpid()))
os.kill(int(os.environ["COMMAND"]), 2)
time.sleep(60)
"""


def test_an_interrupt_ends_the_kernel_and_names_what_the_notebook_started(
    write: Callable[..., Path], tmp_path: Path
) -> None:
    """A job whose start was refused has another's name, and so is not to be ended."""
    path, calls = write("01-a", STARTS, WAIT), list[notebook_endings.Call]()
    with serving_jobs() as url:
        kept = {name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ}
        key = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "HOME": str(tmp_path)}
        variables = {**kept, **key, "URL": url, "COMMAND": str(os.getpid())}
        with pytest.raises(KeyboardInterrupt):
            notebooks.execute(path, tmp_path / "results", Path(sys.executable), variables, calls.extend)
    assert [(call.operation, call.name) for call in calls] == [
        ("CreateTrainingJob", None),
        ("CreateTrainingJob", "started"),
    ]
    first = nbformat.read(str(tmp_path / "results" / path.name), as_version=4).cells[0]
    assert first.outputs[0]["text"] == "names []\n"
    with pytest.raises(ProcessLookupError):
        os.kill(int((path.parent / "kernel").read_text()), 0)


@contextmanager
def serving_jobs() -> Iterator[str]:
    """Serve CreateTrainingJob, which refuses one name; yield the address."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            refused = json.loads(body)["TrainingJobName"] == "refused"
            answer = {"__type": "ResourceInUse"} if refused else {"TrainingJobArn": "arn"}
            self.send_response(400 if refused else 200)
            self.end_headers()
            self.wfile.write(json.dumps(answer).encode())

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_a_call_under_way_is_awaited_and_none_follows(
    tmp_path: Path, cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Protects from a job that is started while the command looks for what to end."""
    path = tmp_path / notebook_calls.CALLS
    sent = {"call": "1-0", "operation": "StartExecution", "name": None, "answered": False}
    path.write_text(f"{json.dumps(sent)}\n", encoding="utf-8")

    def answer() -> None:
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(sent | {"name": "arn", "answered": True}) + "\n")

    Timer(0.1, answer).start()
    notebook_endings.end_calls(tmp_path)
    (call,) = notebook_endings.read_calls(tmp_path)
    assert (call.name, call.answered) == ("arn", True)
    monkeypatch.setattr(BaseClient, "_make_api_call", None)
    notebook_calls.record(str(tmp_path))
    with pytest.raises(KeyboardInterrupt):
        cloud.client("stepfunctions").start_execution(stateMachineArn="arn")
    assert all(each.answered for each in notebook_endings.read_calls(tmp_path))


def test_a_call_without_an_answer_is_reported(cloud: Cloud) -> None:
    """Nobody knows whether it has started something, which then runs on."""
    (said,) = notebook_endings.end_started(cloud, [notebook_endings.Call("StartBuild", None, answered=False)])
    assert "no answer yet to StartBuild" in said


@pytest.fixture
def waiting(cloud: Cloud) -> Iterator[Cloud]:
    """Let the cloud skip no time, so that an execution waits."""
    cloud.clock(speed=cloud.speed, skip=False)
    yield cloud
    cloud.clock(speed=cloud.speed, skip=cloud.skip)


def test_what_a_notebook_has_started_is_ended_and_all_else_stays(waiting: Cloud) -> None:
    """Jobs that the local cloud starts meanwhile, such as the monitor's, are not the notebook's."""
    steps, role = waiting.client("stepfunctions"), "arn:aws:iam::123456789012:role/r"
    states = {"Wait": {"Type": "Wait", "Seconds": 3600, "End": True}}
    machine = steps.create_state_machine(
        name="waits", definition=json.dumps({"StartAt": "Wait", "States": states}), roleArn=role
    )["stateMachineArn"]
    mine, other = (steps.start_execution(stateMachineArn=machine)["executionArn"] for _ in range(2))
    calls = [
        notebook_endings.Call("StartExecution", mine, answered=True),
        notebook_endings.Call("CreateEndpoint", "deleted-before", answered=True),
        notebook_endings.Call("CreateModel", None, answered=True),
    ]
    (said,) = notebook_endings.end_started(waiting, calls)
    assert (
        said == f"Interrupted: the state machine {mine.split(':execution:')[1]} of the notebook is Stopped."
    )
    status = [steps.describe_execution(executionArn=arn)["status"] for arn in (mine, other)]
    assert status == ["ABORTED", "RUNNING"]
    steps.stop_execution(executionArn=other)


def test_an_interpreter_without_jupyter_is_refused_before_a_delivery(tmp_path: Path) -> None:
    """An empty environment has no Jupyter; the message names the command that installs it."""
    venv.create(tmp_path / "empty", symlinks=True)
    with pytest.raises(DeliveryError, match=r"No module named 'ipykernel'\): 'make setup-sdk' installs"):
        notebooks.check(tmp_path / "empty" / "bin" / "python")
    notebooks.check(Path(sys.executable))


def test_a_file_that_is_no_notebook_leaves_no_former_result(tmp_path: Path) -> None:
    """The copy of an earlier execution would read as the result of this one."""
    path, result = tmp_path / "01-a.ipynb", tmp_path / "results" / "01-a.ipynb"
    path.write_text("{}")
    result.parent.mkdir()
    result.write_text("former")
    variables = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    with pytest.raises(DeliveryError, match=r"01-a\.ipynb failed\.\n"):
        notebooks.execute(path, result.parent, Path(sys.executable), variables)
    assert not result.exists()
