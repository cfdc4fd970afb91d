"""The delivery pipeline: what each action takes is given before it, whichever source commits come from."""

import copy
import dataclasses
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline.run import Run
from pipeline.settings import Data
from scripts.delivery import deploy
from scripts.templates.read import read_template
from scripts.templates.variants import transform_names
from tests.pipeline.aws import Aws

ROOT = Path(__file__).resolve().parents[2]
TEMPLATE = read_template(ROOT / "pipeline" / "pipeline.yml")
RESOURCES = TEMPLATE["Resources"]
STACKS = {path.name: read_template(path) for path in (ROOT / "stacks").glob("*.yml")}
BUILDSPEC = yaml.safe_load((ROOT / "pipeline" / "buildspec.yml").read_text(encoding="utf-8"))
MAKEFILE = (ROOT / "pipeline" / "build.mk").read_text(encoding="utf-8")
IMAGE_SCRIPT = (ROOT / "scripts" / "image").read_text(encoding="utf-8")
SOURCES = ("S3", "Connection", "CodeCommit")
# What AWS's source actions give (action reference of CodePipeline).
SOURCE_VARIABLES = {
    "S3": {"VersionId", "ETag", "BucketName", "ObjectKey"},
    "CodeCommit": {
        "CommitId",
        "BranchName",
        "CommitMessage",
        "AuthorDate",
        "CommitterDate",
        "RepositoryName",
    },
    "CodeStarSourceConnection": {
        "CommitId",
        "BranchName",
        "CommitMessage",
        "AuthorDate",
        "ConnectionArn",
        "FullRepositoryName",
    },
}
STEP_FUNCTIONS_VARIABLES = {"StateMachineArn", "ExecutionArn"}
Action = dict[str, Any]


# The template, as CloudFormation would read it


def settle(node: Any, parameters: dict[str, str]) -> Any:
    """Carry out Ref, Fn::If, Fn::Sub and Fn::GetAtt; what only AWS knows becomes its own name."""
    if isinstance(node, list):
        return [settle(item, parameters) for item in node if not absent(item, parameters)]
    if not isinstance(node, dict):
        return node
    if len(node) == 1:
        ((name, value),) = node.items()
        if name in FUNCTIONS:
            return FUNCTIONS[name](value, parameters)
    return {key: settle(value, parameters) for key, value in node.items() if not absent(value, parameters)}


def absent(node: Any, parameters: dict[str, str]) -> bool:
    chosen = choose(node["Fn::If"], parameters) if isinstance(node, dict) and "Fn::If" in node else node
    return bool(chosen == {"Ref": "AWS::NoValue"})


def choose(branches: list[Any], parameters: dict[str, str]) -> Any:
    return branches[1 if holds(TEMPLATE["Conditions"][branches[0]], parameters) else 2]


def holds(condition: Any, parameters: dict[str, str]) -> bool:
    ((name, value),) = condition.items()
    if name == "Condition":
        return holds(TEMPLATE["Conditions"][value], parameters)
    if name == "Fn::Not":
        return not holds(value[0], parameters)
    left, right = (settle(side, parameters) for side in value)
    return bool(left == right)


def substitute(value: Any, parameters: dict[str, str]) -> str:
    text, own = value if isinstance(value, list) else (value, {})
    known = parameters | {name: settle(one, parameters) for name, one in own.items()}
    return re.sub(r"\$\{([\w:.]+)\}", lambda found: str(known.get(found[1], found[1])), text)


FUNCTIONS: dict[str, Callable[[Any, dict[str, str]], Any]] = {
    "Ref": lambda value, parameters: parameters.get(value, value),
    "Fn::If": lambda value, parameters: settle(choose(value, parameters), parameters),
    "Fn::Sub": substitute,
    "Fn::GetAtt": lambda value, _: ".".join(value),
    "Fn::Join": lambda value, parameters: value[0].join(settle(value[1], parameters)),
}


def with_source(kind: str) -> dict[str, str]:
    """Give the parameters of a stack whose commits come from there, with the longest project."""
    defaults = {name: str(rule.get("Default", "")) for name, rule in TEMPLATE["Parameters"].items()}
    return defaults | {
        "Project": "p" * 16,
        "SourceType": kind,
        "ConnectionArn": "arn:aws:codeconnections:eu-central-1:1:connection/c",
        "RepositoryId": "owner/name",
        "AWS::Partition": "aws",
        "AWS::Region": "eu-central-1",
        "AWS::AccountId": "111122223333",
    }


