"""`python -m local run`: starting, following, approving and reporting an execution of the pipeline."""

from __future__ import annotations

import importlib
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import small_pipeline
from cloud_harness import project_at
from delivery.cloud import DeliveryError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


process: Any = importlib.import_module("localcloud.core.process")
runs: Any = importlib.import_module("local.run")
approval: Any = importlib.import_module("delivery.approval")
executions: Any = importlib.import_module("delivery.history.executions")
job_executions: Any = importlib.import_module("delivery.jobs.executions")
kinds: Any = importlib.import_module("delivery.jobs.kinds")
report: Any = importlib.import_module("local.report")
status: Any = importlib.import_module("delivery.status")
projects: Any = importlib.import_module("local.project")

SETTINGS = """\
[project]
name = "stand-in"
region = "eu-central-1"

[data]
prefix = "raw/"
target = "price"
"""
DEPLOY = {"Name": "Deploy", "Actions": [small_pipeline.stack("thing")]}
STAGES = [small_pipeline.build(), small_pipeline.ask(), DEPLOY]


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    """Yield a project whose pipeline builds, asks for approval and deploys, with its cloud running."""
    made = tmp_path / "project"
    (made / "pipeline").mkdir(parents=True)
    (made / "pipeline" / "pipeline.yml").write_text(small_pipeline.platform("stand-in", STAGES))
    for name, text in {**small_pipeline.FILES, "project.toml": SETTINGS, "data.csv": "price\n1\n"}.items():
        (made / name).write_text(text)
    process.start(project_at(made))
    yield made
    process.stop(project_at(made))


@pytest.fixture
def begin(root: Path) -> Callable[..., Any]:
    """Return a function that creates a run."""

    def create(*, approve: bool) -> Any:
        project, settings = runs.resolve_settings(projects.read_project(root), None)
        return runs.Delivery(
            process.start(project.cloud), project, (root / "data.csv",), 0, approve, settings
        )

    return create


def until(look: Callable[[], Any], seconds: float = 20.0) -> Any:
    """Wait until the function returns a true value, and return the value."""
    deadline = time.monotonic() + seconds
    while not (seen := look()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return seen


def waiting(one: Any) -> Any:
    """Return the pending approval if it belongs to this run's execution."""
    pending = approval.find(one.cloud, one.pipeline)
    return pending if pending and pending.execution_id == one.execution_id else None


def in_background(one: Any) -> threading.Thread:
    """Deliver in a thread, and ignore a failure."""

    def deliver() -> None:
        try:
            runs.deliver(one)
        except DeliveryError:
            return

    thread = threading.Thread(target=deliver, daemon=True)
    thread.start()
    return thread


def test_a_run_completes_and_is_reported(begin: Callable[..., Any]) -> None:
    """Every action is a record of the run, and the approval is given at once."""
    one = begin(approve=True)
    runs.deliver(one)
    found = [(record.name, record.status) for record in one.records()]
    names = ("Pipeline", "Data", "Take", "Make", "Ask", "Stack")
    assert found == [(name, "Succeeded") for name in names]
    content = report.read_report(report.write_report(one))
    assert [stage["name"] for stage in content["stages"]] == list(names)
    build = next(stage for stage in content["stages"] if stage["name"] == "Make")
    assert (one.project.root / build["log"]).is_file()
    pipelines = [job for job in kinds.Jobs(one.cloud).all() if job.kind == "pipeline"]
    first = min(pipelines, key=lambda job: job.started)
    assert first.reason.endswith(
        job_executions.TOO_EARLY
    )  # `jobs` shows it as Failed, which is nobody's fault


def test_a_failure_of_the_build_is_reported_with_its_own_message(
    begin: Callable[..., Any], root: Path
) -> None:
    """The build finds a wrong entry of project.toml, and CodeBuild only reports the command that failed."""
    (root / "make.sh").write_text("echo 'error: project.toml: the colour is mud.' >&2\nexit 2\n")
    try:
        with pytest.raises(projects.LocalError, match=r"status 2 error: project\.toml: the colour is mud"):
            runs.deliver(begin(approve=True))
    finally:
        (root / "make.sh").write_text(small_pipeline.FILES["make.sh"])


def test_an_approval_is_requested_and_answered(begin: Callable[..., Any]) -> None:
    """A pending approval shows the model's description and how to answer; a rejection ends the run."""
    one = begin(approve=False)
    thread = in_background(one)
    until(lambda: waiting(one))
    sagemaker = one.cloud.client("sagemaker")
    sagemaker.create_model_package_group(ModelPackageGroupName="stand-in")
    for execution, text in ((one.execution_id, "rmse 1. Warning: few rows."), ("another", "rmse 2.")):
        sagemaker.create_model_package(
            ModelPackageGroupName="stand-in",
            ModelPackageDescription=text,
            CustomerMetadataProperties={"PipelineExecutionId": execution},
        )
    asked = next(record for record in one.records() if record.name == "Ask")
    assert asked.reason.endswith(f"Its evaluation: rmse 1. Warning: few rows.\n{approval.HOW}")
    shown = next(fact for fact in status.overview(one.cloud) if fact.kind == "pipeline")
    assert shown.state == f"InProgress; Ask of stage Ask waits, execution {one.execution_id}"
    approval.reply(one.cloud, one.pipeline, "Rejected", "not good enough")
    thread.join(10)
    ended = next(record for record in one.records() if record.name == "Ask")
    assert (ended.status, ended.reason) == ("Failed", "Rejected: not good enough")
    with pytest.raises(DeliveryError, match="No approval"):
        approval.reply(one.cloud, one.pipeline, "Approved", "late")


def test_the_next_run_replaces_an_abandoned_one(begin: Callable[..., Any]) -> None:
    """An approval that nobody answers does not block the next run."""
    abandoned = begin(approve=False)
    in_background(abandoned)
    until(lambda: waiting(abandoned))
    one = begin(approve=True)
    runs.deliver(one)
    assert executions.execution_status(one.cloud, one.pipeline, abandoned.execution_id) == "Failed"
    assert executions.execution_status(one.cloud, one.pipeline, one.execution_id) == "Succeeded"


def test_data_files_are_those_that_the_pipeline_reads(tmp_path: Path) -> None:
    """Files that `prepare` reports are uploaded too, and hidden files are counted."""
    names = ["B.CSV", "a.csv.gz", "d.Parquet", "notes.txt", "year=2020/c.csv", ".git/x.csv", "._a.csv"]
    for name in names:
        (tmp_path / "in" / name).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / "in" / name).write_text("x\n1\n")
    files, note = runs.data_files(tmp_path / "in")
    assert [path.relative_to(tmp_path / "in").as_posix() for path in files] == names[:5]
    assert note == "4 tables and 1 other files are uploaded, and 2 hidden files are not."
    assert runs.data_files(tmp_path / "in/B.CSV") == ((tmp_path / "in/B.CSV",), "")


