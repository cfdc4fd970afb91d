"""Checks of bakes with each workload and framework, as a new user runs them."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.conftest import PRODUCT

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import Bake

ROOT = Path(__file__).resolve().parents[2]
MYPY = ROOT / "build" / "mypy"  # mypy's cache, which all bakes share
CONTAINER = ("container", "tests/container")

pytestmark = pytest.mark.e2e


@pytest.fixture
def make(environment_of: Callable[[Path], Path], outer_environment: dict[str, str]) -> Callable[..., None]:
    """Return a function that runs commands in a bake's environment."""

    def run(project: Path, *command: str) -> None:
        venv = environment_of(project)
        environment = outer_environment | {"VENV": str(venv), "MYPY_CACHE_DIR": str(MYPY)}
        command = tuple(str(venv / "bin" / "python") if word == "python" else word for word in command)
        assert subprocess.run(command, cwd=project, env=environment, check=False).returncode == 0

    return run


def test_bake_passes_its_own_checks_as_rendered(bake: Bake, make: Callable[..., None]) -> None:
    """The bake is checked as rendered. This bake has all packages, so no test is skipped."""
    make(bake(framework="tensorflow"), "make", "lint", "test")


@pytest.mark.parametrize(
    "answers",
    [
        {},
        {
            "workload": "image",
            "project_name": 'O\'Connor "and" sons \\ 予測',
            "project": "sixteen-chars-ab",
            "description": "Breaks ```markdown``` <!-- and [toml]\n\"\"\" '''",
            "region": "us-gov-west-1",
        },
        {"workload": "image", "framework": "tensorflow"},
    ],
    ids=["defaults", "pictures and hostile", "pictures and tensorflow"],
)
def test_other_bakes_differ_outside_of_the_container(
    bake: Bake, make: Callable[..., None], answers: dict[str, str]
) -> None:
    """The container is the same, byte for byte, and its tests have run in the template and above."""
    project = bake(**answers)
    for folder in CONTAINER:
        for path in (project / folder).rglob("*.*"):
            assert path.read_bytes() == (ROOT / PRODUCT / path.relative_to(project)).read_bytes()
    make(project, "make", "lint")
    make(project, "python", "-m", "pytest", "--numprocesses", "auto", "--ignore=tests/container")
