"""`jobs`, `logs`, `stop`, `up --export` and `status`, on jobs that run for real."""

from __future__ import annotations

import importlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
import small_pipeline
import typer
from cloud_harness import project_at
from delivery import approval
from delivery.commands import application, project
from delivery.jobs import sagemaker
from delivery.jobs.kinds import Jobs
from delivery.jobs.logs import StreamLogs
from typer.testing import CliRunner

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Call = Callable[..., Any]

code: Any = importlib.import_module("local.code")
LONGEST_GRACE = 10.0  # seconds from SIGTERM to SIGKILL at speed 1; at the speed of `fast` it is one second
MEMBERS = {
    "type",
    "id",
    "arn",
    "state",
    "started",
    "ended",
    "seconds",
    "processes",
    "parameters",
    "reason",
    "log",
}
TWO = {"InstanceType": "ml.m5.large", "InstanceCount": 2, "VolumeSizeInGB": 1}


def stand_in(root: Path, state: Path | None = None) -> Any:
    """Return a project as its own code reads it."""
    cloud = project_at(root)
    return SimpleNamespace(slug="stand-in", region="eu-central-1", state=state or cloud.state, cloud=cloud)


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch) -> Call:
    """Return a function that calls a command on a rig's project, or on another one, as a person does."""
    for name in (project.ENDPOINT, project.OWNER):
        monkeypatch.delenv(name, raising=False)
    app = typer.Typer()
    for group in application.GROUPS:
        group.register(app)

    def call(of: Any, *arguments: str) -> Any:
        chosen = stand_in(of.cloud.root) if hasattr(of, "cloud") and hasattr(of, "s3") else of
        return CliRunner().invoke(app, arguments, obj=project.Opener(lambda: chosen, code.ProjectCode))

    return call


def listed(call: Call, rig: Any, name: str, *arguments: str) -> Any:
    """Return a job as `jobs --json` prints it."""
    done = call(rig, "jobs", "--json", *arguments)
    assert done.exit_code == 0, done.output
    return next(job for job in json.loads(done.stdout)["jobs"] if job["id"].endswith(name))


def begun(rig: Any, hyperparameters: dict[str, str], **more: Any) -> str:
    """Start a training, and return its name once it has written its first lines."""
    request = rig.training(hyperparameters, **more)
    rig.sagemaker.create_training_job(**request)
    log = rig.cloud.project.state / "logs" / "jobs" / request["TrainingJobName"] / "algo-1.log"
    rig.until(lambda: log.is_file() and log.read_text().count("\n") >= 2)
    return str(request["TrainingJobName"])


def group_runs(pid: int) -> bool:
    """Return whether a process of the group runs; one that nobody has waited for does not."""
    listed = subprocess.run(["ps", "-eo", "pgid=,stat="], capture_output=True, text=True, check=True)
    return any(
        int(group) == pid and not state.startswith("Z")
        for group, state in (line.split() for line in listed.stdout.splitlines())
    )


def test_a_job_that_ignores_sigterm_is_stopped_and_killed(fast: Any, call: Call) -> None:
    """`jobs` shows the process, the parameters and the log; `stop` ends all of the process group in time."""
    name = begun(fast, {"sleep": "600", "stubborn": "1"})
    job = listed(call, fast, name, "--lines", "2")
    assert set(job) == MEMBERS
    assert (job["type"], job["state"], job["ended"]) == ("training", "InProgress", None)
    assert job["parameters"] == {"sleep": "600", "stubborn": "1"}
    assert job["log"] == ["validation_rmse=0.75;", "validation_rmse=0.5;"]
    assert group_runs(job["processes"]["algo-1"])
    began = time.monotonic()
    done = call(fast, "stop", name[:-1])  # a part of the name is enough when one job has it
    assert done.stdout == f"The training {name} has ended: Stopped.\n"
    assert time.monotonic() - began < LONGEST_GRACE
    assert not group_runs(job["processes"]["algo-1"])
    again = call(fast, "stop", name)
    assert (again.exit_code, again.stdout) == (0, f"The training {name} has ended before: Stopped.\n")
    assert listed(call, fast, name)["processes"] == {}