def in_a_network(kind: str) -> dict[str, str]:
    """Give the parameters of a stack that uses what the organization has: network, key, boundary, tags."""
    return with_source(kind) | {
        "KmsKeyArn": "arn:aws:kms:eu-central-1:111122223333:key/1",
        "SubnetIds": "subnet-1,subnet-2",
        "SecurityGroupIds": "sg-1",
        "EfsAccessPointArn": "arn:aws:elasticfilesystem:eu-central-1:111122223333:access-point/fsap-1",
        "PermissionsBoundaryArn": "arn:aws:iam::111122223333:policy/boundary",
        "Tags": "Owner=risk",
        "SageMakerProjectName": "house",
        "SageMakerProjectId": "p-0123456789ab",
    }


def stages(kind: str) -> list[dict[str, Any]]:
    """Give the pipeline's stages, as deployed."""
    settled: list[dict[str, Any]] = settle(RESOURCES["Pipeline"]["Properties"]["Stages"], with_source(kind))
    return settled


def in_order(pipeline: list[dict[str, Any]]) -> Iterator[tuple[Action, list[Action]]]:
    """Give each action with those that have ended before it begins."""
    before: list[Action] = []
    for stage in pipeline:
        for order in sorted({action.get("RunOrder", 1) for action in stage["Actions"]}):
            beginning = [action for action in stage["Actions"] if action.get("RunOrder", 1) == order]
            yield from ((action, list(before)) for action in beginning)
            before += beginning


# What can be wrong


def artifact_faults(pipeline: list[dict[str, Any]]) -> Iterator[str]:
    """Say which artifacts are taken before they are given, and which are given in vain."""
    given, taken = set(), set()
    for action, before in in_order(pipeline):
        there = {output["Name"] for other in before for output in other.get("OutputArtifacts", [])}
        wanted = {artifact["Name"] for artifact in action.get("InputArtifacts", [])}
        named = set(re.findall(r"(\w+)::", json.dumps(action["Configuration"])))
        yield from (f"{action['Name']} takes {name} too early" for name in sorted(wanted - there))
        yield from (f"{action['Name']} names {name} and does not take it" for name in sorted(named - wanted))
        taken |= wanted
        given |= {output["Name"] for output in action.get("OutputArtifacts", [])}
    yield from (f"nothing takes {name}" for name in sorted(given - taken))


def file_faults(pipeline: list[dict[str, Any]], built: set[str]) -> Iterator[str]:
    """Say which files are taken that the build does not give, and which it gives in vain."""
    taken = set()
    for action, _ in in_order(pipeline):
        configuration = action["Configuration"]
        paths = [configuration.get("TemplatePath", ""), configuration.get("TemplateConfiguration", "")]
        taken |= {path.partition("::")[2] for path in paths if path}
        if configuration.get("InputType") == "FilePath":
            taken.add(configuration["Input"])
    yield from (f"{name} is not built" for name in sorted(taken - built))
    yield from (f"nothing takes {name}" for name in sorted(built - taken))


def variable_faults(pipeline: list[dict[str, Any]]) -> Iterator[str]:
    """Say which #{namespace.variable} no earlier action gives."""
    declared = {entry["Name"] for entry in RESOURCES["Pipeline"]["Properties"]["Variables"]}
    for action, before in in_order(pipeline):
        known = {"codepipeline": {"PipelineExecutionId"}, "variables": declared}
        known |= {other["Namespace"]: gives(other) for other in before if "Namespace" in other}
        for space, name in re.findall(r"#\{(\w+)\.(\w+)\}", json.dumps(action["Configuration"])):
            if name not in known.get(space, ()):
                yield f"{action['Name']}: nothing gives {space}.{name}"


def gives(action: Action) -> set[str]:
    """List the variables of an action."""
    provider = action["ActionTypeId"]["Provider"]
    if provider == "CloudFormation":
        return set(STACKS.get(template_of(action), {}).get("Outputs", {}))
    return SOURCE_VARIABLES.get(provider, STEP_FUNCTIONS_VARIABLES if provider == "StepFunctions" else set())


def deployment_faults(pipeline: list[dict[str, Any]]) -> Iterator[str]:
    """Say where a stack's configuration is not its template's, or its capabilities are not those it needs."""
    for action, _ in in_order(pipeline):
        if action["ActionTypeId"]["Provider"] != "CloudFormation":
            continue
        name, configuration = action["Name"], action["Configuration"]
        template = configuration["TemplatePath"].partition("::")[2]
        if configuration["TemplateConfiguration"] != f"BuildOutput::{Path(template).stem}.json":
            yield f"{name}: {template} gets {configuration['TemplateConfiguration']}"
        needed = capabilities(STACKS[template]) if template in STACKS else None
        given = set(configuration.get("Capabilities", "").split(",")) - {""}
        if needed is not None and given != needed:
            yield f"{name}: capabilities {sorted(given)}, and needed are {sorted(needed)}"


