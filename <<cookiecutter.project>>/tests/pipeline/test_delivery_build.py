"""The build of the delivery pipeline: its targets, its environment variables and its results."""

import copy
import dataclasses
import hashlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline.run import Run
from tests.pipeline.aws import Aws
from tests.pipeline.delivery_template import (
    EXECUTION_ID,
    RESOURCES,
    ROOT,
    SOURCES,
    STACKS,
    find_action,
    organization_parameters,
    resolve,
    source_parameters,
    stages,
    statements,
    substitute,
)

BUILDSPEC = yaml.safe_load((ROOT / "pipeline" / "buildspec.yml").read_text(encoding="utf-8"))
MAKEFILE = (ROOT / "pipeline" / "build.mk").read_text(encoding="utf-8")
IMAGE_SCRIPT = (ROOT / "scripts" / "image").read_text(encoding="utf-8")


def test_the_buildspec_calls_existing_targets() -> None:
    """The buildspec has no logic: every command is make with targets of build.mk."""
    phases = BUILDSPEC["phases"].values()
    commands = [command for phase in phases for command in phase.get("commands", [])]
    calls = [re.fullmatch(r"make (--jobs \d+ )?--file pipeline/build\.mk ([a-z ]+)", one) for one in commands]
    called = [target for call in calls if call for target in call[2].split()]
    assert all(calls)
    assert called == ["setup", "image", "package", "render"]
    assert set(called) <= set(re.findall(r"(?m)^([a-z]+):", MAKEFILE))
    assert BUILDSPEC["artifacts"]["base-directory"] == "build"
    assert RESOURCES["BuildProject"]["Properties"]["Source"]["BuildSpec"] == "pipeline/buildspec.yml"


def test_images_are_built_from_existing_targets() -> None:
    """The default target of the Dockerfile is the container."""
    dockerfile = (ROOT / "container" / "Dockerfile").read_text(encoding="utf-8")
    targets = re.findall(r"(?m)^FROM \S+ AS (\w+)$", dockerfile)
    called = re.findall(r'scripts/image "\S+" "\S+" (\w+)', MAKEFILE)
    assert called == ["container", "lambda"]
    assert set(called) <= set(targets)
    assert targets[-1] == "container"
    assert len(targets) == dockerfile.count("\nFROM ")


def build_environment(pipeline: list[dict[str, Any]]) -> set[str]:
    """Return the names of the variables that the project and the action set."""
    project = RESOURCES["BuildProject"]["Properties"]["Environment"]["EnvironmentVariables"]
    action = find_action(pipeline, "Build")["Configuration"]["EnvironmentVariables"]
    return {entry["Name"] for entry in project} | {entry["name"] for entry in json.loads(action)}


# Variables that build.mk reads from ECR and from the pipeline's execution.
COMPUTED_BY_THE_BUILD = {"IMAGE_URI", "DATA_VERSION"}


def environment_faults(given: set[str], makefile: str) -> Iterator[str]:
    """List the variables that are set and not read, or read and not set by action, project or build."""
    run = {declared.metadata["environment"]: declared for declared in dataclasses.fields(Run)}
    required = {name for name, declared in run.items() if declared.default is dataclasses.MISSING}
    # Shell variables with a default, and variables that make itself sets, are optional.
    needed = set(re.findall(r"\$\(([A-Z_]+)\)", makefile)) - set(
        re.findall(r"(?m)^(?:export )?(\w+) \?=", makefile)
    )
    read = set(re.findall(r"\$[({](\w+)", makefile + IMAGE_SCRIPT)) | run.keys()
    yield from (f"{name} is set, and nobody reads it" for name in sorted(given - read))
    yield from (
        f"{name} is read, and not set" for name in sorted((needed | required) - given - COMPUTED_BY_THE_BUILD)
    )


def test_the_build_gets_the_environment_that_it_reads() -> None:
    """Every required variable is set, and every set variable is read."""
    assert list(environment_faults(build_environment(stages("S3")), MAKEFILE)) == []


def test_a_missing_or_unused_variable_of_the_build_is_reported() -> None:
    """The cases are a missing variable, an unused one, and a new one in a target."""
    broken = copy.deepcopy(stages("S3"))
    configuration = find_action(broken, "Build")["Configuration"]
    configuration["EnvironmentVariables"] = configuration["EnvironmentVariables"].replace(
        "COMMIT_ID", "COMMIT"
    )
    makefile = MAKEFILE.replace("$(KMS_KEY_ARN)", "$(KEY_ARN)")
    assert list(environment_faults(build_environment(broken), makefile)) == [
        "COMMIT is set, and nobody reads it",
        "COMMIT_ID is read, and not set",
        "KEY_ARN is read, and not set",
    ]