@pytest.mark.parametrize(
    ("hyperparameters", "more", "expected"),
    [
        ({"sleep": "0.5"}, {"ResourceConfig": TWO}, (0, "algo-2 | validation_rmse=0.5;")),
        ({"sleep": "0.2", "fail": "no memory"}, {}, (1, "validation_rmse=0.5;")),
    ],
    ids=["two instances", "failure"],
)
def test_a_followed_log_ends_with_the_job(
    rig: Any, call: Call, hyperparameters: dict[str, str], more: Any, expected: tuple[int, str]
) -> None:
    """The exit code is that of the job, so that a script may wait for it."""
    name = begun(rig, hyperparameters, **more)
    done = call(rig, "logs", name, "--follow")
    assert (done.exit_code, done.stdout.splitlines()[-1]) == expected
    state = rig.sagemaker.describe_training_job(TrainingJobName=name)["TrainingJobStatus"]
    assert f"The training {name} has ended: {state}" in done.stderr


def test_every_page_of_a_list_is_read(rig: Any, call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sagemaker, "LARGE_PAGES", {"PageSize": 1})
    names = {rig.trained()["TrainingJobName"] for _ in range(2)}
    assert names <= {job["id"] for job in json.loads(call(rig, "jobs", "--json").stdout)["jobs"]}
    common = names.pop()[:4]
    for command in (["stop", common], ["logs", common, "--follow"]):  # whose exit code is that of one job
        assert "jobs, such as " in str(call(rig, *command).exception)


@pytest.mark.e2e  # for its time
def test_builds_and_executions_are_stopped_by_their_own_services(rig: Any, call: Call) -> None:
    build, (machine, training) = start_build(rig), start_machine(rig)
    assert listed(call, rig, build)["type"] == "build"
    assert listed(call, rig, machine)["parameters"] == {"Wait": "long"}
    for name in (build, machine):
        assert call(rig, "stop", name).stdout.endswith("has ended: Stopped.\n")
    assert rig.codebuild.batch_get_builds(ids=[build])["builds"][0]["buildStatus"] == "STOPPED"
    assert rig.ended(training)["TrainingJobStatus"] == "Stopped"
    assert "has no log of its own" in str(call(rig, "logs", machine, "-f").exception)


@pytest.mark.e2e
def test_the_logs_of_an_executions_jobs_are_followed_to_its_end(rig: Any, call: Call) -> None:
    """A person who trains in the background has the execution's name alone; the exit code is its own."""
    name, training = start_machine(rig, {"sleep": "0.5", "fail": "no memory"})
    done = call(rig, "logs", name, "--follow", "-n", "1")
    assert (done.exit_code, done.stdout.splitlines()[-1]) == (1, f"{training} | validation_rmse=0.5;")
    said = done.stderr.splitlines()
    assert said[0].endswith(f" has no log of its own; its jobs, whose names have {name}, have logs:")
    assert f":{name} has ended: Failed" in said[1]
    assert rig.ended(training)["TrainingJobStatus"] == "Failed"
    again = call(rig, "logs", name, "--follow", "-n", "1")  # what has ended is shown and ends
    assert (again.exit_code, again.stdout.splitlines()[-1]) == (1, f"{training} | validation_rmse=0.5;")
    none = call(rig, "logs", f"{name}/algo-2", "--follow")
    assert (none.exit_code, none.stdout) == (1, "")


def start_build(rig: Any) -> str:
    """Start a build that sleeps, and return its id once it sleeps."""
    name = rig.unique("project")
    spec = {"version": 0.2, "phases": {"build": {"commands": ["exec sleep 600"]}}}
    rig.s3.put_object(
        Bucket=rig.bucket, Key=f"{name}.zip", Body=small_pipeline.zipped({"buildspec.yml": json.dumps(spec)})
    )
    rig.codebuild.create_project(
        name=name,
        source={"type": "S3", "location": f"{rig.bucket}/{name}.zip"},
        artifacts={"type": "NO_ARTIFACTS"},
        environment={"type": "LINUX_CONTAINER", "image": "any", "computeType": "BUILD_GENERAL1_SMALL"},
        serviceRole=rig.role,
    )
    build = rig.codebuild.start_build(projectName=name)["build"]
    rig.until(lambda: rig.cloud.processes().get(build["arn"]))
    return str(build["id"])


