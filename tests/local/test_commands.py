"""The commands of `python -m local`, as called by a person or a script."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

Call = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run_python(tmp_path: Path, python_path: str) -> Call:
    """Return a function that runs Python in a folder, with the project's packages and without a terminal."""

    def run_python(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        kept = {name: value for name, value in os.environ.items() if name != "COLUMNS"}
        return subprocess.run(
            [sys.executable, *arguments],
            cwd=tmp_path,
            env={**kept, "PYTHONPATH": python_path, **environment},
            capture_output=True,
            text=True,
            check=False,
        )

    return run_python


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (None, "is in no project: no project.toml there or above"),
        ("[project]\nname = ", "project.toml is not valid TOML"),
        ("[project]\nname = 'a'\n", "project.toml lacks the entry 'region'"),
        ("project = 'a'\n", "project.toml is not that of a project"),
    ],
    ids=["no project", "no TOML", "an entry too few", "a section that is none"],
)
@pytest.mark.parametrize("command", ["status", "run"])
def test_a_folder_that_is_not_a_project_is_refused_in_a_sentence(
    tmp_path: Path, run_python: Call, settings: str | None, words: str, command: str
) -> None:
    if settings is not None:
        (tmp_path / "project.toml").write_text(settings, encoding="utf-8")
    done = run_python("-m", "local", command)
    assert done.returncode == 1
    assert words in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not (tmp_path / ".local").exists()


def test_packages_of_another_version_are_named(run_python: Call) -> None:
    """Protects people who updated the project and not its environment from a traceback."""
    program = "import sys; sys.modules['delivery.history'] = None; from local.__main__ import main; main()"
    done = run_python("-c", program, "status")
    assert done.returncode == 1
    assert done.stderr == (
        "error: The project needs another version of delivery: run 'make setup', which installs it.\n"
    )


def test_names_are_not_cut_without_a_terminal(run_python: Call) -> None:
    """Scripts search the output of `status` for the names of jobs; COLUMNS sets another width."""
    width = "from local.__main__ import console; print(console.width)"
    assert run_python("-c", width).stdout == "200\n"
    assert run_python("-c", width, COLUMNS="90").stdout == "90\n"