def test_the_build_reads_the_variables_of_its_execution_from_codepipeline() -> None:
    """CodePipeline does not escape values in the JSON of the action, so no variable may occur there."""
    for kind in SOURCES:
        configuration = find_action(stages(kind), "Build")["Configuration"]
        assert "#{variables." not in configuration["EnvironmentVariables"]
    assert re.findall(r'--pipeline "(\S+)" --execution "(\S+)"', MAKEFILE) == [
        ("$(PROJECT)-pipeline", "$(PIPELINE_EXECUTION_ID)")
    ]
    (allowed,) = [one for one in statements("BuildRole") if "codepipeline" in json.dumps(one["Action"])]
    name = substitute(RESOURCES["Pipeline"]["Properties"]["Name"]["Fn::Sub"], source_parameters("S3"))
    assert allowed["Action"] == "codepipeline:GetPipelineExecution"
    assert allowed["Resource"].endswith(f":{name}")


ENVIRONMENT = {
    "IMAGE_URI": "local/house:latest",
    "PIPELINE_EXECUTION_ID": EXECUTION_ID,
    "COMMIT_ID": "3f2a91c",
    "DATA_VERSION": "newest",
    "REASON": "commit",
    "PROJECT": "p" * 16,
    "ARTIFACT_BUCKET": "the-bucket",
    "KMS_KEY_ARN": "arn:aws:kms:eu-central-1:000000000000:key/1",
    "SAGEMAKER_ROLE_ARN": "arn:aws:iam::000000000000:role/sagemaker",
    "NOTIFICATION_TOPIC_ARN": "arn:aws:sns:eu-central-1:000000000000:topic",
}


def make(folder: Path, *targets: str, **changed: str) -> subprocess.CompletedProcess[str]:
    """Run targets of build.mk in a copy of the source."""
    environment = {"PATH": os.environ["PATH"], **ENVIRONMENT, "PYTHON": sys.executable, **changed}
    command = ["make", "--file", "pipeline/build.mk", *targets]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture
def source(tmp_path: Path, project_file: Path) -> Path:
    """Link the folders that the build reads, beside the project's own project.toml."""
    assert project_file.parent == tmp_path
    for folder in ("pipeline", "scripts", "stacks", "container", "functions", "vendor"):
        (tmp_path / folder).symlink_to(ROOT / folder)
    return tmp_path


def test_an_existing_image_is_not_built(source: Path, rendered: dict[str, Any], aws: Aws) -> None:
    """With IMAGE_URI the build needs no Docker, and its other results are the same."""
    done = make(source, "image", "render", **aws.environment)
    assert done.returncode == 0, done.stderr
    files = {path.name: path for path in (source / "build").glob("*.json")}
    assert files.keys() == rendered.keys()
    parameters = json.loads(files["deploy-model-prd.json"].read_text(encoding="utf-8"))["Parameters"]
    assert (parameters["ImageUri"], parameters["ApiPackage"]) == ("local/house:latest", "zip")


def test_no_variable_of_an_execution_breaks_the_build(source: Path, aws: Aws) -> None:
    """Quotes, line breaks and shell syntax are passed on unchanged."""
    reason = "say \"no\"\n$(touch ran) `touch ran` 'so' \\ é"
    variables = [
        {"name": "Reason", "resolvedValue": reason},
        {"name": "DataVersion", "resolvedValue": '"; exit 1'},
    ]
    declared = {entry["Name"] for entry in RESOURCES["Pipeline"]["Properties"]["Variables"]}
    assert declared == {each["name"] for each in variables}
    aws.variables = variables
    done = make(source, "image", "render", DATA_VERSION="", REASON="", **aws.environment)
    assert done.returncode == 0, done.stderr
    started = json.loads((source / "build" / "workflow-input.json").read_text(encoding="utf-8"))
    assert (started["Reason"], started["DataVersion"]) == (reason, '"; exit 1')
    assert not (source / "ran").exists()
    assert f"asked {ENVIRONMENT['PROJECT']}-pipeline {EXECUTION_ID}" in aws.calls


def test_a_missing_image_stops_the_build(source: Path, aws: Aws) -> None:
    """Without Docker, repository or address the build fails, and renders nothing."""
    done = make(
        source, "image", IMAGE_URI="", REPOSITORY_URI="1.dkr.ecr.eu-central-1.example/p", PATH="/usr/bin:/bin"
    )
    assert done.returncode != 0
    assert not (source / "build" / "deploy-model-prd.json").exists()
    done = make(source, "image", "render", IMAGE_URI="", REPOSITORY_URI="", **aws.environment)
    assert done.returncode != 0
    assert "IMAGE_URI" in done.stderr


def test_a_pipeline_delivers_its_own_project_only(source: Path, aws: Aws) -> None:
    """Its roles have no rights for a project of another name, which would fail much later."""
    done = make(source, "image", "render", PROJECT="another", **aws.environment)
    assert done.returncode != 0
    assert "this pipeline delivers another" in done.stderr


