"""Creation and update of a project by cruft, although the template's folder has our delimiters."""

from __future__ import annotations

import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

IDENTITY = ("-c", "user.name=A", "-c", "user.email=a@example.invalid", "-c", "commit.gpgsign=false")


def commit(folder: Path, words: str) -> None:
    """Commit all files of the folder."""
    subprocess.run(["git", "init", "--quiet", "--initial-branch=main"], cwd=folder, check=True)
    subprocess.run(["git", "add", "--all", "--force"], cwd=folder, check=True)
    subprocess.run(["git", *IDENTITY, "commit", "--quiet", "--message", words], cwd=folder, check=True)


@pytest.fixture
def repository(template: Path, tmp_path: Path) -> Path:
    """Return a repository that contains the template."""
    folder = tmp_path / "template"
    shutil.copytree(template, folder)
    commit(folder, "First")
    return folder


def cruft(command: str, *arguments: str, cwd: Path) -> None:
    """Run cruft with an empty configuration; show its output when it fails."""
    environment = {"HOME": str(cwd), "PATH": "/usr/bin:/bin:/usr/local/bin", "GIT_CONFIG_NOSYSTEM": "1"}
    result = subprocess.run(
        [sys.executable, "-m", "cruft", command, *arguments],
        cwd=cwd,
        env=environment,
        check=False,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.e2e  # for its time
def test_update_brings_the_template_and_keeps_edits(repository: Path, tmp_path: Path) -> None:
    work = tmp_path / "work"
    work.mkdir()
    cruft("create", str(repository), "--no-input", cwd=work)
    project = work / "house-prices"
    (project / "container" / "mine.py").write_text("MINE = True\n", encoding="utf-8")
    commit(project, "Mine")

    makefile = repository / "<<cookiecutter.project>>" / "Makefile"
    makefile.write_text(makefile.read_text(encoding="utf-8") + "\n# newer\n", encoding="utf-8")
    commit(repository, "Second")
    cruft("update", "--skip-apply-ask", cwd=project)

    assert (project / "Makefile").read_text(encoding="utf-8").endswith("# newer\n")
    assert (project / "container" / "mine.py").exists()
    assert not (project / "{{cookiecutter.cruft}}").exists()
