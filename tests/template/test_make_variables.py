"""Variables given to make: no character of a value is lost, and nothing in a value is executed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).resolve().parents[2]
PRODUCT = "<<cookiecutter.project>>"
TOUCHED = "touched"
VALUES = [
    "prices$2024.csv",
    f"a$(shell touch {TOUCHED}).csv",
    f"a$(touch {TOUCHED}).csv",
    f"a`touch {TOUCHED}`.csv",
    f"a; touch {TOUCHED} #.csv",
    'two  words, it\'s "quoted".csv',
    "$$(HOME) ${HOME} $(error no) \\",
]
GIVEN = {
    "product": ("DATA", "TARGET", "APPROVE", "SPEED", "NO_SKIP", "PYTHON", "VENV", "VENV_SDK", "UPGRADE"),
    "template": (
        "DATA",
        "TARGET",
        "KEEP",
        "DRIFT",
        "FRAMEWORK",
        "WORKLOAD",
        "AGAINST",
        "ROUNDS",
        "PYTHON",
        "MODEL",
        "UPGRADE",
    ),
}
# Replaces the environment's Python: records its arguments and environment, and calls make as a build does.
RECORDER = """#!{python}
import json, os, subprocess, sys
code = subprocess.run(["make", "-f", "other.mk"], check=False).returncode
with open("seen.json", "w") as file:
    json.dump({{"arguments": sys.argv[1:], "environment": dict(os.environ), "code": code}}, file)
"""
Seen = dict[str, Any]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Create a folder whose name make and shells would expand."""
    made = tmp_path / f"my $(shell touch {TOUCHED}) $1 folder"
    (made / "scripts").mkdir(parents=True)
    (made / "other.mk").write_text("all:\n\t@:\n")
    return made


def recorder(path: Path) -> None:
    path.parent.mkdir(parents=True)
    path.write_text(RECORDER.format(python=sys.executable))
    path.chmod(0o755)


def make(folder: Path, target: str, given: dict[str, str], way: str) -> Seen:
    """Call make with variables on its command line or in its environment; return the Python's record."""
    kept = {"PATH": os.environ["PATH"], "PWD": str(folder)}
    words = [f"{name}={value}" for name, value in given.items()] if way == "command line" else []
    done = subprocess.run(
        ["make", target, *words],
        cwd=folder,
        env=kept if words else kept | given,
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert not list(folder.rglob(TOUCHED))
    seen: Seen = json.loads((folder / "seen.json").read_text())
    assert seen["code"] == 0
    return seen


@pytest.fixture
def run(folder: Path) -> Callable[..., Seen]:
    """Return a function that calls `make run` of the product in an existing environment."""
    shutil.copy(ROOT / PRODUCT / "Makefile", folder)
    (folder / "scripts" / "environment").write_text('test -n "$VENV"\n')

    def called(given: dict[str, str], way: str) -> Seen:
        recorder(folder / given.get("VENV", ".venv") / "bin" / "python")
        return make(folder, "run", given, way)

    return called


@pytest.fixture
def demo(folder: Path) -> Callable[..., Seen]:
    """Return a function that calls `make demo` of the template in an existing environment."""
    shutil.copy(ROOT / "Makefile", folder)
    (folder / PRODUCT / "scripts").mkdir(parents=True)
    (folder / PRODUCT / "scripts" / "environment").touch()
    recorder(folder / ".venv" / "bin" / "python")
    return lambda given, way: make(folder, "demo", given, way)


@pytest.mark.parametrize("way", ["command line", "environment"])
@pytest.mark.parametrize("value", VALUES)
def test_a_projects_variables_are_taken_as_they_are(run: Callable[..., Seen], value: str, way: str) -> None:
    """Protects each character of a value, also in another make that is called."""
    given = dict.fromkeys(GIVEN["product"], value)
    seen = run(given, way)
    expected = [
        "-m",
        "local",
        "run",
        "--data",
        value,
        "--target",
        value,
        "--approve",
        "--speed",
        value,
        "--no-skip",
    ]
    assert seen["arguments"] == expected
    assert {name: seen["environment"].get(name) for name in given} == given
    assert seen["environment"]["INSTALL_SECONDS_FILE"] == f"{value}/.installed/seconds"


@pytest.mark.parametrize("way", ["command line", "environment"])
@pytest.mark.parametrize("value", VALUES)
def test_the_templates_variables_are_taken_as_they_are(
    demo: Callable[..., Seen], folder: Path, value: str, way: str
) -> None:
    """Protects the variables of the benchmarks too, and the name of the caller's folder."""
    given = dict.fromkeys(GIVEN["template"], value)
    seen = demo(given, way)
    assert {name: seen["environment"].get(name) for name in given} == given
    assert seen["environment"]["CALLER"] == str(folder)


def test_variables_have_defaults(run: Callable[..., Seen]) -> None:
    """Without variables the run has no options."""
    seen = run({}, "environment")
    assert seen["arguments"] == ["-m", "local", "run"]
    assert seen["environment"]["VENV"] == ".venv"


@pytest.mark.parametrize("way", ["command line", "environment"])
@pytest.mark.parametrize("called", ["run", "demo"])
def test_the_makefiles_own_variables_can_not_be_set(
    called: str, way: str, request: pytest.FixtureRequest
) -> None:
    """A value for such a variable has no effect, and nothing in the value is executed."""
    names = ("given", "python", "runtime", "product", "environment", "product_requirements", "target")
    seen = request.getfixturevalue(called)(dict.fromkeys(names, f"$(shell touch {TOUCHED})"), way)
    assert seen["arguments"] == (["-m", "local", "run"] if called == "run" else ["scripts/demo.py"])