def test_every_stack_is_packaged(source: Path, aws: Aws) -> None:
    """`make package` writes each template into the folder of the artifacts, and only uploads the rest."""
    done = make(source, "package", **aws.environment)
    assert done.returncode == 0, done.stderr
    assert {path.name for path in (source / "build").glob("*.yml")} == STACKS.keys()
    assert {call.partition(" ")[0] for call in aws.calls} == {"HEAD", "PUT"}
    uploaded = len(list((source / "stacks").glob("*.asl.json"))) + len(["functions"])
    assert len(aws.objects) == uploaded
    assert all(path.startswith(f"/{ENVIRONMENT['ARTIFACT_BUCKET']}/packages/") for path in aws.objects)


def test_setup_installs_nothing_if_the_packages_exist(source: Path) -> None:
    """CodeBuild's images have the packages, so a build in a VPC without internet access needs no index."""
    done = make(source, "setup", PIP_INDEX_URL="http://127.0.0.1:9", PIP_RETRIES="0")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def installations(source: Path, lacks: str) -> list[str]:
    """Return the installations of `setup` with a Python that lacks a package."""
    program = source / "python"
    program.write_text(
        '#!/bin/sh\ncase "$*" in\n'
        f'    *" install "*) echo "$@" && touch installed ;;\n    *{lacks}*) [ -f installed ] ;;\nesac\n',
        encoding="utf-8",
    )
    program.chmod(0o755)
    done = make(source, "setup", PYTHON=str(program))
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def pinned(source: Path, installation: str) -> set[str]:
    """Return the names that an installation pins; each has a hash, and is a wheel."""
    assert {"--require-hashes", "--only-binary"} <= set(installation.split())
    assert "--find-links vendor" in installation
    (file,) = re.findall(r"--requirement (\S+)", installation)
    return set(re.findall(r"(?m)^([a-z0-9-]+)==", (source / file).read_text(encoding="utf-8")))


def test_setup_installs_missing_packages_as_pinned(source: Path) -> None:
    """A Python without botocore gets all packages at once, from the requirements of the build."""
    (installation,) = installations(source, "botocore")
    assert {"botocore", "pyyaml", "sagemaker-delivery"} <= pinned(source, installation)


def test_setup_installs_the_vendored_package_without_an_index(source: Path) -> None:
    """CodeBuild's images lack it alone: in a VPC without internet access it comes from vendor/."""
    (installation,) = installations(source, "delivery")
    assert pinned(source, installation) == {"sagemaker-delivery"}
    assert {"--no-index", "--no-deps"} <= set(installation.split())
    (wheel,) = (source / "vendor").glob("sagemaker_delivery-*.whl")
    text = (source / "build" / "delivery.txt").read_text(encoding="utf-8")
    assert hashlib.sha256(wheel.read_bytes()).hexdigest() in text


def build_variables(given: dict[str, str]) -> dict[str, str]:
    entries = RESOURCES["BuildProject"]["Properties"]["Environment"]["EnvironmentVariables"]
    return {entry["Name"]: resolve(entry["Value"], given) for entry in entries}


def test_settings_of_the_organization_reach_every_stack(source: Path, aws: Aws) -> None:
    """Network, file system, boundary and tags pass from pipeline.yml through the build to the stacks."""
    own = ("SUBNET_IDS", "SECURITY_GROUP_IDS", "EFS_ACCESS_POINT_ARN", "PERMISSIONS_BOUNDARY_ARN", "TAGS")
    variables = build_variables(organization_parameters("S3"))
    done = make(source, "image", "render", **{name: variables[name] for name in own}, **aws.environment)
    assert done.returncode == 0, done.stderr
    files = {
        path.stem: json.loads(path.read_text(encoding="utf-8")) for path in (source / "build").glob("*.json")
    }
    for name in ("deploy-model-dev", "deploy-model-prd", "workflow"):
        assert files[name]["Parameters"]["SubnetIds"] == "subnet-1,subnet-2"
        assert files[name]["Parameters"]["SecurityGroupIds"] == "sg-1"
    assert files["deploy-model-prd"]["Parameters"]["EfsAccessPointArn"] == variables["EFS_ACCESS_POINT_ARN"]
    assert files["workflow-input"]["Network"]["VpcConfig"]["Subnets"] == ["subnet-1", "subnet-2"]
    for name in ("workflow", "verify", "governor", "registry", "deploy-model-prd"):
        assert files[name]["Parameters"]["PermissionsBoundaryArn"] == variables["PERMISSIONS_BOUNDARY_ARN"]
        marks = {"Owner": "risk", "sagemaker:project-name": "house", "sagemaker:project-id": "p-0123456789ab"}
        assert files[name]["Tags"].items() >= marks.items()


def test_the_build_of_a_project_without_an_organization_gets_empty_variables() -> None:
    """An empty variable counts as not set; the key is the stack's own."""
    variables = build_variables(source_parameters("S3"))
    assert {variables[name] for name in ("SUBNET_IDS", "EFS_ACCESS_POINT_ARN", "TAGS")} == {""}
    assert variables["KMS_KEY_ARN"] == "KmsKey.Arn"
