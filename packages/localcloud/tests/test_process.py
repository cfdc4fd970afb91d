"""The cloud as a process: one for each project, found, stopped or killed with all its children."""

from __future__ import annotations

import importlib
import io
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from cloud_harness import project_at

from localcloud.core.managed_process import ManagedProcess
from localcloud.core.parent_watchdog import find_descendants

if TYPE_CHECKING:
    from collections.abc import Iterator

process: Any = importlib.import_module("localcloud.core.process")
worker: Any = importlib.import_module("localcloud.services.awslambda.worker")
WATCHDOG = Path(process.__file__).with_name("parent_watchdog.py")


@pytest.fixture
def stopping(project: Path) -> Iterator[Path]:
    """Stop the project's cloud after the test."""
    yield project
    process.stop(project_at(project))


def alive(pid: int) -> bool:
    """Return whether a process runs; a zombie does not."""
    shown = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return bool(shown.stdout.strip()) and not shown.stdout.startswith("Z")


def children_of(pid: int) -> list[str]:
    """List the running child processes of a process."""
    shown = subprocess.run(
        ["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True, check=False
    )
    return shown.stdout.split()


def wait_until(condition: Any, seconds: float = 3.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_starting_is_idempotent_and_safe_in_parallel(stopping: Path) -> None:
    """Any number of starts leads to one cloud, and stopping ends it."""
    with ThreadPoolExecutor(3) as pool:
        clouds = list(pool.map(process.start, [project_at(stopping)] * 3))
    assert len({cloud.pid for cloud in clouds}) == 1
    assert process.start(project_at(stopping)) == process.find(project_at(stopping)) == clouds[0]
    assert process.stop(project_at(stopping)) is True
    assert process.find(project_at(stopping)) is None
    assert process.stop(project_at(stopping)) is False
    assert not alive(clouds[0].pid)


def test_a_killed_cloud_leaves_no_process_and_starts_again(stopping: Path, rig: Any) -> None:
    """SIGKILL of the cloud ends its jobs and servers within seconds; the next start works."""
    cloud = process.start(project_at(stopping))
    assert cloud.port != rig.cloud.port
    client = cloud.client("sagemaker")
    request = rig.training({"sleep": "60", "stubborn": ""})
    cloud.client("s3").create_bucket(
        Bucket="artifacts", CreateBucketConfiguration={"LocationConstraint": cloud.region}
    )
    client.create_training_job(**request)
    client.create_model(ModelName="m", PrimaryContainer={"Image": "i"}, ExecutionRoleArn=rig.role)
    variant = {"VariantName": "v", "ModelName": "m", "InitialInstanceCount": 1, "InstanceType": "ml.m5.large"}
    client.create_endpoint_config(EndpointConfigName="c", ProductionVariants=[variant])
    client.create_endpoint(EndpointName="e", EndpointConfigName="c")
    rig.until(lambda: client.describe_endpoint(EndpointName="e")["EndpointStatus"] == "InService")
    children = children_of(cloud.pid)
    assert len(children) == 2 or sys.platform == "darwin"
    os.kill(cloud.pid, signal.SIGKILL)
    wait_until(lambda: not any(alive(int(pid)) for pid in children))
    assert (stopping / ".local" / "cloud.json").exists()
    assert process.find(project_at(stopping)) is None
    assert process.start(project_at(stopping)).pid != cloud.pid
    assert not (stopping / ".local" / "jobs").exists()


FUNCTION = """
import time
def handler(event, context):
    time.sleep(event.get("seconds", 0))
    return "awake"
"""


def make_functions(client: Any, *names: str) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("index.py", FUNCTION)
    for name in names:
        client.create_function(
            FunctionName=name,
            Runtime="python3.13",
            Role="arn:aws:iam::000000000000:role/function",
            Handler="index.handler",
            Code={"ZipFile": packed.getvalue()},
            Timeout=120,
        )


def test_a_stopped_cloud_leaves_no_function_process(stopping: Path) -> None:
    """Idle and busy functions have ended when `stop` returns."""
    cloud = process.start(project_at(stopping))
    client = cloud.client("lambda")
    make_functions(client, "idle", "busy", "deleted")
    for name in ("idle", "busy", "deleted"):
        client.invoke(FunctionName=name, Payload=b"{}")
    for name in ("busy", "deleted"):
        client.invoke(FunctionName=name, InvocationType="Event", Payload=b'{"seconds": 60}')
    workers = children_of(cloud.pid)
    assert len(workers) >= 3
    client.delete_function(FunctionName="deleted")
    process.stop(project_at(stopping))
    assert not any(alive(int(pid)) for pid in workers)


class Worker:
    """A stand-in for the worker of a function."""


def test_a_function_that_starts_while_the_cloud_stops_ends_with_it() -> None:
    """A schedule may start a function at any time: a late process is killed, and no further one starts."""
    processes, late = worker.Processes(), Worker()
    begun, killed_once, running = threading.Event(), threading.Event(), set()

    def start() -> None:
        with processes.starting(late):
            begun.set()
            killed_once.wait(10)
            running.add(late)

    def kill(workers: list[Worker]) -> None:
        running.difference_update(workers)
        killed_once.set()

    thread = threading.Thread(target=start)
    thread.start()
    begun.wait(10)
    processes.end(kill)
    thread.join()
    assert not running
    with pytest.raises(RuntimeError, match="is stopping"), processes.starting(Worker()):
        pass


def test_a_cloud_that_cannot_start_reports_the_reason(
    stopping: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error has the end of the cloud's log."""
    monkeypatch.setenv("PYTHONPATH", str(stopping / "shadow"))
    (stopping / "shadow" / "uvicorn").mkdir(parents=True)
    (stopping / "shadow" / "uvicorn" / "__init__.py").write_text("raise ImportError('uvicorn is broken')\n")
    with pytest.raises(process.CloudError, match="uvicorn is broken"):
        process.start(project_at(stopping))


def test_the_cloud_does_not_get_the_users_credentials(
    stopping: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither the cloud's process nor its clients have the user's keys, profile or proxy."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAREALKEY")
    monkeypatch.setenv("AWS_PROFILE", "production")
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example:3128")
    monkeypatch.setenv("http_proxy", "http://proxy.example:3128")
    cloud = process.start(project_at(stopping))
    client = cloud.client("s3")
    client.list_buckets()
    assert client.meta.endpoint_url == f"http://127.0.0.1:{cloud.port}"
    assert client._request_signer._credentials.access_key == cloud.key.id  # noqa: SLF001 - the private part is what is tested
    assert all(value != "AKIAREALKEY" for value in cloud.environment.values())
    of_process = Path(f"/proc/{cloud.pid}/environ")
    if of_process.exists():
        assert b"AKIAREALKEY" not in of_process.read_bytes()
        assert b"proxy.example" not in of_process.read_bytes()


def start_watchdog(*command: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-I", "-S", str(WATCHDOG), "0.3", *command],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


@pytest.mark.parametrize(("script", "code"), [("exit 0", 0), ("exit 7", 7), ("kill -9 $$", 137)])
def test_a_watchdog_passes_on_the_exit_code(script: str, code: int) -> None:
    """The watchdog ends with the status of its command."""
    assert start_watchdog("sh", "-c", script).wait(5) == code


def test_a_watchdog_ends_a_command_that_ignores_signals_and_its_children() -> None:
    """After the pipe closes and the grace period ends, the whole process group has ended."""
    watchdog = start_watchdog("sh", "-c", "trap '' TERM; sleep 60 & echo $! ; wait")
    assert watchdog.stdout is not None
    assert watchdog.stdin is not None
    grandchild = int(watchdog.stdout.readline())
    watchdog.stdin.close()
    watchdog.wait(3)
    wait_until(lambda: not alive(grandchild), 1.0)


APART = """
import subprocess, sys, time
child = subprocess.Popen(["sleep", "60"], start_new_session=True)
print(child.pid, flush=True)
time.sleep(float(sys.argv[1]))
"""


def start_apart(folder: Path, seconds: float) -> tuple[ManagedProcess, int]:
    """Start a command that starts a process in a session of its own; return both."""
    log = folder / "log"
    command = ["sh", "-c", "trap '' TERM; \"$@\"; exit 0", "sh", sys.executable, "-c", APART, str(seconds)]
    started = ManagedProcess(command, folder, {"PATH": os.environ["PATH"]}, log)
    for _ in range(500):
        if log.read_text(encoding="utf-8").endswith("\n"):
            return started, int(log.read_text(encoding="utf-8"))
        time.sleep(0.01)
    raise AssertionError("the command wrote no process id")


@pytest.mark.parametrize("seconds", [0.0, 60.0])
def test_a_process_in_a_session_of_its_own_ends_with_its_job(tmp_path: Path, seconds: float) -> None:
    """Protects 'Stopped' and 'Completed' from a part of the job that continues: a container ends whole."""
    other = subprocess.Popen(["sleep", "60"], start_new_session=True)
    started, child = start_apart(tmp_path, seconds)
    if seconds:
        started.end(grace=0.05)
    assert started.wait(5) == (128 + signal.SIGKILL if seconds else 0)
    assert child not in find_descendants(1)
    assert other.poll() is None
    other.kill()
    other.wait()


def test_a_missing_command_is_reported() -> None:
    """A wrong ENTRYPOINT leads to a message of one line."""
    watchdog = start_watchdog("no-such-program")
    assert watchdog.wait(5) == 127
    assert watchdog.stdout is not None
    assert watchdog.stdout.read() == b"error: no-such-program can't be started: No such file or directory\n"


def test_a_cloud_ends_with_its_project(project: Path) -> None:
    """Removing the folder of a project ends its cloud, which nobody could stop otherwise."""
    cloud = process.start(project_at(project))
    shutil.rmtree(project)
    wait_until(lambda: not alive(cloud.pid), 8.0)
