"""Fixtures that generate projects from the template's tracked files, without local leftovers."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import pytest
from cookiecutter.main import cookiecutter
from hypothesis import settings as hypothesis

if TYPE_CHECKING:
    from collections.abc import Callable

# A slow machine does not make a property false, so examples have unlimited time.
hypothesis.register_profile("template", deadline=None)
hypothesis.load_profile("template")
ROOT = Path(__file__).resolve().parents[1]
PRODUCT = "<<cookiecutter.project>>"
REQUIREMENTS = ("container/requirements*.txt", "local/requirements.txt", "requirements-dev.txt")
# The environment of `make test-e2e` itself does not concern a generated project.
OURS = {
    "VENV",
    "DATA",
    "TARGET",
    "FRAMEWORK",
    "WORKLOAD",
    "KEEP",
    "CALLER",
    "MAKEFLAGS",
    "MAKELEVEL",
    "MFLAGS",
    "VIRTUAL_ENV",
}


class Bake(Protocol):
    """Generate a project from answers, and return its folder."""

    def __call__(self, **answers: str) -> Path: ...


@pytest.fixture(scope="session")
def tracked() -> list[str]:
    """Return the template's files that git tracks, as they are in the working tree."""
    listing = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True)
    return [name for name in listing.stdout.split("\0") if name and (ROOT / name).exists()]


@pytest.fixture(scope="session")
def product_files(tracked: list[str]) -> list[str]:
    """Return the files of the generated project, relative to its folder."""
    return [name.removeprefix(f"{PRODUCT}/") for name in tracked if name.startswith(f"{PRODUCT}/")]


@pytest.fixture(scope="session")
def template(tracked: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Copy the tracked files to a folder of their own."""
    folder = tmp_path_factory.mktemp("template")
    for name in tracked:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, folder / name)
    return folder


@pytest.fixture(scope="session")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Keep cookiecutter out of the home folder, and its user defaults out of the tests."""
    folder = tmp_path_factory.mktemp("settings")
    path = folder / "cookiecutter.yml"
    path.write_text(f"replay_dir: '{folder / 'replay'}'\n", encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def bake(template: Path, settings: Path, tmp_path_factory: pytest.TempPathFactory) -> Bake:
    """Answer some questions like a person at the prompt, and the others with their defaults."""

    def generate(**answers: str) -> Path:
        path = cookiecutter(
            str(template),
            no_input=True,
            extra_context={
                question: answer if question in {"framework", "workload"} else as_typed(answer)
                for question, answer in answers.items()
            },
            output_dir=str(tmp_path_factory.mktemp("bake")),
            config_file=str(settings),
        )
        return Path(path)

    return generate


@pytest.fixture(scope="session")
def outer_environment() -> dict[str, str]:
    """Return the variables that a user's shell would have."""
    return {name: value for name, value in os.environ.items() if name not in OURS}


@pytest.fixture(scope="session")
def environment_of(outer_environment: dict[str, str]) -> Callable[[Path], Path]:
    """Return a project's virtual environment: the template's own, or one that TensorFlow projects share.

    The shared one and the demo's check that a project's requirement files are complete.
    """

    def install(project: Path) -> Path:
        venv = Path(sys.prefix)
        if (project / "container" / "requirements-tensorflow.txt").exists():
            files = (path for pattern in REQUIREMENTS for path in sorted(project.glob(pattern)))
            content = b"".join(path.read_bytes() for path in files)
            venv = ROOT / "build" / "venvs" / hashlib.sha256(content).hexdigest()[:16]
        environment = outer_environment | {"VENV": str(venv)}
        subprocess.run(["make", "setup-dev"], cwd=project, env=environment, check=True)
        return venv

    return install


def as_typed(answer: str) -> str:
    """Escape a free answer so that cookiecutter, which renders given answers, returns it unchanged."""
    return f"<< {json.dumps(answer, ensure_ascii=False)} >>"
