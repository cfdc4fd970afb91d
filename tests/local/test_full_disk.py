"""A full disk ends a run, job, build or endpoint with its reason, and leaves no report of an earlier run."""

from __future__ import annotations

import errno
import importlib
import io
import json
import os
import subprocess
import sys
import tarfile
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest
import small_pipeline
from cloud_harness import project_at

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

commands: Any = importlib.import_module("local.__main__")
instances: Any = importlib.import_module("localcloud.services.sagemaker.instance")
process: Any = importlib.import_module("localcloud.core.process")
projects: Any = importlib.import_module("local.project")
runs: Any = importlib.import_module("local.run")
sample: Any = importlib.import_module("local.sample")

FULL = Path("/dev/full")
# `python -m local` with the files in FULL written to a device that is always full.
RUN = """
import os
from pathlib import Path
from local.__main__ import main

opened, full = os.open, os.environ["FULL"].split()
def open_full(path, flags, *rest, **more):
    return opened("/dev/full", os.O_WRONLY) if Path(path).name in full else opened(path, flags, *rest, **more)
os.open = open_full
main()
"""
NO_SPACE = "No space left on device"
EARLIER = '{"an earlier run": "succeeded"}'
LARGE = 3_000_000
needs_full = pytest.mark.skipif(not FULL.exists(), reason="only Linux has /dev/full")


def report_of(root: Path) -> dict[str, Any]:
    return dict(json.loads((root / ".local" / "report.json").read_text(encoding="utf-8")))