def test_what_holds_no_data_is_refused(tmp_path: Path) -> None:
    """Such files are refused before any deployment."""
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(projects.LocalError, match=r"notes\.txt is not called \.csv, \.csv\.gz or \.parquet"):
        runs.data_files(tmp_path / "notes.txt")
    with pytest.raises(projects.LocalError, match=r"none\.csv does not exist; name a CSV or Parquet file"):
        runs.data_files(tmp_path / "none.csv")
    with pytest.raises(projects.LocalError, match="neither a CSV or Parquet file nor a folder"):
        runs.data_files(tmp_path)
    (tmp_path / "more").symlink_to(tmp_path)
    with pytest.raises(
        projects.LocalError, match=r"more is a link to a folder, or to nothing: copy the files"
    ):
        runs.data_files(tmp_path)
    (tmp_path / "more").unlink()
    Path(os.fsdecode(bytes(tmp_path) + b"/\xff.csv")).write_text("x\n1\n")
    with pytest.raises(projects.LocalError, match=r"'\\udcff\.csv' is not UTF-8"):
        runs.data_files(tmp_path)


def test_unchanged_data_are_not_uploaded_again(begin: Callable[..., Any]) -> None:
    """A file that is missing in the run's data is deleted."""
    one = begin(approve=True)
    runs.deploy_pipeline(one)
    runs.upload_data(one)
    s3, bucket = one.cloud.client("s3"), runs.pipeline_outputs(one)["ArtifactBucket"]
    first = s3.head_object(Bucket=bucket, Key="raw/data.csv")["VersionId"]
    s3.put_object(Bucket=bucket, Key="raw/older.csv", Body=b"")
    runs.upload_data(one)
    assert s3.head_object(Bucket=bucket, Key="raw/data.csv")["VersionId"] == first
    assert [each["Key"] for each in s3.list_objects_v2(Bucket=bucket, Prefix="raw/")["Contents"]] == [
        "raw/data.csv"
    ]


def test_another_target_is_of_this_run_alone(tmp_path: Path) -> None:
    """The file project.toml stays as it is."""
    (tmp_path / "project.toml").write_text(SETTINGS)
    project, settings = runs.resolve_settings(projects.read_project(tmp_path), 'a "column"')
    assert project.target == 'a "column"'
    assert settings == SETTINGS.replace('"price"', '"a \\"column\\""')
    assert (tmp_path / "project.toml").read_text() == SETTINGS


@pytest.mark.e2e
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_an_interrupted_run_stops_its_execution(root: Path, python_path: str, number: signal.Signals) -> None:
    """Ctrl-C ends what the command has started, and leaves the cloud and what was deployed."""
    command = [sys.executable, "-P", "-m", "local", "run", "--data", "data.csv", "--rows", "0"]
    environment = {**os.environ, "PYTHONPATH": python_path}
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    process_of_run = subprocess.Popen(command, cwd=root, env=environment, **pipes)
    cloud = process.find(project_at(root))
    pending = until(lambda: approval.find(cloud, "stand-in-pipeline"), 40.0)
    process_of_run.send_signal(number)
    output = process_of_run.communicate(timeout=20)
    stopped = f"Interrupted: the execution {pending.execution_id} is Stopped; the local cloud and what was"
    # Without a terminal, the question of the approval is the line before.
    *asked, ended = output[1].splitlines()
    assert (process_of_run.returncode, ended) == (128 + number, f"{stopped} deployed stay.")
    assert len(asked) <= 1
    assert all(line.startswith("Answer in another terminal") for line in asked)
    state = executions.execution_status(cloud, "stand-in-pipeline", pending.execution_id)
    assert state == "Stopped"
    assert cloud.answers()
