"""Setting up where something is missing: one sentence with the way out, before anything is downloaded."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "<<cookiecutter.project>>" / "scripts" / "environment"
TOOLS = ("sh", "cksum", "tr", "date", "mkdir", "git", "uname")

# Stands for a Python: says its version, makes environments that hold itself, notes each installation.
PYTHON = """#!/bin/sh
case "$*" in
    *sys.version_info*) exit {fits} ;;
    *ensurepip,*) exit {has_venv} ;;
    *venv*--clear*) for last in "$@"; do :; done; mkdir -p "$last/bin"; cp "$0" "$last/bin/python" ;;
    *"pip install"*) echo "$*" >> "{log}"; exit {installs} ;;
esac
"""


class Machine:
    """A PATH with the tools that a machine has, and Pythons that only say what they would do."""

    def __init__(self, folder: Path) -> None:
        """Have the usual tools and no Python."""
        self.folder = folder
        self.bin = folder / "bin"
        self.log = folder / "installed.log"
        self.requirements = folder / "requirements.txt"
        self.bin.mkdir()
        self.requirements.write_text("something==1\n", encoding="utf-8")
        for tool in TOOLS:
            found = shutil.which(tool)
            assert found
            (self.bin / tool).symlink_to(found)
        (self.bin / "cp").symlink_to(shutil.which("cp") or "")

    def add_python(
        self, name: str, *, fits: bool = True, has_venv: bool = True, installs: bool = True
    ) -> None:
        """Put a Python on the PATH."""
        codes = {"fits": not fits, "has_venv": not has_venv, "installs": not installs}
        text = PYTHON.format(log=self.log, **{key: int(code) for key, code in codes.items()})
        (self.bin / name).write_text(text, encoding="utf-8")
        (self.bin / name).chmod(0o755)

    def add_uname(self, words: str) -> None:
        """Be a machine of another kind."""
        (self.bin / "uname").unlink()
        (self.bin / "uname").write_text(f"#!/bin/sh\necho {words}\n", encoding="utf-8")
        (self.bin / "uname").chmod(0o755)

    def set_up(self, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run the script in a folder whose name has a space."""
        (self.folder / "a project").mkdir(exist_ok=True)
        return subprocess.run(
            ["sh", SCRIPT, self.requirements],
            cwd=self.folder / "a project",
            env={"PATH": str(self.bin), **variables},
            check=False,
            capture_output=True,
            text=True,
        )

    def installations(self) -> list[str]:
        """Give the arguments of each installation."""
        return self.log.read_text(encoding="utf-8").splitlines() if self.log.exists() else []


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """Give a machine without Python."""
    return Machine(tmp_path)


def refusal(result: subprocess.CompletedProcess[str]) -> str:
    """Give the only line that a refused set-up says."""
    assert result.returncode != 0
    (line,) = result.stderr.splitlines()
    assert line.startswith("error: ")
    return line


def test_first_python_that_fits_is_taken(machine: Machine) -> None:
    machine.add_python("python3.13", fits=False)
    machine.add_python("python3.12")
    machine.add_python("python3")
    result = machine.set_up()
    assert result.returncode == 0, result.stderr
    assert len(machine.installations()) == 1
    assert str(machine.requirements) in machine.installations()[0]


def test_second_set_up_installs_nothing(machine: Machine) -> None:
    """`make run` sets up each time, so a set-up that is up to date costs nothing."""
    machine.add_python("python3")
    machine.set_up()
    again = machine.set_up()
    assert (again.returncode, again.stdout, again.stderr) == (0, "", "")
    assert len(machine.installations()) == 1
    seconds = machine.folder / "a project" / ".venv" / ".installed" / "seconds"
    assert int(seconds.read_text(encoding="utf-8")) >= 0


def test_changed_requirements_are_installed(machine: Machine) -> None:
    machine.add_python("python3")
    machine.set_up()
    machine.requirements.write_text("something==2\n", encoding="utf-8")
    assert machine.set_up().returncode == 0
    assert len(machine.installations()) == 2


def test_failed_installation_is_tried_again(machine: Machine) -> None:
    """An interrupted download must not pass for an environment."""
    machine.add_python("python3", installs=False)
    assert machine.set_up().returncode != 0
    assert machine.set_up().returncode != 0
    assert len(machine.installations()) == 2


def test_named_python_is_taken(machine: Machine) -> None:
    machine.add_python("my python")
    assert machine.set_up(PYTHON=str(machine.bin / "my python")).returncode == 0


def test_environment_may_stand_elsewhere(machine: Machine) -> None:
    machine.add_python("python3")
    assert machine.set_up(VENV="../shared venv").returncode == 0
    assert (machine.folder / "shared venv" / ".installed").is_dir()


def test_no_fitting_python_is_said(machine: Machine) -> None:
    machine.add_python("python3", fits=False)
    line = refusal(machine.set_up())
    assert "no Python from 3.11 to 3.13" in line
    assert "PYTHON=/path/to/python3.12" in line
    assert machine.installations() == []


def test_wrong_named_python_is_said(machine: Machine) -> None:
    machine.add_python("python3")
    machine.add_python("python3.9", fits=False)
    assert "PYTHON=python3.9 is not a Python from 3.11 to 3.13" in refusal(machine.set_up(PYTHON="python3.9"))
    assert "PYTHON=nothing is not" in refusal(machine.set_up(PYTHON="nothing"))
    assert machine.installations() == []


def test_missing_venv_module_is_said(machine: Machine) -> None:
    """Debian and Ubuntu ship Python without it."""
    machine.add_python("python3", has_venv=False)
    assert "apt install python3-venv" in refusal(machine.set_up())
    assert not (machine.folder / "a project" / ".venv").exists()


def test_missing_git_is_said(machine: Machine) -> None:
    machine.add_python("python3")
    (machine.bin / "git").unlink()
    assert "git is missing" in refusal(machine.set_up())
    assert machine.installations() == []


@pytest.mark.parametrize("processor", ["x86_64", "arm64"])
@pytest.mark.parametrize("name", ["requirements.txt", "requirements-tensorflow.txt"])
def test_tensorflow_on_macs_with_intel_processors_is_refused(
    machine: Machine, processor: str, name: str
) -> None:
    """There are no wheels for them, and pip's own words lead nowhere; all else works on them."""
    machine.add_python("python3")
    machine.add_uname(f"Darwin {processor}")
    machine.requirements = machine.requirements.rename(machine.folder / name)
    result = machine.set_up()
    if (processor, name) == ("x86_64", "requirements-tensorflow.txt"):
        assert "framework=scikit-learn" in refusal(result)
        assert machine.installations() == []
    else:
        assert result.returncode == 0, result.stderr


def test_version_rule_holds_for_a_real_python() -> None:
    """The tests' own Python is one that the project takes."""
    assert (3, 11) <= sys.version_info[:2] <= (3, 13)
    env = {**os.environ, "PYTHON": sys.executable, "VENV": sys.prefix}
    assert subprocess.run(["sh", SCRIPT], env=env, check=False).returncode == 0
