"""The template of the delivery pipeline, resolved as CloudFormation does, for its tests."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from delivery.templates.read import read_template

ROOT = Path(__file__).resolve().parents[2]
TEMPLATE = read_template(ROOT / "pipeline" / "pipeline.yml")
RESOURCES = TEMPLATE["Resources"]
STACKS = {path.name: read_template(path) for path in (ROOT / "stacks").glob("*.yml")}
SOURCES = ("S3", "Connection", "CodeCommit")
# Output variables of AWS's source actions (action reference of CodePipeline).
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
EXECUTION_ID = "0f0cbb6e-3b0e-4a7e-9d3a-6a2f8f2f5a10"


def resolve(node: Any, parameters: dict[str, str]) -> Any:
    """Evaluate Ref, Fn::If, Fn::Sub and Fn::GetAtt; a value that only AWS knows becomes its own name."""
    if isinstance(node, list):
        return [resolve(item, parameters) for item in node if not is_absent(item, parameters)]
    if not isinstance(node, dict):
        return node
    if len(node) == 1:
        ((name, value),) = node.items()
        if name in FUNCTIONS:
            return FUNCTIONS[name](value, parameters)
    return {
        key: resolve(value, parameters) for key, value in node.items() if not is_absent(value, parameters)
    }


def is_absent(node: Any, parameters: dict[str, str]) -> bool:
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
    left, right = (resolve(side, parameters) for side in value)
    return bool(left == right)


def substitute(value: Any, parameters: dict[str, str]) -> str:
    text, own = value if isinstance(value, list) else (value, {})
    known = parameters | {name: resolve(one, parameters) for name, one in own.items()}
    return re.sub(r"\$\{([\w:.]+)\}", lambda found: str(known.get(found[1], found[1])), text)


FUNCTIONS: dict[str, Callable[[Any, dict[str, str]], Any]] = {
    "Ref": lambda value, parameters: parameters.get(value, value),
    "Fn::If": lambda value, parameters: resolve(choose(value, parameters), parameters),
    "Fn::Sub": substitute,
    "Fn::GetAtt": lambda value, _: ".".join(value),
    "Fn::Join": lambda value, parameters: value[0].join(resolve(value[1], parameters)),
}


def source_parameters(kind: str) -> dict[str, str]:
    """Return the parameters of a stack with this kind of source, and with the longest project name."""
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


def organization_parameters(kind: str) -> dict[str, str]:
    """Return the parameters of a stack that uses an organization's network, key, boundary and tags."""
    return source_parameters(kind) | {
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
    """Return the pipeline's stages, as deployed."""
    settled: list[dict[str, Any]] = resolve(
        RESOURCES["Pipeline"]["Properties"]["Stages"], source_parameters(kind)
    )
    return settled


def ordered_actions(pipeline: list[dict[str, Any]]) -> Iterator[tuple[Action, list[Action]]]:
    """Yield each action with the actions that have ended before it begins."""
    before: list[Action] = []
    for stage in pipeline:
        for order in sorted({action.get("RunOrder", 1) for action in stage["Actions"]}):
            beginning = [action for action in stage["Actions"] if action.get("RunOrder", 1) == order]
            yield from ((action, list(before)) for action in beginning)
            before += beginning


def find_action(pipeline: list[dict[str, Any]], name: str) -> Action:
    return next(action for stage in pipeline for action in stage["Actions"] if action["Name"] == name)


def statements(role: str, given: Callable[[str], dict[str, str]] = source_parameters) -> list[dict[str, Any]]:
    """List the distinct statements of a role, over all kinds of sources."""
    (policy,) = RESOURCES[role]["Properties"]["Policies"]
    found = [
        resolve(statement, given(kind))
        for kind in SOURCES
        for statement in policy["PolicyDocument"]["Statement"]
        if not is_absent(statement, given(kind))
    ]
    return [statement for index, statement in enumerate(found) if statement not in found[:index]]


def actions(role: str) -> set[str]:
    """Return the actions that a role allows."""
    named = (statement["Action"] for statement in statements(role))
    return {action for action_or_list in named for action in as_list(action_or_list)}


def as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