def capabilities(template: dict[str, Any]) -> set[str]:
    """List what CloudFormation wants to have acknowledged."""
    roles = [one for one in template["Resources"].values() if one["Type"] == "AWS::IAM::Role"]
    assert not any("RoleName" in role["Properties"] for role in roles)
    found = {"CAPABILITY_IAM"} if roles else set()
    return found | ({"CAPABILITY_AUTO_EXPAND"} if transform_names(template) else set())


def invocation_faults(pipeline: list[dict[str, Any]]) -> Iterator[str]:
    """Say which state machine is started that no stack deployed before has."""
    for action, before in in_order(pipeline):
        if action["ActionTypeId"]["Provider"] != "StepFunctions":
            continue
        machine = action["Configuration"]["StateMachineArn"].rpartition(":")[2]
        there = {
            substitute(resource["Properties"]["StateMachineName"]["Fn::Sub"], with_source("S3"))
            for other in before
            if other["ActionTypeId"]["Provider"] == "CloudFormation"
            for resource in STACKS.get(template_of(other), {"Resources": {}})["Resources"].values()
            if resource["Type"] == "AWS::StepFunctions::StateMachine"
        }
        if machine not in there:
            yield f"{action['Name']}: no stack before it has {machine}"


def template_of(action: Action) -> str:
    return str(action["Configuration"]["TemplatePath"].partition("::")[2])


def faults(pipeline: list[dict[str, Any]], built: set[str]) -> list[str]:
    """Run every check."""
    return [
        *artifact_faults(pipeline),
        *file_faults(pipeline, built),
        *variable_faults(pipeline),
        *deployment_faults(pipeline),
        *invocation_faults(pipeline),
    ]


@pytest.fixture
def built(rendered: dict[str, Any]) -> set[str]:
    """Name what the build hands on."""
    return {*rendered, *STACKS}


@pytest.mark.parametrize("kind", SOURCES)
def test_every_action_takes_what_an_earlier_one_gives(kind: str, built: set[str]) -> None:
    """Artifacts, files, variables, capabilities and state machines, for each kind of source."""
    assert faults(stages(kind), built) == []


def at(pipeline: list[dict[str, Any]], name: str) -> Action:
    return next(action for stage in pipeline for action in stage["Actions"] if action["Name"] == name)


@pytest.mark.parametrize(
    ("action", "key", "value", "words"),
    [
        ("DeployDev", "TemplatePath", "BuildOutput::deploy-dev.yml", "deploy-dev.yml is not built"),
        (
            "DeployDev",
            "TemplateConfiguration",
            "BuildOutput::workflow.json",
            "gets BuildOutput::workflow.json",
        ),
        ("DeployDev", "TemplatePath", "SourceOutput::stacks/deploy-model-dev.yml", "names SourceOutput"),
        ("DeployWorkflow", "Capabilities", "", "capabilities []"),
        ("DeployMonitor", "Capabilities", "CAPABILITY_IAM", "needed are ['CAPABILITY_AUTO_EXPAND', 'CAP"),
        ("Train", "Input", "input.json", "nothing takes workflow-input.json"),
        ("Train", "StateMachineArn", "arn:aws:states:::stateMachine:train", "no stack before it has train"),
        ("Approve", "CustomData", "#{DeployDev.Endpoint}", "nothing gives DeployDev.Endpoint"),
        ("Approve", "CustomData", "#{variables.Cause}", "nothing gives variables.Cause"),
    ],
)
def test_a_broken_pipeline_is_told(action: str, key: str, value: str, words: str, built: set[str]) -> None:
    """Each check finds what it is for."""
    broken = copy.deepcopy(stages("S3"))
    at(broken, action)["Configuration"][key] = value
    assert any(words in fault for fault in faults(broken, built)), faults(broken, built)


def test_an_action_in_the_wrong_place_is_told(built: set[str]) -> None:
    """The order of stages and actions counts, not that a name exists somewhere."""
    broken = copy.deepcopy(stages("S3"))
    at(broken, "DeployWorkflow")["RunOrder"] = 1
    assert "DeployWorkflow takes BuildOutput too early" in faults(broken, built)
    broken[1], broken[2] = broken[2], broken[1]
    assert any("Train: no stack before it has" in fault for fault in faults(broken, built))


def test_the_source_of_a_kind_gives_its_own_mark() -> None:
    """A zip has a version and no commit."""
    for kind in SOURCES:
        (source,), (build, *_) = (stage["Actions"] for stage in stages(kind)[:2])
        given = json.loads(build["Configuration"]["EnvironmentVariables"])
        assert source["ActionTypeId"]["Provider"] == {"Connection": "CodeStarSourceConnection"}.get(
            kind, kind
        )
        assert given[0] == {
            "name": "COMMIT_ID",
            "value": "#{Source.VersionId}" if kind == "S3" else "#{Source.CommitId}",
        }


