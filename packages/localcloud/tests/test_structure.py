"""The structure of the package: imports, lengths, documented errors and explained exceptions.

The rules are those of a generated project, in `tests/contracts/structure.py` of the template's product.
"""

from __future__ import annotations

import ast
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import structure
from structure import Module, Violation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    Rule = Callable[[Iterable[Module]], list[Violation]]

SOURCE = Path(__file__).resolve().parents[1] / "src"
# The packages of a generated project, and of the template: the local cloud is complete without them.
PROJECT_PACKAGES = {"container", "functions", "local", "pipeline", "scripts"}
# Files that import a module by a string, each with its reason.
STRING_IMPORTS = {
    "localcloud/core/patches.py": "a patch names its target in ministack, which is checked at start-up",
    "localcloud/core/warm_process.py": "a project names what its container imports",
    "localcloud/services/awslambda/worker_program.py": "a function's settings name its handler",
}


def project_imports(modules: Iterable[Module]) -> list[Violation]:
    """Find imports of a generated project's packages."""
    return [
        Violation(module.path, line, f"{name} is a package of a generated project")
        for module in modules
        for line, name in imports(module)
        if name.partition(".")[0] in PROJECT_PACKAGES
    ]


def services_in_core(modules: Iterable[Module]) -> list[Violation]:
    """Find modules of `core` that import a service."""
    return [
        Violation(module.path, line, f"core imports {name}, and the services are to import core")
        for module in modules
        for line, name in imports(module)
        if module.name.startswith("localcloud.core") and name.startswith("localcloud.services")
    ]


def imports(module: Module) -> Iterator[tuple[int, str]]:
    """Return the imported names of a module with their lines; the linter allows absolute imports only."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)


RULES: dict[str, Rule] = {
    "import cycles": structure.import_cycles,
    "string imports": partial(structure.string_imports, exceptions=STRING_IMPORTS),
    "long modules": structure.long_modules,
    "long functions": structure.long_functions,
    "undocumented errors": structure.undocumented_errors,
    "unexplained noqa": structure.unexplained_noqa,
    "imports of a project": project_imports,
    "services in core": services_in_core,
}


@cache
def package() -> list[Module]:
    return structure.read(SOURCE, ["localcloud"])


@pytest.mark.parametrize("rule", RULES)
def test_the_package_keeps_each_rule(rule: str) -> None:
    """Protects readers and type checkers from imports that they do not see, and from long units."""
    assert package()
    violations = RULES[rule](package())
    assert not violations, "\n".join(map(str, violations))


@pytest.mark.parametrize("path", STRING_IMPORTS)
def test_each_exception_is_needed(path: str) -> None:
    """Protects the list of exceptions from entries that nothing needs any more."""
    assert path in {violation.path for violation in structure.string_imports(package(), {})}


@pytest.mark.parametrize(
    ("rule", "files", "expected"),
    [
        (
            "imports of a project",
            {
                "a.py": "def f():\n    from container.data import schema\n",
                "b.py": "import localcloud.scripts\n",
            },
            ["localcloud/core/a.py"],
        ),
        (
            "services in core",
            {
                "a.py": "from localcloud.services import s3\n",
                "b.py": "import localcloud.services.s3\n",
                "c.py": "from localcloud.core import services\n",
            },
            ["localcloud/core/a.py", "localcloud/core/b.py"],
        ),
    ],
)
def test_a_broken_rule_is_found(
    tmp_path: Path, rule: str, files: dict[str, str], expected: list[str]
) -> None:
    """Protects the check above from passing because it looks at nothing."""
    folder = tmp_path / "localcloud" / "core"
    folder.mkdir(parents=True)
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")
    assert [each.path for each in RULES[rule](structure.read(tmp_path, ["localcloud"]))] == expected
