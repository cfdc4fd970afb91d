"""What the functions call, read from their code, is what their roles allow: nothing is missing or idle."""

from __future__ import annotations

import ast
import copy
import shutil
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import botocore.session
import pytest
from botocore import xform_name

from scripts.templates.read import read_template

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[2]
FUNCTIONS = ROOT / "functions"
STACKS = ("deploy-model-prd.yml", "verify.yml", "workflow.yml")
# Where IAM's name of an action is not that of the call, or something more is needed.
ACTIONS = {
    "lambda:Invoke": {"lambda:InvokeFunction"},
    "s3:ListObjectsV2": {"s3:ListBucket"},
    "s3:GetObject": {"s3:GetObject", "kms:Decrypt"},
}
LOGS = {"logs:CreateLogStream", "logs:PutLogEvents"}
TRACING = {"xray:PutTelemetryRecords", "xray:PutTraceSegments"}
Definition = ast.FunctionDef | ast.ClassDef


# The code


@cache
def operations(service: str) -> dict[str, str]:
    """Give the calls of a boto3 client with their names in IAM."""
    model = botocore.session.get_session().get_service_model(service)
    prefix = model.signing_name
    return {xform_name(name): f"{prefix}:{name}" for name in model.operation_names}


@dataclass(frozen=True)
class Code:
    """The modules of functions/, by dotted name."""

    folder: Path

    @cached_property
    def modules(self) -> dict[str, ast.Module]:
        """Every module, parsed."""
        paths = self.folder.rglob("*.py")
        return {
            ".".join(path.relative_to(self.folder).with_suffix("").parts): ast.parse(path.read_text("utf-8"))
            for path in paths
        }

    def definitions(self, module: str) -> dict[str, Definition]:
        """Functions and classes of a module."""
        nodes = self.modules[module].body
        return {node.name: node for node in nodes if isinstance(node, ast.FunctionDef | ast.ClassDef)}

    def imported(self, module: str) -> dict[str, tuple[str, str]]:
        """Give what is imported from other modules, as (module, name); a module itself has no name."""
        package = module.rpartition(".")[0]
        found = {}
        for node in ast.walk(self.modules[module]):
            if isinstance(node, ast.ImportFrom) and node.level == 1:
                for alias in node.names:
                    given = alias.asname or alias.name
                    where = f"{package}.{node.module}" if node.module else f"{package}.{alias.name}"
                    found[given] = (where, alias.name if node.module else "")
        return found

    def reached(self, module: str, name: str) -> Iterator[ast.AST]:
        """Give what runs with the function: it, all that it names, and those modules' own statements."""
        waiting, seen = [(module, name)], set()
        while waiting:
            place = waiting.pop()
            if place in seen or place[1] not in self.definitions(place[0]):
                continue
            seen.add(place)
            node = self.definitions(place[0])[place[1]]
            yield node
            waiting += self.named(place[0], node)
        for own in {place[0] for place in seen}:
            yield from (
                node
                for node in self.modules[own].body
                if not isinstance(node, ast.FunctionDef | ast.ClassDef | ast.If)
            )

    def named(self, module: str, node: ast.AST) -> list[tuple[str, str]]:
        """List the functions and classes that a piece of code names."""
        imported, found = self.imported(module), []
        for one in ast.walk(node):
            if isinstance(one, ast.Name):
                where, name = imported.get(one.id, (module, one.id))
                found.append((where, name))
            elif isinstance(one, ast.Attribute) and isinstance(one.value, ast.Name):
                where, name = imported.get(one.value.id, ("", "?"))
                found += [(where, one.attr)] if where and not name else []
        return [place for place in found if place[0] in self.modules]


def needed(folder: Path, handler: str) -> set[str]:
    """List the actions that a handler's calls take."""
    module, _, name = handler.rpartition(".")
    nodes = [one for node in Code(folder).reached(module, name) for one in ast.walk(node)]
    calls = [node for node in nodes if isinstance(node, ast.Call)]
    known: dict[str, str] = {}
    for call in calls:
        if called(call) in ("client", "control") and call.args and isinstance(call.args[0], ast.Constant):
            known |= operations(str(call.args[0].value))
    found = {known[name] for call in calls for name in (called(call), paged(call)) if name in known}
    return set().union(*(ACTIONS.get(action, {action}) for action in found))


