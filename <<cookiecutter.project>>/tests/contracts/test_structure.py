"""The structure of the project's Python: imports, lengths, documented errors and explained exceptions."""

from collections.abc import Callable, Iterable
from functools import cache, partial
from pathlib import Path

import pytest

from tests.contracts import structure
from tests.contracts.structure import Module, Violation

Rule = Callable[[Iterable[Module]], list[Violation]]

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("container", "functions", "local", "pipeline", "scripts")
# Files that import a module by a string, each with its reason.
STRING_IMPORTS = {
    "container/deprecated_modules.py": "former modules are imported from a table, for one release",
    "container/models/__init__.py": "a model is a file that a user adds and names in project.toml",
    "container/models/_keras.py": "TensorFlow is optional, and a type checker misses it",
}
RULES: dict[str, Rule] = {
    "import cycles": structure.import_cycles,
    "string imports": partial(structure.string_imports, exceptions=STRING_IMPORTS),
    "long modules": structure.long_modules,
    "long functions": structure.long_functions,
    "undocumented errors": structure.undocumented_errors,
    "unexplained noqa": structure.unexplained_noqa,
}
# Rules that hold for some packages alone.
SCOPES = {"undocumented errors": ("container",)}


@cache
def modules(packages: tuple[str, ...]) -> list[Module]:
    return structure.read(ROOT, packages)


@pytest.mark.parametrize("rule", RULES)
def test_the_project_keeps_each_rule(rule: str) -> None:
    """Protects readers and type checkers from imports that they do not see, and from what is too long."""
    checked = modules(SCOPES.get(rule, PACKAGES))
    assert checked
    violations = RULES[rule](checked)
    assert not violations, "\n".join(map(str, violations))


def test_each_exception_is_used() -> None:
    """Protects the list above from files that no longer import a module by a string."""
    found = structure.string_imports(modules(PACKAGES), {})
    present = {path for path in STRING_IMPORTS if (ROOT / path).exists()}  # _keras.py: with TensorFlow only
    assert present <= {violation.path for violation in found}


BROKEN = {
    "import cycles": (
        {"a.py": "from p import b\n", "b.py": "def f():\n    from p.c import x\n", "c.py": "import p.a\n"},
        ["p/a.py", "p/b.py", "p/c.py"],
    ),
    "import cycles by a string": (
        {
            "__init__.py": "",
            "a.py": "from . import b\n",
            "b.py": "import importlib\nimportlib.import_module('p.a')\n",
        },
        ["p/a.py", "p/b.py"],
    ),
    "string imports": (
        {"a.py": "from importlib import import_module\nx = import_module('json')\n", "b.py": "import json\n"},
        ["p/a.py"],
    ),
    "long modules": ({"a.py": "\n" * 451, "b.py": "\n" * 450}, ["p/a.py"]),
    "long functions": (
        {"a.py": "def f():\n" + "    x = 1\n" * 50, "b.py": "async def f():\n" + "    x = 1\n" * 49},
        ["p/a.py"],
    ),
    "undocumented errors": (
        {
            "a.py": "def f():\n    '''Do.'''\n    raise ValueError\n",
            "b.py": "class C:\n    def f(self):\n        '''Do.\n\n"
            "        Raises:\n            KeyError: no.\n        '''\n"
            "        raise errors.OtherError('x') from None\n",
            "c.py": "def f():\n    '''Do.\n\n    Raises:\n        OSError: no.\n    '''\n"
            "    error = ValueError()\n    raise error\n",
            "d.py": "def f():\n    '''Do.\n\n    Raises:\n        ValueError: no.\n    '''\n"
            "    def inner():\n        raise KeyError\n    if inner:\n        raise ValueError('x')\n",
            "e.py": "def _f():\n    raise ValueError\n",
            "f.py": "def f():\n    '''Do.'''\n    try:\n        g()\n    except ValueError:\n        raise\n",
        },
        ["p/a.py", "p/b.py", "p/c.py", "p/f.py"],
    ),
    "unexplained noqa": (
        {
            "a.py": "import a  # noqa\n",
            "b.py": "import a  # noqa: F401\n",
            "c.py": "import a  # noqa: F401  unused\n",
            "d.py": "import a  # type: ignore[x]  # noqa: F401, E501 - a reason\n",
            "e.py": "x = 'noqa'\n",
            "f": "#!/usr/bin/env python3\nimport a  # noqa: F401  # a reason\n",
            "g": "#!/bin/sh\n# noqa python\n",
        },
        ["p/a.py", "p/b.py", "p/c.py", "p/f"],
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_rule_is_found(tmp_path: Path, case: str) -> None:
    """Protects the check above from passing because it looks at nothing."""
    files, expected = BROKEN[case]
    (tmp_path / "p").mkdir()
    for name, text in files.items():
        (tmp_path / "p" / name).write_text(text, encoding="utf-8")
    rule = RULES[case.removesuffix(" by a string")]
    assert [each.path for each in rule(structure.read(tmp_path, ["p"]))] == expected