def test_configurations_and_variables_keep_codepipelines_limits() -> None:
    """A value has 1 to 1,000 characters, in a default of a variable too."""
    for kind in SOURCES:
        for action, _ in in_order(stages(kind)):
            for key, value in action["Configuration"].items():
                assert 1 <= len(str(value)) <= 1000, key
    for variable in RESOURCES["Pipeline"]["Properties"]["Variables"]:
        assert 1 <= len(variable["DefaultValue"]) <= 1000


def test_nothing_reaches_dev_while_a_person_decides() -> None:
    """The approval is the last action of the stage that deploys dev: a stage holds one execution."""
    (dev,) = [stage for stage in stages("S3") if stage["Name"] == "DeployDev"]
    ordered = [action["Name"] for action in sorted(dev["Actions"], key=lambda action: action["RunOrder"])]
    assert ordered == ["DeployDev", "VerifyDev", "Approve"]
    approve = at(stages("S3"), "Approve")
    assert approve["TimeoutInMinutes"] == with_source("S3")["ApprovalTimeoutInMinutes"]


def test_production_is_never_deleted() -> None:
    """Replacing a failed stack would take the endpoint along, so its action only creates and updates."""
    modes = {
        action["Name"]: action["Configuration"]["ActionMode"]
        for action, _ in in_order(stages("S3"))
        if "ActionMode" in action["Configuration"]
    }
    assert [name for name, mode in modes.items() if mode == "CREATE_UPDATE"] == ["DeployPrd"]
    for statement in statements("PipelineRole"):
        if "cloudformation:DeleteStack" in statement["Action"]:
            assert "deploy-prd" not in json.dumps(statement["Resource"])


# The build


def test_the_buildspec_calls_targets_that_exist() -> None:
    """It holds no logic: every command is make with targets of build.mk."""
    phases = BUILDSPEC["phases"].values()
    commands = [command for phase in phases for command in phase.get("commands", [])]
    calls = [re.fullmatch(r"make (--jobs \d+ )?--file pipeline/build\.mk ([a-z ]+)", one) for one in commands]
    called = [target for call in calls if call for target in call[2].split()]
    assert all(calls)
    assert called == ["setup", "image", "package", "render"]
    assert set(called) <= set(re.findall(r"(?m)^([a-z]+):", MAKEFILE))
    assert BUILDSPEC["artifacts"]["base-directory"] == "build"
    assert RESOURCES["BuildProject"]["Properties"]["Source"]["BuildSpec"] == "pipeline/buildspec.yml"


def test_images_are_built_from_targets_that_are_there() -> None:
    """And who builds the Dockerfile without naming one gets the container."""
    dockerfile = (ROOT / "container" / "Dockerfile").read_text(encoding="utf-8")
    targets = re.findall(r"(?m)^FROM \S+ AS (\w+)$", dockerfile)
    called = re.findall(r'scripts/image "\S+" "\S+" (\w+)', MAKEFILE)
    assert called == ["container", "lambda"]
    assert set(called) <= set(targets)
    assert targets[-1] == "container"
    assert len(targets) == dockerfile.count("\nFROM ")


def environment_of_the_build(pipeline: list[dict[str, Any]]) -> set[str]:
    """Name the variables that the project and the action set."""
    project = RESOURCES["BuildProject"]["Properties"]["Environment"]["EnvironmentVariables"]
    action = at(pipeline, "Build")["Configuration"]["EnvironmentVariables"]
    return {entry["Name"] for entry in project} | {entry["name"] for entry in json.loads(action)}


FOUND_BY_THE_BUILD = {"IMAGE_URI", "DATA_VERSION"}  # from the repository, and from the pipeline's execution


def environment_faults(given: set[str], makefile: str) -> Iterator[str]:
    """Say which variables are set and not read, or read and not set; some the build finds itself."""
    run = {declared.metadata["environment"]: declared for declared in dataclasses.fields(Run)}
    required = {name for name, declared in run.items() if declared.default is dataclasses.MISSING}
    # Of a shell variable that has a default, or of make's own, nobody has to give anything.
    needed = set(re.findall(r"\$\(([A-Z_]+)\)", makefile)) - set(
        re.findall(r"(?m)^(?:export )?(\w+) \?=", makefile)
    )
    read = set(re.findall(r"\$[({](\w+)", makefile + IMAGE_SCRIPT)) | run.keys()
    yield from (f"{name} is set, and nobody reads it" for name in sorted(given - read))
    yield from (
        f"{name} is read, and not set" for name in sorted((needed | required) - given - FOUND_BY_THE_BUILD)
    )