@pytest.fixture
def run_with_full_files(
    project: Path, python_path: str
) -> Iterator[Callable[..., subprocess.CompletedProcess[str]]]:
    """Return a function that calls `python -m local run` after an earlier run, with some files unwritable."""

    def call(*full: str, data: str = "data.csv") -> subprocess.CompletedProcess[str]:
        (project / "pipeline").mkdir()
        template = small_pipeline.platform("stand-in", [small_pipeline.ask()])
        (project / "pipeline" / "pipeline.yml").write_text(template)
        (project / ".local").mkdir(exist_ok=True)
        (project / ".local" / "report.json").write_text(EARLIER)
        (project / "data.csv").write_text("x,y\n1,2\n")
        names = " ".join(f"{name}.new" for name in full)
        return subprocess.run(
            [sys.executable, "-P", "-c", RUN, "run", "--data", data],  # the folder's container is a stand-in
            cwd=project,
            env={**os.environ, "PYTHONPATH": python_path, "FULL": names},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    yield call
    process.stop(project_at(project))


@needs_full
@pytest.mark.e2e  # for its time
def test_a_run_without_space_reports_the_reason(
    project: Path, run_with_full_files: Callable[..., Any], local_folder: Path
) -> None:
    """One sentence names the file, and this run's report has the status failed and the same reason."""
    done = run_with_full_files("project.toml")
    reason = f"{NO_SPACE}: {project}/.local/project.toml; free some space and run again."
    assert (done.returncode, done.stderr) == (1, f"error: {reason}\n")
    content = report_of(project)
    assert [(one["name"], one["status"], one["reason"]) for one in content["stages"]] == [
        ("Pipeline", "Succeeded", ""),
        ("Data", "Succeeded", ""),
        ("Run", "Failed", reason),
    ]
    jsonschema.validate(
        content, json.loads((local_folder / "report.schema.json").read_text(encoding="utf-8"))
    )


@needs_full
@pytest.mark.e2e  # for its time
def test_a_run_that_cannot_write_its_report_removes_the_earlier_one(
    project: Path, run_with_full_files: Callable[..., Any]
) -> None:
    """Without space for the report, the sentence says that the report is missing."""
    done = run_with_full_files("project.toml", "report.json")
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert f"{NO_SPACE}: {project}/.local/project.toml; free some space and run again." in done.stderr
    assert f"There is no report of this run: {NO_SPACE}: {project}/.local/report.json" in done.stderr
    assert not (project / ".local" / "report.json").exists()


def test_a_refused_run_leaves_the_earlier_report(
    project: Path, run_with_full_files: Callable[..., Any]
) -> None:
    """A wrong argument does not begin a run."""
    done = run_with_full_files(data="nothing.csv")
    assert done.returncode == 1
    assert (project / ".local" / "report.json").read_text() == EARLIER


@needs_full
@pytest.mark.parametrize("full", [True, False])
def test_a_run_that_fails_in_the_middle_reports_why(
    rig: Any,
    full: bool,  # noqa: FBT001 - a parameter of the cases
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The report has a failure outside of any step; without space for it, the sentence has both reasons."""
    project = projects.read_project(Path(rig.cloud.root))
    report = project.state / "report.json"
    report.write_text(EARLIER)
    if full:
        descriptor = os.open(FULL, os.O_WRONLY)
        monkeypatch.setattr(os, "open", lambda *_: descriptor)

    def act(_: Any) -> None:
        raise OSError(errno.ENOSPC, NO_SPACE, "somewhere")

    with pytest.raises((OSError, projects.LocalError)) as caught:
        commands.shown(act, runs.Delivery(rig.cloud, project))
    if full:
        assert f"{NO_SPACE}: somewhere; free some space and run again. There is no report" in str(
            caught.value
        )
        assert not report.exists()
    else:
        (failed,) = report_of(project.root)["stages"]
        assert (failed["name"], failed["status"]) == ("Run", "Failed")
        assert failed["reason"].startswith(f"{NO_SPACE}: somewhere")
        report.unlink()
    capsys.readouterr()


@pytest.mark.parametrize(("number", "falls_back"), [(errno.ENOSPC, False), (None, True)])
def test_the_other_sample_is_used_only_without_a_network(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    number: int | None,
    falls_back: bool,  # noqa: FBT001 - a parameter of the cases
) -> None:
    """Otherwise a run on a full disk would train on another table than the previous run."""

    def refused(_: Path) -> None:
        raise OSError(*([] if number is None else [number, NO_SPACE]))

    monkeypatch.setattr(sample, "_california_housing", refused)
    if falls_back:
        assert sample.write_sample(tmp_path).target == "progression"
    else:
        with pytest.raises(OSError, match=NO_SPACE):
            sample.write_sample(tmp_path)


def test_an_endpoint_whose_server_cannot_be_started_fails(tmp_path: Path) -> None:
    """Otherwise the endpoint would stay in the status Creating for ever."""

    def spawn(*_: Any) -> None:
        raise OSError(errno.ENOSPC, NO_SPACE, "log")

    context = SimpleNamespace(spawn=spawn, entrypoint=lambda: ["serve"])
    settings = instances.ServerSettings(context, tmp_path, tmp_path / "log", {}, 1.0, tmp_path / "port")
    instance = instances.Instance(settings)
    instance.begin()
    for thread in threading.enumerate():
        if "_keep_running" in thread.name:
            thread.join(10)
    assert instance.failed == f"{NO_SPACE}: log; free some space and run again."


def large_model() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        member = tarfile.TarInfo("model.bin")
        member.size = LARGE
        tar.addfile(member, io.BytesIO(bytes(LARGE)))
    return buffer.getvalue()


def test_a_job_on_a_full_disk_fails_and_releases_its_space(cramped: Any) -> None:
    """The reason names the disk, and the next job runs."""
    folder = cramped.unique("data")
    cramped.put(f"{folder}/a.csv", "1" * LARGE)
    source = {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": f"s3://{cramped.bucket}/{folder}/"}}
    failed = cramped.trained(InputDataConfig=[{"ChannelName": "train", "DataSource": source}])
    assert failed["TrainingJobStatus"] == "Failed"
    place = f"{cramped.cloud.root}/.local/jobs/{failed['TrainingJobName']}"
    reason = f"InternalServerError: {NO_SPACE}: {place}; free some space and run again."
    assert failed["FailureReason"] == reason
    assert cramped.trained()["TrainingJobStatus"] == "Completed"


def test_a_build_on_a_full_disk_fails_with_its_reason(cramped: Any) -> None:
    """The build ends although its log can't be written either."""
    name = cramped.unique("project")
    spec = json.dumps({"version": 0.2, "phases": {"build": {"commands": ["true"]}}})
    source = small_pipeline.zipped({"buildspec.yml": spec, "large": "1" * LARGE})
    cramped.s3.put_object(Bucket=cramped.bucket, Key=f"{name}.zip", Body=source)
    cramped.codebuild.create_project(
        name=name,
        source={"type": "S3", "location": f"{cramped.bucket}/{name}.zip"},
        artifacts={"type": "NO_ARTIFACTS"},
        environment={"type": "LINUX_CONTAINER", "image": "image", "computeType": "BUILD_GENERAL1_SMALL"},
        serviceRole=cramped.role,
    )
    started = cramped.codebuild.start_build(projectName=name)["build"]["id"]
    build = cramped.until(
        lambda: cramped.codebuild.batch_get_builds(ids=[started])["builds"][0],
        lambda one: one["buildComplete"],
    )
    assert build["buildStatus"] == "FAILED"
    (context,) = next(phase["contexts"] for phase in build["phases"] if phase.get("contexts"))
    assert context["message"].startswith(f"{NO_SPACE}: {cramped.cloud.root}/.local/builds/")


def test_an_endpoint_on_a_full_disk_fails_and_releases_its_space(cramped: Any) -> None:
    """The endpoint does not stay in the status Creating, and the next job runs."""
    name = cramped.unique("endpoint")
    cramped.s3.put_object(Bucket=cramped.bucket, Key=f"{name}.tar.gz", Body=large_model())
    url = f"s3://{cramped.bucket}/{name}.tar.gz"
    container = {"Image": "image", "ModelDataUrl": url}
    cramped.sagemaker.create_model(ModelName=name, ExecutionRoleArn=cramped.role, PrimaryContainer=container)
    variant = {"VariantName": "AllTraffic", "ModelName": name, "InitialInstanceCount": 1}
    cramped.sagemaker.create_endpoint_config(
        EndpointConfigName=name, ProductionVariants=[{**variant, "InstanceType": "ml.m5.large"}]
    )
    cramped.sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=name)
    ended = cramped.until(
        lambda: cramped.sagemaker.describe_endpoint(EndpointName=name),
        lambda one: one["EndpointStatus"] != "Creating",
    )
    assert ended["EndpointStatus"] == "Failed"
    assert ended["FailureReason"].startswith(f"{NO_SPACE}: {cramped.cloud.root}/.local/endpoints/{name}")
    assert cramped.trained()["TrainingJobStatus"] == "Completed"


@pytest.fixture
def small_disk(project: Path) -> Iterator[Callable[[int], None]]:
    """Yield a function that mounts a disk of a size in kB as a project's `.local`."""
    state = project / ".local"

    def mount(size: int) -> None:
        state.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", f"size={size}k", "none", str(state)]
        if subprocess.run(command, capture_output=True, check=False).returncode:
            pytest.skip("a disk can't be mounted here: that takes root and Linux")

    yield mount
    process.stop(project_at(project))
    if os.path.ismount(state):
        subprocess.run(["umount", "--lazy", str(state)], check=True)


@pytest.mark.parametrize("size", [12, 16])
def test_a_cloud_without_space_to_start_reports_the_reason(
    project: Path, small_disk: Callable[[int], None], run_with_full_files: Callable[..., Any], size: int
) -> None:
    """The log has space for a part of the reason, or for nothing."""
    small_disk(size)
    done = run_with_full_files()
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: the local cloud ended while it started; its log ")
    assert f"kB are free in {project}/.local: free some space)" in line


def test_a_run_without_space_for_its_lock_names_the_lock(
    project: Path, small_disk: Callable[[int], None], run_with_full_files: Callable[..., Any]
) -> None:
    """The report replaces the earlier one, so it has the space of that one."""
    small_disk(4)
    done = run_with_full_files()
    reason = f"{NO_SPACE}: {project}/.local/run.lock; free some space and run again."
    assert (done.returncode, done.stderr) == (1, f"error: {reason}\n")
    assert [(one["status"], one["reason"]) for one in report_of(project)["stages"]] == [("Failed", reason)]