def called(call: ast.Call) -> str:
    return getattr(call.func, "attr", getattr(call.func, "id", ""))


def paged(call: ast.Call) -> str:
    """Give the call that a paginator makes."""
    if called(call) == "get_paginator" and isinstance(call.args[0], ast.Constant):
        return str(call.args[0].value)
    return ""


# The roles


def as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def allowed(role: dict[str, Any]) -> set[str]:
    """List what a role always may; what comes with an option (VPC, file system) is the option's."""
    (policy,) = role["Properties"]["Policies"]
    statements = [one for one in policy["PolicyDocument"]["Statement"] if "Fn::If" not in one]
    return {action for statement in statements for action in as_list(statement["Action"])}


def faults(template: dict[str, Any], folder: Path) -> list[str]:
    """Say of each function what it calls and may not, and what it may and never calls."""
    found = []
    for name, resource in template["Resources"].items():
        properties = resource["Properties"]
        if (
            resource["Type"] not in ("AWS::Lambda::Function", "AWS::Serverless::Function")
            or "Handler" not in properties
        ):
            continue
        traced = TRACING if resource["Type"] == "AWS::Serverless::Function" else set()
        wanted = needed(folder, properties["Handler"]) | LOGS | traced
        given = allowed(template["Resources"][properties["Role"]["Fn::GetAtt"][0]])
        found += [f"{name} may not {action}" for action in sorted(wanted - given)]
        found += [f"{name} never does {action}" for action in sorted(given - wanted)]
    return found


@pytest.mark.parametrize("name", STACKS)
def test_functions_may_do_what_they_call_and_no_more(name: str) -> None:
    """A missing action shows in production first, an idle one when it is abused."""
    assert faults(read_template(ROOT / "stacks" / name), FUNCTIONS) == []


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """Copy the functions, to break them."""
    return Path(shutil.copytree(FUNCTIONS, tmp_path / "functions"))


@pytest.mark.parametrize(
    ("file", "old", "new", "words"),
    [
        (
            "canary/endpoints.py",
            "lambda_.get_alias(",
            "lambda_.get_function(",
            [
                "PreTrafficFunction may not lambda:GetFunction",
                "PreTrafficFunction never does lambda:GetAlias",
            ],
        ),
        (
            "canary/capture.py",
            '"list_objects_v2"',
            '"list_object_versions"',
            ["PostTrafficFunction never does s3:ListBucket"],
        ),
        (
            "canary/golden_set.py",
            "s3.get_object(",
            "s3.head_object(",
            ["SyntheticFunction may not s3:HeadObject", "SyntheticFunction never does kms:Decrypt"],
        ),
        (
            "api/endpoint.py",
            "return runtime.invoke_endpoint(**arguments)\n    except",
            "return runtime.invoke_endpoint_async(**arguments)\n    except",
            ["ApiFunction may not sagemaker:InvokeEndpointAsync"],
        ),
    ],
)
def test_a_call_that_is_not_allowed_is_told(
    copied: Path, file: str, old: str, new: str, words: list[str]
) -> None:
    """The check follows imports and methods to wherever a call stands."""
    text = (copied / file).read_text(encoding="utf-8")
    assert old in text
    (copied / file).write_text(text.replace(old, new), encoding="utf-8")
    found = faults(read_template(ROOT / "stacks" / "deploy-model-prd.yml"), copied)
    assert set(words) <= set(found)


def test_an_action_that_nothing_uses_is_told() -> None:
    """Rights stay behind when code goes."""
    template = copy.deepcopy(read_template(ROOT / "stacks" / "verify.yml"))
    (policy,) = template["Resources"]["GoldenRole"]["Properties"]["Policies"]
    policy["PolicyDocument"]["Statement"][0]["Action"].append("sagemaker:DeleteEndpoint")
    assert faults(template, FUNCTIONS) == ["GoldenFunction never does sagemaker:DeleteEndpoint"]
