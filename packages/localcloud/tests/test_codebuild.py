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
    """Return what runs a buildspec over a source, and returns the build at its end."""

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
        started = rig.codebuild.start_build(projectName=name, **more)["build"]["id"]
        return rig.until(
            lambda: rig.codebuild.batch_get_builds(ids=[started])["builds"][0],
            lambda one: one["buildComplete"],
        )

    return run


def commands(*lines: str, **more: Any) -> dict[str, Any]:
    """Return a buildspec whose build runs these commands."""
    return {"phases": {"build": {"commands": list(lines)}}, **more}


def exported(build: Build) -> dict[str, str]:
    return {one["name"]: one["value"] for one in build["exportedEnvironmentVariables"]}


def phases(build: Build) -> dict[str, str]:
    return {phase["phaseType"]: phase.get("phaseStatus", "") for phase in build["phases"]}


def fault(build: Build) -> dict[str, str]:
    return next(dict(phase["contexts"][0]) for phase in build["phases"] if phase.get("contexts"))


def log_of(build: Build) -> str:
    with open(build["logs"]["deepLink"].removeprefix("file://"), encoding="utf-8") as file:  # noqa: PTH123
        return file.read()


def outputs(rig: Any, build: Build) -> dict[str, str]:
    """Return the files of the artifact."""
    content = rig.get(f"{build['projectName']}-out.zip")
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {name: archive.read(name).decode() for name in archive.namelist()}


def test_commands_share_variables_and_the_directory(build: Callable[..., Build]) -> None:
    """What one sets, the next sees, in later phases too; `exit` ends the command and not the build."""
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


def test_a_state_that_can_not_be_kept_fails_the_build(build: Callable[..., Build]) -> None:
    """The next command would run without what was set, and the build would succeed with something else."""
    # As on a full disk: no file may grow, and the shell survives the attempt.
    done = build(commands("trap '' XFSZ; ulimit -f 0; A=1", "echo next"))
    assert done["buildStatus"] == "FAILED"
    assert "Reason: exit status 1" in fault(done)["message"]


def test_a_failed_build_has_its_aftermath(build: Callable[..., Build]) -> None:
    """The command and its status are named; `finally` and post_build run; nothing after the failure does."""
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


def test_what_fails_before_the_build_ends_it(build: Callable[..., Build]) -> None:
    """There is no build and no aftermath when the preparation failed."""
    done = build({"phases": {"pre_build": {"commands": ["false"]}, "post_build": {"commands": ["true"]}}})
    assert phases(done)["PRE_BUILD"] == "FAILED"
    assert not {"BUILD", "POST_BUILD"} & set(phases(done))
    assert list(phases(done))[-2:] == ["FINALIZING", "COMPLETED"]


def test_artifacts_are_what_the_patterns_say(rig: Any, build: Callable[..., Build]) -> None:
    """Files below the base directory, without those excluded, with their paths unless these are discarded."""
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
def test_artifacts_that_are_not_there_fail_the_build(
    build: Callable[..., Build], artifacts: dict[str, Any], reason: str
) -> None:
    """A pattern that nothing matches is a failure of the upload."""
    done = build(commands("true", artifacts=artifacts))
    assert (done["buildStatus"], phases(done)["UPLOAD_ARTIFACTS"]) == ("FAILED", "FAILED")
    assert reason in fault(done)["message"]


def test_tools_reach_this_cloud_alone(
    rig: Any, build: Callable[..., Build], monkeypatch: pytest.MonkeyPatch
) -> None:
    """boto3 and `python` are there, bound to the local cloud, without anything of the user's AWS."""
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
    found = exported(done)
    assert (found["COUNT"], found["PROFILE"]) == ("1", "none")
    assert found["PLACE"].startswith(f"{rig.cloud.endpoint_url} ")
    assert found["IMAGE_URI"] == "local/stand-in:latest"


def test_a_stopped_build_ends_its_processes(rig: Any, tmp_path: Path, build: Callable[..., Build]) -> None:
    """Stopping ends the command that runs, and what it started."""
    mark = tmp_path / "pid"

    def stop() -> None:
        rig.until(mark.exists)
        running = rig.codebuild.list_builds()["ids"][0]
        rig.codebuild.stop_build(id=running)

    stopping = threading.Thread(target=stop)
    stopping.start()
    began = time.monotonic()
    done = build(commands(f"sleep 60 & echo $! > {mark}.new && mv {mark}.new {mark}; wait"))
    stopping.join()
    assert done["buildStatus"] == "STOPPED"
    assert time.monotonic() - began < 15
    status = subprocess.run(
        ["ps", "-o", "stat=", "-p", mark.read_text()], capture_output=True, text=True, check=False
    )
    assert status.stdout.strip()[:1] in ("", "Z")


def test_a_project_of_a_pipeline_is_started_by_it(rig: Any) -> None:
    """A build without the pipeline that feeds it is refused; so is a source that can't be reached."""
    name = rig.unique("project")
    environment = {"type": "LINUX_CONTAINER", "image": "i", "computeType": "BUILD_GENERAL1_SMALL"}
    given = {"name": name, "environment": environment, "serviceRole": rig.role}
    pipeline = {"type": "CODEPIPELINE"}
    rig.codebuild.create_project(source=pipeline, artifacts=pipeline, **given)
    with pytest.raises(ClientError, match="start the pipeline"):
        rig.codebuild.start_build(projectName=name)
    source = {"type": "GITHUB", "location": "https://github.com/a/b"}
    with pytest.raises(ClientError, match="no source of type GITHUB"):
        rig.codebuild.create_project(**{**given, "name": f"{name}-2"}, source=source, artifacts=pipeline)


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
def test_a_buildspec_that_would_be_read_otherwise_is_refused(text: str, reason: str) -> None:
    """Nothing that the file says is left out silently."""
    with pytest.raises(buildspec.BuildspecError, match=reason):
        buildspec.parse(text)
