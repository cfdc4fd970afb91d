"""The structure of the package: imports, lengths and explained exceptions.

The rules are those of a generated project, in `tests/contracts/structure.py` of the template's product.
"""

from __future__ import annotations

import ast
import sys
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import structure

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from structure import Module, Violation

    Rule = Callable[[Iterable[Module]], list[Violation]]

SOURCE = Path(__file__).resolve().parents[1] / "src"
# The dependencies of pyproject.toml, by the names of their modules, and those of the extra `commands`;
# `delivery.commands` is of projects alone, which have the local cloud.
OF_THE_BUILD = {"botocore", "yaml"}
OF_THE_COMMANDS = {"boto3", "localcloud", "requests", "rich", "typer"}
COMMANDS = {
    "delivery.cloud",
    "delivery.commands.application",
    "delivery.commands.approvals",
    "delivery.commands.completion",
    "delivery.commands.doctor",
    "delivery.commands.jobs",
    "delivery.commands.json_output",
    "delivery.commands.deploy",
    "delivery.commands.infer",
    "delivery.commands.local_cloud",
    "delivery.commands.logs",
    "delivery.commands.notebooks",
    "delivery.commands.progress",
    "delivery.commands.project",
    "delivery.commands.train",
    "delivery.deploy",
    "delivery.inference.calls",
    "delivery.inference.clients",
    "delivery.inference.methods",
    "delivery.inference.model_server",
    "delivery.inference.source",
    "delivery.inference.view",
    "delivery.history.results",
    "delivery.history.view",
    "delivery.jobs.view",
    "delivery.teardown",
    "delivery.view",
}
# The environment of the SageMaker SDK, which lacks this package, runs them as files.
OF_THE_SDK = {"nbclient", "nbformat", "sagemaker", "traitlets"}
BY_THE_SDK = {"delivery.execute_notebook", "delivery.inference.predictor_program"}
RULES: dict[str, Rule] = {
    "import cycles": structure.import_cycles,
    "string imports": partial(structure.string_imports, exceptions={}),
    "long modules": structure.long_modules,
    "long functions": structure.long_functions,
    "unexplained noqa": structure.unexplained_noqa,
}


@cache
def package() -> list[Module]:
    return structure.read(SOURCE, ["delivery"])


@pytest.mark.parametrize("rule", RULES)
def test_the_package_keeps_each_rule(rule: str) -> None:
    """Protects readers and type checkers from imports that they do not see, and from long units."""
    assert package()
    violations = RULES[rule](package())
    assert not violations, "\n".join(map(str, violations))


def imported(module: Module) -> set[str]:
    """Return the first names of the modules that a module imports; all imports are absolute."""
    found: set[str] = set()
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.partition(".")[0])
    return found


@pytest.mark.parametrize("module", package(), ids=lambda module: module.name)
def test_a_module_imports_what_the_package_declares(module: Module) -> None:
    """Protects the pipeline's build, which has the packages of the build alone, and imports of a project."""
    allowed = {"delivery", *OF_THE_BUILD, *(OF_THE_COMMANDS if module.name in COMMANDS else ())}
    if module.name in BY_THE_SDK:
        allowed = OF_THE_SDK
    assert imported(module) - sys.stdlib_module_names <= allowed