def start_machine(rig: Any, hyperparameters: dict[str, str] | None = None) -> tuple[str, str]:
    """Start a state machine that waits for a training, and return the names of both.

    With hyperparameters, the training's name has the execution's, as in a project.
    """
    name = rig.unique("execution")
    named = {"TrainingJobName": f"train-{name}-0"} if hyperparameters else {}
    training = rig.training(hyperparameters or {"sleep": "600"}, **named)
    task = {"Type": "Task", "Resource": "arn:aws:states:::sagemaker:createTrainingJob.sync", "End": True}
    definition = {"StartAt": "Train", "States": {"Train": {**task, "Parameters": training}}}
    machine = rig.stepfunctions.create_state_machine(
        name=rig.unique("machine"), definition=json.dumps(definition), roleArn=rig.role
    )
    rig.stepfunctions.start_execution(
        stateMachineArn=machine["stateMachineArn"], name=name, input=json.dumps({"Wait": "long"})
    )
    rig.until(lambda: any(training["TrainingJobName"] in arn for arn in rig.cloud.processes()))
    return name, training["TrainingJobName"]


def test_another_endpoint_is_read_and_named_once(
    rig: Any, call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """AWS_ENDPOINT_URL names the cloud of another project; a command that needs the own one is refused."""
    name = rig.trained()["TrainingJobName"]
    for variable, value in rig.cloud.environment.items():
        monkeypatch.setenv(variable, value)
    other = stand_in(tmp_path)
    done = call(other, "jobs", "--json")
    job = next(one for one in json.loads(done.stdout)["jobs"] if one["id"] == name)
    assert job["processes"] is None
    url = rig.cloud.endpoint_url
    assert done.stderr == f"AWS_ENDPOINT_URL is set: this reads {url}, not the project's local cloud.\n"
    assert f"AWS_ENDPOINT_URL is {url}, not this project's" in str(call(other, "up").exception)
    monkeypatch.setenv(project.OWNER, str(other.cloud.state))
    assert "No local cloud is running here" in str(call(other, "jobs").exception)


def test_logs_of_another_endpoint_come_from_cloudwatch(rig: Any) -> None:
    """Each line is read once, from the last ones on, under the name of the instance."""
    name = rig.trained(ResourceConfig=TWO)["TrainingJobName"]
    job, source = Jobs(rig.cloud).find(name), StreamLogs(rig.cloud)
    text = "validation_rmse=0.5;"
    last = [("algo-1", text), ("algo-2", text)]
    assert rig.until(lambda: source.tail(job, 1), lambda found: found == last)
    assert source.new(job, 1, last=False) == last
    assert source.new(job, 1, last=False) == []
    group, stream = sagemaker.TRAINING.log_group, f"{name}/algo-1"
    streams = rig.logs.describe_log_streams(logGroupName=group, logStreamNamePrefix=stream)["logStreams"]
    event = {"timestamp": int(time.time() * 1000), "message": "late"}
    rig.logs.put_log_events(logGroupName=group, logStreamName=streams[0]["logStreamName"], logEvents=[event])
    assert source.new(job, 1, last=True) == [("algo-1", "late")]


def test_exported_variables_are_for_a_shell(rig: Any, call: Call, tmp_path: Path) -> None:
    """Quotes, blanks and dollar signs of a path reach the variables as they are; a sentence does not."""
    state = tmp_path / "it's $HOME, `id`"
    state.mkdir()
    done = call(stand_in(rig.cloud.root, state), "up", "--export")
    assert "The local cloud answers at" in done.stderr
    script = 'set -eu; eval "$1"; exec env -0'
    shell = subprocess.run(
        ["sh", "-c", script, "sh", done.stdout], capture_output=True, text=True, check=True
    )
    seen = dict(line.split("=", 1) for line in shell.stdout.split("\0") if line)
    assert seen["AWS_ENDPOINT_URL"] == rig.cloud.endpoint_url
    assert seen["SAGEMAKER_USER_CONFIG_OVERRIDE"] == str(state / "sagemaker-sdk.yaml")


@pytest.mark.e2e
def test_a_profile_has_the_endpoint_and_the_key(rig: Any, call: Call, tmp_path: Path) -> None:
    """botocore, as the AWS CLI, reaches the cloud by the printed profile alone."""
    config = tmp_path / "config"
    config.write_text(call(rig, "up", "--profile", "local").stdout)
    code = (
        "from boto3.session import Session; s3 = Session(profile_name='local').client('s3'); "
        "print(*[one['Name'] for one in s3.list_buckets()['Buckets']])"
    )
    clean = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    environment = {**clean, "AWS_CONFIG_FILE": str(config)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
    )
    assert rig.bucket in done.stdout.split(), done.stderr


def test_status_and_the_approval_find_registered_models(rig: Any, call: Call) -> None:
    """SageMaker's lists have pages of ten, and leave out packages of a group unless they are asked for."""
    group, execution = rig.unique("group"), rig.unique("execution")
    rig.sagemaker.create_model_package_group(ModelPackageGroupName=group)
    container = {"Image": "image", "ModelDataUrl": f"s3://{rig.bucket}/model/model.tar.gz"}
    specification = {
        "Containers": [container],
        "SupportedContentTypes": ["text/csv"],
        "SupportedResponseMIMETypes": ["text/csv"],
    }
    for number in range(1, 12):
        rig.sagemaker.create_model_package(
            ModelPackageGroupName=group,
            InferenceSpecification=specification,
            ModelPackageDescription=f"model {number}",
            CustomerMetadataProperties={"PipelineExecutionId": f"{execution}-{number}"},
        )
    found = json.loads(call(rig, "status", "--json").stdout)["resources"]
    versions = {one["name"] for one in found if one["kind"] == "model package"}
    assert {f"{group}/{number}" for number in range(1, 12)} <= versions
    assert approval.describe_model(rig.cloud, f"{execution}-1") == "model 1"


@pytest.fixture
def watch(python_path: str, rig: Any) -> Callable[[], subprocess.Popen[str]]:
    """Return a function that starts `jobs --watch` on the rig's project without a terminal."""

    def watch() -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-P", "-m", "local", "jobs", "--watch"],
            cwd=rig.cloud.root,
            env={**os.environ, "PYTHONPATH": python_path},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return watch


@pytest.mark.e2e
def test_a_signal_ends_a_command_without_a_traceback(rig: Any, watch: Any) -> None:
    rig.trained()
    processes = {number: watch() for number in (signal.SIGINT, signal.SIGTERM)}
    for number, process in processes.items():
        assert re.match(r"\d\d:\d\d:\d\d [a-z ]+ \S+ ", process.stdout.readline())
        process.send_signal(number)
    for number, process in processes.items():
        output = process.communicate(timeout=10)
        assert (process.returncode, output[1]) == (128 + number, "")


@pytest.mark.e2e
def test_the_shell_completes_commands_and_logs(rig: Any, python_path: str, call: Call) -> None:
    name = rig.trained()["TrainingJobName"]
    script = call(rig, "completion", "bash").stdout
    running = begun(rig, {"sleep": "600"})
    for words, answer in ((["logs", name[:-2]], f"{name}/algo-1"), (["stop", running[:-2]], running)):
        assert answer in completed(rig, python_path, script, words)
    call(rig, "stop", running)
    assert running not in completed(rig, python_path, script, ["stop", running[:-2]])


def completed(rig: Any, python_path: str, script: str, words: list[str]) -> list[str]:
    """Return what a shell offers after the words."""
    test = (
        f"{script}\nCOMP_WORDS=({sys.executable} -m local {' '.join(words)}); COMP_CWORD=4\n"
        "_python_m_local; printf '%s\\n' \"${COMPREPLY[@]}\""
    )
    done = subprocess.run(
        ["bash", "-c", test],
        cwd=rig.cloud.root,
        env={**os.environ, "PYTHONPATH": python_path, "PYTHONSAFEPATH": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout.split()
