"""The commands of `python -m local`, as a person or a script calls them."""

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
def called(tmp_path: Path, local_folder: Path) -> Call:
    """Return what runs Python in a folder, with the project's packages and without a terminal."""

    def called(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        kept = {name: value for name, value in os.environ.items() if name != "COLUMNS"}
        return subprocess.run(
            [sys.executable, *arguments],
            cwd=tmp_path,
            env={**kept, "PYTHONPATH": str(local_folder.parent), **environment},
            capture_output=True,
            text=True,
            check=False,
        )

    return called


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
def test_what_is_no_project_is_told_in_a_sentence(
    tmp_path: Path, called: Call, settings: str | None, words: str, command: str
) -> None:
    if settings is not None:
        (tmp_path / "project.toml").write_text(settings, encoding="utf-8")
    done = called("-m", "local", command)
    assert done.returncode == 1
    assert words in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not (tmp_path / ".local").exists()


def test_names_stay_whole_where_no_terminal_is(called: Call) -> None:
    """What `status` writes into a pipe is searched for the names of jobs; COLUMNS sets another width."""
    width = "from local.__main__ import console; print(console.width)"
    assert called("-c", width).stdout == "200\n"
    assert called("-c", width, COLUMNS="90").stdout == "90\n"