def test_the_build_gets_the_environment_that_it_reads() -> None:
    """Both ways: what rendering and packaging must have is set, and what is set is read."""
    assert list(environment_faults(environment_of_the_build(stages("S3")), MAKEFILE)) == []


def test_another_environment_of_the_build_is_told() -> None:
    """A variable that the action does not give, one in vain, and one that a target takes anew."""
    broken = copy.deepcopy(stages("S3"))
    configuration = at(broken, "Build")["Configuration"]
    configuration["EnvironmentVariables"] = configuration["EnvironmentVariables"].replace(
        "COMMIT_ID", "COMMIT"
    )
    makefile = MAKEFILE.replace("$(KMS_KEY_ARN)", "$(KEY_ARN)")
    assert list(environment_faults(environment_of_the_build(broken), makefile)) == [
        "COMMIT is set, and nobody reads it",
        "COMMIT_ID is read, and not set",
        "KEY_ARN is read, and not set",
    ]


def test_the_build_asks_for_what_its_pipeline_was_started_with() -> None:
    """In the action's JSON CodePipeline escapes nothing, so no variable of the pipeline stands there."""
    for kind in SOURCES:
        assert "#{variables." not in at(stages(kind), "Build")["Configuration"]["EnvironmentVariables"]
    assert re.findall(r'--pipeline "(\S+)" --execution "(\S+)"', MAKEFILE) == [
        ("$(PROJECT)-pipeline", "$(PIPELINE_EXECUTION_ID)")
    ]
    (allowed,) = [one for one in statements("BuildRole") if "codepipeline" in json.dumps(one["Action"])]
    name = substitute(RESOURCES["Pipeline"]["Properties"]["Name"]["Fn::Sub"], with_source("S3"))
    assert allowed["Action"] == "codepipeline:GetPipelineExecution"
    assert allowed["Resource"].endswith(f":{name}")


