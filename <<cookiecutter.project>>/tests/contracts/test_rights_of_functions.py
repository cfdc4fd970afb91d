"""The roles of functions allow the calls in the functions' code, and no other calls."""

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
from delivery.templates.read import read_template

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[2]
FUNCTIONS = ROOT / "functions"
STACKS = ("deploy-model-prd.yml", "verify.yml", "workflow.yml")
# Calls whose action in IAM has another name, or that need further actions.
ACTIONS = {
    "lambda:Invoke": {"lambda:InvokeFunction"},
    "s3:ListObjectsV2": {"s3:ListBucket"},
    "s3:GetObject": {"s3:GetObject", "kms:Decrypt"},
}
LOGS = {"logs:CreateLogStream", "logs:PutLogEvents"}
TRACING = {"xray:PutTelemetryRecords", "xray:PutTraceSegments"}
Definition = ast.FunctionDef | ast.ClassDef


@cache
def operations(service: str) -> dict[str, str]:
    """Return the methods of a boto3 client with the names of their actions in IAM."""
    model = botocore.session.get_session().get_service_model(service)
    prefix = model.signing_name
    return {xform_name(name): f"{prefix}:{name}" for name in model.operation_names}


@dataclass(frozen=True)
class Code:
    """The modules of functions/, by dotted name."""

    folder: Path

    @cached_property
    def modules(self) -> dict[str, ast.Module]:
        """Return every module, parsed."""
        paths = self.folder.rglob("*.py")
        return {
            ".".join(path.relative_to(self.folder).with_suffix("").parts): ast.parse(path.read_text("utf-8"))
            for path in paths
        }

    def definitions(self, module: str) -> dict[str, Definition]:
        """Return the functions and classes of a module."""
        nodes = self.modules[module].body
        return {node.name: node for node in nodes if isinstance(node, ast.FunctionDef | ast.ClassDef)}

    def imported(self, module: str) -> dict[str, tuple[str, str]]:
        """Return imports from other modules as (module, name); the name is empty for a module itself."""
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
        """Yield the code that runs with a function: its body, its references, and module-level statements."""
        waiting, seen = [(module, name)], set()
        while waiting:
            place = waiting.pop()
            if place in seen or place[1] not in self.definitions(place[0]):
                continue
            seen.add(place)
            node = self.definitions(place[0])[place[1]]
            yield node
            waiting += self.referenced(place[0], node)
        for own in {place[0] for place in seen}:
            yield from (
                node
                for node in self.modules[own].body
                if not isinstance(node, ast.FunctionDef | ast.ClassDef | ast.If)
            )

    def referenced(self, module: str, node: ast.AST) -> list[tuple[str, str]]:
        """List the functions and classes that a piece of code refers to."""
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
    """List the actions that the calls of a handler need."""
    module, _, name = handler.rpartition(".")
    nodes = [one for node in Code(folder).reached(module, name) for one in ast.walk(node)]
    calls = [node for node in nodes if isinstance(node, ast.Call)]
    known: dict[str, str] = {}
    for call in calls:
        if (
            method_name(call) in ("client", "control")
            and call.args
            and isinstance(call.args[0], ast.Constant)
        ):
            known |= operations(str(call.args[0].value))
    found = {
        known[name]
        for call in calls
        for name in (method_name(call), paginated_operation(call))
        if name in known
    }
    return set().union(*(ACTIONS.get(action, {action}) for action in found))


def method_name(call: ast.Call) -> str:
    return getattr(call.func, "attr", getattr(call.func, "id", ""))


def paginated_operation(call: ast.Call) -> str:
    """Return the operation of a paginator."""
    if method_name(call) == "get_paginator" and isinstance(call.args[0], ast.Constant):
        return str(call.args[0].value)
    return ""


def as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def allowed(role: dict[str, Any]) -> set[str]:
    """List the actions that a role always allows; those of an option (VPC, file system) are left out."""
    (policy,) = role["Properties"]["Policies"]
    statements = [one for one in policy["PolicyDocument"]["Statement"] if "Fn::If" not in one]
    return {action for statement in statements for action in as_list(statement["Action"])}


def faults(template: dict[str, Any], folder: Path) -> list[str]:
    """List the calls that a role does not allow, and the allowed actions that its function never calls."""
    found = []
    for name, resource in template["Resources"].items():
        properties = resource["Properties"]
        if (
            resource["Type"] not in ("AWS::Lambda::Function", "AWS::Serverless::Function")
            or "Handler" not in properties
        ):
            continue
        traced = TRACING if resource["Type"] == "AWS::Serverless::Function" else set()
        required = needed(folder, properties["Handler"]) | LOGS | traced
        given = allowed(template["Resources"][properties["Role"]["Fn::GetAtt"][0]])
        found += [f"{name} may not {action}" for action in sorted(required - given)]
        found += [f"{name} never does {action}" for action in sorted(given - required)]
    return found


@pytest.mark.parametrize("name", STACKS)
def test_functions_may_do_what_they_call_and_no_more(name: str) -> None:
    """A missing action is noticed in production first, and an unused one when it is abused."""
    assert faults(read_template(ROOT / "stacks" / name), FUNCTIONS) == []


@pytest.fixture
def functions_copy(tmp_path: Path) -> Path:
    """Copy the functions, so that a test can break them."""
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
def test_a_call_that_is_not_allowed_is_reported(
    functions_copy: Path, file: str, old: str, new: str, words: list[str]
) -> None:
    """The check follows imports and methods to every call."""
    text = (functions_copy / file).read_text(encoding="utf-8")
    assert old in text
    (functions_copy / file).write_text(text.replace(old, new), encoding="utf-8")
    found = faults(read_template(ROOT / "stacks" / "deploy-model-prd.yml"), functions_copy)
    assert set(words) <= set(found)


def test_an_unused_action_is_reported() -> None:
    """Actions easily stay in a role after their code is removed."""
    template = copy.deepcopy(read_template(ROOT / "stacks" / "verify.yml"))
    (policy,) = template["Resources"]["GoldenRole"]["Properties"]["Policies"]
    policy["PolicyDocument"]["Statement"][0]["Action"].append("sagemaker:DeleteEndpoint")
    assert faults(template, FUNCTIONS) == ["GoldenFunction never does sagemaker:DeleteEndpoint"]
