"""Setup on machines with missing tools: one message with the way out, before any download."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "<<cookiecutter.project>>" / "scripts" / "environment"
TOOLS = ("sh", "cksum", "tr", "date", "mkdir", "git", "uname")

# Replaces Python: prints a version, creates environments with a copy of itself, logs each installation.
PYTHON = """#!/bin/sh
case "$*" in
    *sys.version_info*) exit {fits} ;;
    *ensurepip,*) exit {has_venv} ;;
    *venv*--clear*) for last in "$@"; do :; done; mkdir -p "$last/bin"; cp "$0" "$last/bin/python" ;;
    *"pip install"*) echo "$*" >> "{log}"; exit {installs} ;;
esac
"""


class Machine:
    """A PATH with the tools of a machine, and Pythons that log their calls."""

    def __init__(self, folder: Path) -> None:
        """Link the usual tools, without Python."""
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
        """Add a Python to the PATH."""
        codes = {"fits": not fits, "has_venv": not has_venv, "installs": not installs}
        text = PYTHON.format(log=self.log, **{key: int(code) for key, code in codes.items()})
        (self.bin / name).write_text(text, encoding="utf-8")
        (self.bin / name).chmod(0o755)

    def add_uname(self, words: str) -> None:
        """Replace uname, to simulate another kind of machine."""
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
        """Return the arguments of each installation."""
        return self.log.read_text(encoding="utf-8").splitlines() if self.log.exists() else []


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """Return a machine without Python."""
    return Machine(tmp_path)


def refusal(result: subprocess.CompletedProcess[str]) -> str:
    """Return the only line of the error message of a refused setup."""
    assert result.returncode != 0
    (line,) = result.stderr.splitlines()
    assert line.startswith("error: ")
    return line


def test_first_suitable_python_is_used(machine: Machine) -> None:
    machine.add_python("python3.13", fits=False)
    machine.add_python("python3.12")
    machine.add_python("python3")
    result = machine.set_up()
    assert result.returncode == 0, result.stderr
    assert len(machine.installations()) == 1
    assert str(machine.requirements) in machine.installations()[0]


def test_second_setup_installs_nothing(machine: Machine) -> None:
    """Protects the time of `make run`, which calls the setup each time."""
    machine.add_python("python3")
    machine.set_up()
    again = machine.set_up()
    assert (again.returncode, again.stdout, again.stderr) == (0, "", "")
    assert len(machine.installations()) == 1
    seconds = machine.folder / "a project" / ".venv" / ".installed" / "seconds"
    assert int(seconds.read_text(encoding="utf-8")) >= 0


@pytest.mark.parametrize("package", ["delivery", "localcloud"])
def test_a_missing_wheel_is_named(machine: Machine, package: str) -> None:
    """Protects a user who has lost vendor/ from the installer's words, which do not name the folder."""
    machine.add_python("python3")
    machine.requirements.write_text(
        f"sagemaker-{package}==0.1+none \\\n    --hash=sha256:0\n", encoding="utf-8"
    )
    said = refusal(machine.set_up())
    assert f"vendor/sagemaker_{package}-0.1+none-py3-none-any.whl is missing" in said
    assert "restore the folder vendor/" in said


def test_changed_requirements_are_installed(machine: Machine) -> None:
    machine.add_python("python3")
    machine.set_up()
    machine.requirements.write_text("something==2\n", encoding="utf-8")
    assert machine.set_up().returncode == 0
    assert len(machine.installations()) == 2


def test_failed_installation_is_tried_again(machine: Machine) -> None:
    """Protects users from an incomplete environment after an interrupted download."""
    machine.add_python("python3", installs=False)
    assert machine.set_up().returncode != 0
    assert machine.set_up().returncode != 0
    assert len(machine.installations()) == 2


def test_a_terminal_shows_the_seconds(machine: Machine) -> None:
    """A person sees that the installation continues; a file gets the two lines alone."""
    machine.add_python("python3")
    (machine.bin / "cat").symlink_to(shutil.which("cat") or "")
    real = shutil.which("sleep")
    (machine.bin / "sleep").write_text(f"#!/bin/sh\nexec {real} 0.02\n", encoding="utf-8")
    (machine.bin / "sleep").chmod(0o755)
    python = machine.bin / "python3"
    slow = f'*"pip install"*) {"sleep; " * 12}'
    python.write_text(python.read_text().replace('*"pip install"*)', slow), encoding="utf-8")
    assert len(machine.set_up(VENV="other").stderr.splitlines()) == 2
    ours, theirs = os.openpty()
    command = ["sh", str(SCRIPT), str(machine.requirements)]
    environment = {"PATH": str(machine.bin)}
    with subprocess.Popen(command, cwd=machine.folder, env=environment, stderr=theirs) as process:
        os.close(theirs)
        seen = b""
        with suppress(OSError):  # once nobody has the terminal any more
            while part := os.read(ours, 1000):
                seen += part
    os.close(ours)
    assert process.returncode == 0
    assert b"2 s\r" in seen, seen


def test_named_python_is_used(machine: Machine) -> None:
    machine.add_python("my python")
    assert machine.set_up(PYTHON=str(machine.bin / "my python")).returncode == 0


def test_environment_may_be_in_another_folder(machine: Machine) -> None:
    machine.add_python("python3")
    assert machine.set_up(VENV="../shared venv").returncode == 0
    assert (machine.folder / "shared venv" / ".installed").is_dir()


def test_missing_suitable_python_is_reported(machine: Machine) -> None:
    machine.add_python("python3", fits=False)
    line = refusal(machine.set_up())
    assert "no Python from 3.11 to 3.13" in line
    assert "PYTHON=/path/to/python3.12" in line
    assert machine.installations() == []


def test_unsuitable_named_python_is_reported(machine: Machine) -> None:
    machine.add_python("python3")
    machine.add_python("python3.9", fits=False)
    assert "PYTHON=python3.9 is not a Python from 3.11 to 3.13" in refusal(machine.set_up(PYTHON="python3.9"))
    assert "PYTHON=nothing is not" in refusal(machine.set_up(PYTHON="nothing"))
    assert machine.installations() == []


def test_missing_venv_module_is_reported(machine: Machine) -> None:
    """Debian and Ubuntu ship Python without the module."""
    machine.add_python("python3", has_venv=False)
    assert "apt install python3-venv" in refusal(machine.set_up())
    assert not (machine.folder / "a project" / ".venv").exists()


def test_missing_git_is_reported(machine: Machine) -> None:
    machine.add_python("python3")
    (machine.bin / "git").unlink()
    assert "git is missing" in refusal(machine.set_up())
    assert machine.installations() == []


@pytest.mark.parametrize("processor", ["x86_64", "arm64"])
@pytest.mark.parametrize("name", ["requirements.txt", "requirements-tensorflow.txt"])
def test_tensorflow_on_macs_with_intel_processors_is_refused(
    machine: Machine, processor: str, name: str
) -> None:
    """TensorFlow has no wheels for these Macs, and pip's message does not help; the rest works there."""
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
    """The project accepts the Python of the tests."""
    assert (3, 11) <= sys.version_info[:2] <= (3, 13)
    env = {**os.environ, "PYTHON": sys.executable, "VENV": sys.prefix}
    assert subprocess.run(["sh", SCRIPT], env=env, check=False).returncode == 0