ENVIRONMENT = {
    "IMAGE_URI": "local/house:latest",
    "PIPELINE_EXECUTION_ID": "0f0cbb6e-3b0e-4a7e-9d3a-6a2f8f2f5a10",
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
    """Copy what the build works with; project.toml is a project's own already."""
    assert project_file.parent == tmp_path
    for folder in ("pipeline", "scripts", "stacks", "container", "functions"):
        (tmp_path / folder).symlink_to(ROOT / folder)
    return tmp_path


def test_an_image_that_exists_is_not_built(source: Path, rendered: dict[str, Any], aws: Aws) -> None:
    """With IMAGE_URI the build needs no Docker, and everything else is as ever."""
    done = make(source, "image", "render", **aws.environment)
    assert done.returncode == 0, done.stderr
    files = {path.name: path for path in (source / "build").glob("*.json")}
    assert files.keys() == rendered.keys()
    parameters = json.loads(files["deploy-model-prd.json"].read_text(encoding="utf-8"))["Parameters"]
    assert (parameters["ImageUri"], parameters["ApiPackage"]) == ("local/house:latest", "zip")


def test_no_text_that_starts_the_pipeline_breaks_the_build(source: Path, aws: Aws) -> None:
    """Quotes, line breaks and what a shell would run arrive as they were given."""
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
    assert f"asked {ENVIRONMENT['PROJECT']}-pipeline {ENVIRONMENT['PIPELINE_EXECUTION_ID']}" in aws.calls


def test_an_image_that_does_not_exist_stops_the_build(source: Path, aws: Aws) -> None:
    """Without Docker, repository or address, no half build goes on."""
    done = make(
        source, "image", IMAGE_URI="", REPOSITORY_URI="1.dkr.ecr.eu-central-1.example/p", PATH="/usr/bin:/bin"
    )
    assert done.returncode != 0
    assert not (source / "build" / "deploy-model-prd.json").exists()
    done = make(source, "image", "render", IMAGE_URI="", REPOSITORY_URI="", **aws.environment)
    assert done.returncode != 0
    assert "IMAGE_URI" in done.stderr


def test_a_pipeline_delivers_its_own_project_only(source: Path, aws: Aws) -> None:
    """Its roles may do nothing for a project of another name, which would be seen much later."""
    done = make(source, "image", "render", PROJECT="another", **aws.environment)
    assert done.returncode != 0
    assert "this pipeline delivers another" in done.stderr


def test_every_stack_is_packaged(source: Path, aws: Aws) -> None:
    """`make package` writes each template into the folder of the artifacts; given data, it only uploads."""
    done = make(source, "package", **aws.environment)
    assert done.returncode == 0, done.stderr
    assert {path.name for path in (source / "build").glob("*.yml")} == STACKS.keys()
    assert {call.partition(" ")[0] for call in aws.calls} == {"HEAD", "PUT"}
    uploaded = len(list((source / "stacks").glob("*.asl.json"))) + len(["functions"])
    assert len(aws.objects) == uploaded
    assert all(path.startswith(f"/{ENVIRONMENT['ARTIFACT_BUCKET']}/packages/") for path in aws.objects)


def test_a_python_with_the_packages_installs_nothing(source: Path) -> None:
    """As CodeBuild's images have them, so a build in a VPC without internet access needs no package index."""
    done = make(source, "setup", PIP_INDEX_URL="http://127.0.0.1:9", PIP_RETRIES="0")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_python_without_the_packages_installs_the_pinned_ones(source: Path) -> None:
    """Hashed and as wheels alone, from a file that names what the build imports."""
    program = source / "python"
    program.write_text('#!/bin/sh\n[ "$1" != -c ] && echo "$@"\n', encoding="utf-8")
    program.chmod(0o755)
    done = make(source, "setup", PYTHON=str(program))
    assert done.returncode == 0, done.stderr
    assert {"--require-hashes", "--only-binary"} <= set(done.stdout.split())
    (file,) = re.findall(r"--requirement (\S+)", done.stdout)
    pinned = set(re.findall(r"(?m)^([a-z-]+)==", (source / file).read_text(encoding="utf-8")))
    assert {"botocore", "pyyaml"} <= pinned


# Roles


def statements(role: str, given: Callable[[str], dict[str, str]] = with_source) -> list[dict[str, Any]]:
    """List a role's statements for all kinds of sources."""
    (policy,) = RESOURCES[role]["Properties"]["Policies"]
    found = [
        settle(statement, given(kind))
        for kind in SOURCES
        for statement in policy["PolicyDocument"]["Statement"]
        if not absent(statement, given(kind))
    ]
    return [statement for at, statement in enumerate(found) if statement not in found[:at]]


def actions(role: str) -> set[str]:
    """List what a role may do."""
    named = (statement["Action"] for statement in statements(role))
    return {action for action_or_list in named for action in as_list(action_or_list)}


def as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


BY_PROVIDER = {
    "S3": {"s3:GetObject", "s3:GetObjectTagging", "s3:GetObjectVersion", "s3:GetObjectVersionTagging"},
    "CodeStarSourceConnection": {"codeconnections:UseConnection", "codestar-connections:UseConnection"},
    "CodeCommit": {
        f"codecommit:{verb}"
        for verb in (
            "CancelUploadArchive",
            "GetBranch",
            "GetCommit",
            "GetUploadArchiveStatus",
            "UploadArchive",
        )
    },
    "CodeBuild": {"codebuild:BatchGetBuilds", "codebuild:StartBuild"},
    "CloudFormation": {
        f"cloudformation:{verb}"
        for verb in ("CreateStack", "DeleteStack", "DescribeStackEvents", "DescribeStacks", "UpdateStack")
    }
    | {"cloudformation:TagResource", "cloudformation:UntagResource"}  # configurations have tags
    | {"iam:PassRole"},
    "StepFunctions": {
        f"states:{verb}" for verb in ("DescribeExecution", "DescribeStateMachine", "StartExecution")
    },
    "Manual": {"sns:Publish"},
}
ARTIFACTS = {
    *(f"s3:{verb}" for verb in ("GetBucketAcl", "GetBucketLocation", "GetBucketVersioning", "ListBucket")),
    *(f"s3:{verb}" for verb in ("GetObject", "GetObjectVersion", "PutObject")),
    *(f"kms:{verb}" for verb in ("Decrypt", "DescribeKey", "GenerateDataKey")),
}


def test_the_pipelines_role_may_do_what_its_actions_do() -> None:
    """Both ways, over all kinds of sources."""
    providers = {a["ActionTypeId"]["Provider"] for kind in SOURCES for a, _ in in_order(stages(kind))}
    assert actions("PipelineRole") == ARTIFACTS.union(*(BY_PROVIDER[provider] for provider in providers))


def test_the_pipelines_role_covers_its_stacks_and_state_machines() -> None:
    """A stack that was added to the pipeline alone would be refused when it runs."""
    text = json.dumps(statements("PipelineRole"))
    for action, _ in in_order(stages("S3")):
        configuration = action["Configuration"]
        if "StackName" in configuration:
            assert f"stack/{configuration['StackName']}/*" in text
        if "StateMachineArn" in configuration:
            assert configuration["StateMachineArn"] in text
            machine = configuration["StateMachineArn"].replace(":stateMachine:", ":execution:")
            assert f"{machine}:*" in text


def deployable(arn: str) -> bool:
    """Tell whether the deployment's role may touch the resource."""
    patterns = [one for statement in statements("DeployRole") for one in as_list(statement["Resource"])]
    return any(re.fullmatch(re.escape(p).replace(r"\*", ".*"), arn) for p in patterns if p != "*")


NAMED = {
    "AWS::CloudWatch::Dashboard": ("DashboardName", "arn:aws:cloudwatch::111122223333:dashboard/{}"),
    "AWS::CloudWatch::Alarm": ("AlarmName", "arn:aws:cloudwatch:eu-central-1:111122223333:alarm:{}"),
    "AWS::Lambda::Function": ("FunctionName", "arn:aws:lambda:eu-central-1:111122223333:function:{}"),
    "AWS::Logs::LogGroup": ("LogGroupName", "arn:aws:logs:eu-central-1:111122223333:log-group:{}"),
    "AWS::SSM::Parameter": ("Name", "arn:aws:ssm:eu-central-1:111122223333:parameter{}"),
    "AWS::SageMaker::Endpoint": ("EndpointName", "arn:aws:sagemaker:eu-central-1:111122223333:endpoint/{}"),
    "AWS::SageMaker::Model": ("ModelName", "arn:aws:sagemaker:eu-central-1:111122223333:model/{}"),
    "AWS::SageMaker::MonitoringSchedule": (
        "MonitoringScheduleName",
        "arn:aws:sagemaker:eu-central-1:111122223333:monitoring-schedule/{}",
    ),
    "AWS::Scheduler::Schedule": ("Name", "arn:aws:scheduler:eu-central-1:111122223333:schedule/default/{}"),
    "AWS::Serverless::Function": ("FunctionName", "arn:aws:lambda:eu-central-1:111122223333:function:{}"),
    "AWS::StepFunctions::StateMachine": (
        "StateMachineName",
        "arn:aws:states:eu-central-1:111122223333:stateMachine:{}",
    ),
}


@pytest.mark.parametrize("name", STACKS)
def test_what_a_stack_names_is_the_deployments_to_make(name: str) -> None:
    """Names begin with the project, and its role reaches no other project's."""
    parameters = with_source("S3") | {"ExecutionId": ENVIRONMENT["PIPELINE_EXECUTION_ID"]}
    for logical, resource in STACKS[name]["Resources"].items():
        if resource["Type"] in NAMED:
            key, arn = NAMED[resource["Type"]]
            given = substitute(resource["Properties"][key]["Fn::Sub"], parameters)
            assert deployable(arn.format(given)), logical
            assert not deployable(arn.format(given.replace("p" * 16, "another"))), logical
        if resource["Type"] == "AWS::IAM::Role":
            path = substitute(resource["Properties"]["Path"]["Fn::Sub"], parameters)
            assert deployable(f"arn:aws:iam::111122223333:role{path}{logical}-1ABCDEFGHIJKL"), logical


def test_the_deployments_role_reaches_only_its_own_projects_roles() -> None:
    """Not the pipeline's and its own, which it could widen, nor those of a project that begins like this."""
    taken = "arn:aws:iam::111122223333:role{}-1ABCDEFGHIJKL".format
    project = "p" * 16
    assert deployable(taken(f"/project/{project}/verify-StateMachineRole"))
    assert not deployable(taken(f"/{project}-pipeline-DeployRole"))
    assert not deployable(taken(f"/project/{project}-eu/verify-StateMachineRole"))


def test_the_key_admits_every_encrypted_log_group() -> None:
    """CloudWatch Logs may use the key for the log groups that its policy names only."""
    parameters = with_source("S3")
    (statement,) = [
        one
        for one in settle(RESOURCES["KmsKey"]["Properties"]["KeyPolicy"]["Statement"], parameters)
        if one["Sid"] == "LogGroups"
    ]
    patterns = statement["Condition"]["ArnLike"]["kms:EncryptionContext:aws:logs:arn"]
    for template in (*STACKS.values(), TEMPLATE):
        for resource in template["Resources"].values():
            if resource["Type"] == "AWS::Logs::LogGroup":
                name = substitute(resource["Properties"]["LogGroupName"]["Fn::Sub"], parameters)
                arn = f"arn:aws:logs:eu-central-1:111122223333:log-group:{name}"
                assert any(re.fullmatch(re.escape(p).replace(r"\*", ".*"), arn) for p in patterns), name


# What the organization has already


def build_variables(given: dict[str, str]) -> dict[str, str]:
    entries = RESOURCES["BuildProject"]["Properties"]["Environment"]["EnvironmentVariables"]
    return {entry["Name"]: settle(entry["Value"], given) for entry in entries}


def test_what_is_there_already_reaches_every_stack(source: Path, aws: Aws) -> None:
    """Network, file system, boundary and tags go from pipeline.yml by the build into what is rendered."""
    own = ("SUBNET_IDS", "SECURITY_GROUP_IDS", "EFS_ACCESS_POINT_ARN", "PERMISSIONS_BOUNDARY_ARN", "TAGS")
    variables = build_variables(in_a_network("S3"))
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


def test_without_it_the_build_gets_nothing_in_its_place() -> None:
    """Empty variables count as not given; the key is the stack's own."""
    variables = build_variables(with_source("S3"))
    assert {variables[name] for name in ("SUBNET_IDS", "EFS_ACCESS_POINT_ARN", "TAGS")} == {""}
    assert variables["KMS_KEY_ARN"] == "KmsKey.Arn"


def test_a_given_key_takes_the_place_of_the_own_one_everywhere() -> None:
    """The own key is not made then, and one reference to it would stop the stack."""
    given = in_a_network("S3")
    for name, resource in RESOURCES.items():
        if name not in ("KmsKey", "KmsAlias"):
            assert "KmsKey.Arn" not in json.dumps(settle(resource["Properties"], given)), name
        else:
            assert not holds(TEMPLATE["Conditions"][resource["Condition"]], given)
    assert settle(TEMPLATE["Outputs"]["KmsKeyArn"]["Value"], given) == given["KmsKeyArn"]


def test_with_a_boundary_only_bounded_roles_are_made() -> None:
    """Otherwise whoever deploys could make a role beyond it and use that."""
    (roles,) = [one for one in statements("DeployRole", in_a_network) if one["Sid"] == "Roles"]
    boundary = in_a_network("S3")["PermissionsBoundaryArn"]
    assert roles["Condition"] == {"StringEquals": {"iam:PermissionsBoundary": boundary}}
    assert {"iam:CreateRole", "iam:PutRolePolicy"} <= set(roles["Action"])
    (roles,) = [one for one in statements("DeployRole") if one["Sid"] == "Roles"]
    assert "Condition" not in roles


def test_roles_enter_a_network_only_where_there_is_one() -> None:
    """EC2's actions take no ARN, so nobody has them in vain."""
    for role in ("SageMakerRole", "DeployRole"):
        assert not [action for action in actions(role) if action.startswith(("ec2:", "elasticfilesystem:"))]
        assert any("ec2:DescribeSubnets" in one["Action"] for one in statements(role, in_a_network))


# What starts it


@pytest.mark.parametrize("kind", SOURCES)
def test_one_thing_starts_the_pipeline_for_a_commit(kind: str) -> None:
    """A connection does so by itself, others by a rule, and nothing polls."""
    parameters = with_source(kind)
    has_rule = holds(TEMPLATE["Conditions"]["HasSourceRule"], parameters)
    assert has_rule is (kind != "Connection")
    source = stages(kind)[0]["Actions"][0]["Configuration"]
    assert source.get("PollForSourceChanges", "own") == ("own" if kind == "Connection" else False)
    if has_rule:
        pattern = settle(RESOURCES["SourceRule"]["Properties"]["EventPattern"], parameters)
        assert pattern["source"] == [f"aws.{kind.lower()}"]


def test_data_and_source_do_not_ring_for_one_another() -> None:
    """The zip lies where no data are, and the pipeline's artifacts, which expire, lie apart from both."""
    key = TEMPLATE["Parameters"]["SourceKey"]["Default"]
    assert re.fullmatch(TEMPLATE["Parameters"]["SourceKey"]["AllowedPattern"], key)
    rule = {one.name: one for one in dataclasses.fields(Data)}["prefix"].metadata["rule"]
    assert not rule.accepts("source/")
    assert not rule.accepts("packages/")
    assert rule.accepts("raw/")


# What failed


def test_whoever_hears_that_production_was_not_deployed_is_told_what_to_do() -> None:
    """The rule watches an action of the pipeline, and what it says is a command of this project."""
    rule = RESOURCES["ProductionRule"]["Properties"]
    (name,) = rule["EventPattern"]["detail"]["action"]
    action = at(stages("S3"), name)
    assert action["Configuration"]["ActionMode"] == "CREATE_UPDATE"
    said = rule["Targets"][0]["InputTransformer"]["InputTemplate"]["Fn::Sub"]
    assert "\n" not in said
    assert substitute("${Project}-deploy-prd", with_source("S3")) == action["Configuration"]["StackName"]
    (script, command) = re.findall(r"python (scripts/\w+) (\w+)", said)[0]
    assert (ROOT / script).is_file()
    assert command in {one.name for one in deploy.app.registered_commands}
