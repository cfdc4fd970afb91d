"""Reading of a project's templates and state machines."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import yaml

try:
    from yaml import CSafeLoader as SafeLoader  # eight times as fast as the one in Python
except ImportError:  # PyYAML was built without libyaml, as it may be in a build image
    from yaml import SafeLoader  # type: ignore[assignment]

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

EXPRESSION = re.compile(r"\s*\{%(.*)%\}\s*", re.DOTALL)
LOOP = "Fn::ForEach::"  # begins the name of a loop of AWS::LanguageExtensions


class TemplateLoader(SafeLoader):
    """Reads CloudFormation's short forms (!Ref, !Sub, …) as their long ones."""


def long_form(loader: SafeLoader, suffix: str, node: yaml.Node) -> dict[str, Any]:
    """Read !Sub x as {"Fn::Sub": "x"}."""
    if isinstance(node, yaml.ScalarNode):
        value: Any = loader.construct_scalar(node)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        value = loader.construct_mapping(node, deep=True)  # type: ignore[arg-type]
    if suffix == "GetAtt" and isinstance(value, str):
        value = value.split(".", 1)
    return {suffix if suffix in ("Ref", "Condition") else f"Fn::{suffix}": value}


TemplateLoader.add_multi_constructor("!", long_form)


def template_paths(root: Path) -> list[Path]:
    """List the templates of the project in that folder."""
    paths = sorted([*(root / "pipeline").glob("*.yml"), *(root / "stacks").glob("*.yml")])
    return [path for path in paths if path.name != "buildspec.yml"]


def read_template(path: Path) -> dict[str, Any]:
    """Read a CloudFormation template; a resource in a loop is listed once, with the loop as its `ForEach`."""
    text = path.read_text(encoding="utf-8")
    template: dict[str, Any] = yaml.load(text, Loader=TemplateLoader)  # noqa: S506 - it is derived from SafeLoader
    resources = template.get("Resources", {})
    for loop in [name for name in resources if name.startswith(LOOP)]:
        identifier, collection, repeated = resources.pop(loop)
        looped = {"ForEach": {"Identifier": identifier, "Collection": collection}}
        resources |= {name: resource | looped for name, resource in repeated.items()}
    return template


def state_machines(template: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield name and properties of each state machine of a template whose definition is a file."""
    for name, resource in read_template(template).get("Resources", {}).items():
        properties = resource.get("Properties", {})
        if resource["Type"] == "AWS::StepFunctions::StateMachine" and "DefinitionS3Location" in properties:
            yield name, properties


def machines_in(machine: dict[str, Any], location: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the state machine and each one within it, with its location: the state that holds it."""
    yield location, machine
    for name, state in machine["States"].items():
        inner = [*state.get("Branches", []), *([state["ItemProcessor"]] if "ItemProcessor" in state else [])]
        for branch in inner:
            yield from machines_in(branch, f"{name} / {branch['StartAt']}")


def expressions(content: Any) -> Iterator[tuple[str, str]]:
    """Yield each JSONata expression of a JSON document with its path."""
    for path, node in walk(content):
        match = EXPRESSION.fullmatch(node) if isinstance(node, str) else None
        if match:
            yield path, match[1]


def walk(content: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every value in a JSON document with its path."""
    yield path, content
    pairs: Any = (
        content.items()
        if isinstance(content, dict)
        else enumerate(content if isinstance(content, list) else ())
    )
    for key, value in pairs:
        yield from walk(value, f"{path}.{key}" if path else str(key))
