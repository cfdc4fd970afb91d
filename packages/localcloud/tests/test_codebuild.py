"""Builds on the local cloud: a buildspec's commands as processes, from the source to the artifacts."""

from __future__ import annotations

import importlib
import io
import json
import subprocess
import threading
import time
import zipfile
from typing import TYPE_CHECKING, Any

import pytest
import small_pipeline
from botocore.exceptions import ClientError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

buildspec = importlib.import_module("localcloud.services.codebuild.buildspec")
Build = Any


@pytest.fixture
def build(rig: Any) -> Callable[..., Build]:
    """Return a function that runs a buildspec on a source, and returns the ended build."""

    def run(spec: dict[str, Any], files: dict[str, str] | None = None, **more: Any) -> Build:
        name = rig.unique("project")
        source = small_pipeline.zipped(
            {"buildspec.yml": json.dumps({"version": 0.2, **spec}), **(files or {})}
        )
        rig.s3.put_object(Bucket=rig.bucket, Key=f"{name}.zip", Body=source)
        artifacts = {"type": "S3", "location": rig.bucket, "name": f"{name}-out.zip", "packaging": "ZIP"}
        rig.codebuild.create_project(
            name=name,
            source={"type": "S3", "location": f"{rig.bucket}/{name}.zip"},
            artifacts=artifacts if "artifacts" in spec else {"type": "NO_ARTIFACTS"},
            environment={
                "type": "LINUX_CONTAINER",
                "image": "aws/codebuild/standard:7.0",
                "computeType": "BUILD_GENERAL1_SMALL",
                "environmentVariables": [{"name": "LEVEL", "value": "project"}],
            },
            serviceRole=rig.role,
        )
        build_id = rig.codebuild.start_build(projectName=name, **more)["build"]["id"]
        return rig.until(
            lambda: rig.codebuild.batch_get_builds(ids=[build_id])["builds"][0],
            lambda current: current["buildComplete"],
        )

    return run


def commands(*lines: str, **more: Any) -> dict[str, Any]:
    """Return a buildspec whose build runs these commands."""
    return {"phases": {"build": {"commands": list(lines)}}, **more}


def exported(build: Build) -> dict[str, str]:
    return {variable["name"]: variable["value"] for variable in build["exportedEnvironmentVariables"]}


def phases(build: Build) -> dict[str, str]:
    return {phase["phaseType"]: phase.get("phaseStatus", "") for phase in build["phases"]}


def fault(build: Build) -> dict[str, str]:
    return next(dict(phase["contexts"][0]) for phase in build["phases"] if phase.get("contexts"))


def log_of(build: Build) -> str:
    with open(build["logs"]["deepLink"].removeprefix("file://"), encoding="utf-8") as file:  # noqa: PTH123 - the link is a text
        return file.read()


def outputs(rig: Any, build: Build) -> dict[str, str]:
    """Return the files of the artifact."""
    content = rig.get(f"{build['projectName']}-out.zip")
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {name: archive.read(name).decode() for name in archive.namelist()}


def test_commands_share_variables_and_the_directory(build: Callable[..., Build]) -> None:
    """Variables and directory pass to the next command and phase; `exit` ends a command, not the build."""
    spec = {
        "env": {
            "variables": {"LEVEL": "spec", "OWN": "spec"},
            "exported-variables": ["A", "B", "LEVEL", "OWN"],
        },
        "phases": {
            "install": {"commands": ["A='its\n two'", "mkdir deep && cd deep", "exit 0"]},
            "build": {
                "commands": ['B=$(basename "$PWD"):$CODEBUILD_BUILD_SUCCEEDING', 'echo "$A" > out.txt']
            },
        },
    }
    done = build(spec, environmentVariablesOverride=[{"name": "OWN", "value": "start"}])
    assert done["buildStatus"] == "SUCCEEDED", log_of(done)
    assert exported(done) == {"A": "its\n two", "B": "deep:1", "LEVEL": "project", "OWN": "start"}


def test_a_state_that_cannot_be_saved_fails_the_build(build: Callable[..., Build]) -> None:
    """Otherwise the next command would run without the variables, and the build would succeed."""
    # As on a full disk: no file may grow, and the shell survives the attempt.
    done = build(commands("trap '' XFSZ; ulimit -f 0; A=1", "echo next"))
    assert done["buildStatus"] == "FAILED"
    assert "Reason: exit status 1" in fault(done)["message"]


def test_a_failed_build_runs_finally_and_post_build(build: Callable[..., Build]) -> None:
    """The message names the command and its status; the later commands of the phase do not run."""
    spec = {
        "env": {"exported-variables": ["TOLD"]},
        "phases": {
            "build": {"commands": ["exit 3", "echo never-said"], "finally": ["echo in the end"]},
            "post_build": {"commands": ["TOLD=$CODEBUILD_BUILD_SUCCEEDING"]},
        },
    }
    done = build(spec)
    assert done["buildStatus"] == "FAILED"
    reason = "Error while executing command: exit 3. Reason: exit status 3"
    assert fault(done) == {"statusCode": "COMMAND_EXECUTION_ERROR", "message": reason}
    assert exported(done) == {"TOLD": "0"}
    assert "in the end" in log_of(done)
    assert "\nnever-said" not in log_of(done)


def test_a_failure_before_the_build_phase_ends_the_build(build: Callable[..., Build]) -> None:
    """The phases BUILD and POST_BUILD do not run after a failed PRE_BUILD."""
    done = build({"phases": {"pre_build": {"commands": ["false"]}, "post_build": {"commands": ["true"]}}})
    assert phases(done)["PRE_BUILD"] == "FAILED"
    assert not {"BUILD", "POST_BUILD"} & set(phases(done))
    assert list(phases(done))[-2:] == ["FINALIZING", "COMPLETED"]


def test_artifacts_are_the_files_that_match_the_patterns(rig: Any, build: Callable[..., Build]) -> None:
    """The base directory and exclude-paths limit the files, and discard-paths removes their directories."""
    files = {"out/a.json": "a", "out/deep/b.json": "b", "out/c.txt": "c", "d.json": "d"}
    chosen = {"base-directory": "out", "files": ["**/*"], "exclude-paths": ["*.txt"]}
    done = build(commands("true", artifacts=chosen), files)
    assert outputs(rig, done) == {"a.json": "a", "deep/b.json": "b"}
    done = build(commands("true", artifacts={"files": "out/**/*.json", "discard-paths": "yes"}), files)
    assert outputs(rig, done) == {"a.json": "a", "b.json": "b"}


@pytest.mark.parametrize(
    ("artifacts", "reason"),
    [
        ({"files": ["none"]}, "no matching artifact paths"),
        ({"files": ["x"], "base-directory": "no"}, "no matching base"),
    ],
)
def test_missing_artifacts_fail_the_build(
    build: Callable[..., Build], artifacts: dict[str, Any], reason: str
) -> None:
    """A pattern without a match fails the phase UPLOAD_ARTIFACTS."""
    done = build(commands("true", artifacts=artifacts))
    assert (done["buildStatus"], phases(done)["UPLOAD_ARTIFACTS"]) == ("FAILED", "FAILED")
    assert reason in fault(done)["message"]


def test_tools_reach_only_the_local_cloud(
    rig: Any, build: Callable[..., Build], monkeypatch: pytest.MonkeyPatch
) -> None:
    """`python` and boto3 use the local cloud, and do not get the user's settings of AWS."""
    monkeypatch.setenv("AWS_PROFILE", "production")
    count = (
        'import boto3; print(boto3.client("s3").list_objects_v2(Bucket="%s", Prefix="model/")["KeyCount"])'
    )
    done = build(
        commands(
            f"COUNT=$(python -c '{count % rig.bucket}')",
            "PLACE=$(python -c 'import os; print(os.environ[\"AWS_ENDPOINT_URL\"], os.getcwd())')",
            "PROFILE=${AWS_PROFILE-none}",
            env={"exported-variables": ["COUNT", "PLACE", "PROFILE", "IMAGE_URI"]},
        )
    )
    assert done["buildStatus"] == "SUCCEEDED", log_of(done)
    variables = exported(done)
    assert (variables["COUNT"], variables["PROFILE"]) == ("1", "none")
    assert variables["PLACE"].startswith(f"{rig.cloud.endpoint_url} ")
    assert variables["IMAGE_URI"] == "local/stand-in:latest"


def test_a_stopped_build_ends_its_processes(rig: Any, tmp_path: Path, build: Callable[..., Build]) -> None:
    """Stopping a build ends the running command and the processes that the command started."""
    pid_file = tmp_path / "pid"

    def stop() -> None:
        rig.until(pid_file.exists)
        running = rig.codebuild.list_builds()["ids"][0]
        rig.codebuild.stop_build(id=running)

    stopping = threading.Thread(target=stop)
    stopping.start()
    began = time.monotonic()
    done = build(commands(f"sleep 60 & echo $! > {pid_file}.new && mv {pid_file}.new {pid_file}; wait"))
    stopping.join()
    assert done["buildStatus"] == "STOPPED"
    assert time.monotonic() - began < 15
    status = subprocess.run(
        ["ps", "-o", "stat=", "-p", pid_file.read_text()], capture_output=True, text=True, check=False
    )
    assert status.stdout.strip()[:1] in ("", "Z")


def test_only_a_pipeline_starts_its_project(rig: Any) -> None:
    """A build outside the pipeline is refused; so is a source that the local cloud can't reach."""
    name = rig.unique("project")
    environment = {"type": "LINUX_CONTAINER", "image": "i", "computeType": "BUILD_GENERAL1_SMALL"}
    properties = {"name": name, "environment": environment, "serviceRole": rig.role}
    pipeline = {"type": "CODEPIPELINE"}
    rig.codebuild.create_project(source=pipeline, artifacts=pipeline, **properties)
    with pytest.raises(ClientError, match="start the pipeline"):
        rig.codebuild.start_build(projectName=name)
    source = {"type": "GITHUB", "location": "https://github.com/a/b"}
    with pytest.raises(ClientError, match="no source of type GITHUB"):
        rig.codebuild.create_project(**{**properties, "name": f"{name}-2"}, source=source, artifacts=pipeline)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("version: 0.1", "version 0.2"),
        ("version: 0.2\nbatch: {}", "batch"),
        ("version: 0.2\nphases: {test: {commands: []}}", "test"),
        ("version: 0.2\nphases: {build: {commands: [{a: b}]}}", "string type"),
        ("version: 0.2\nphases: {build: {on-failure: RETRY}}", "RETRY"),
        ("version: [", "YAML_FILE_ERROR"),
    ],
)
def test_an_unsupported_buildspec_is_refused(text: str, reason: str) -> None:
    """The local cloud does not silently ignore a part of the file."""
    with pytest.raises(buildspec.BuildspecError, match=reason):
        buildspec.parse(text)
