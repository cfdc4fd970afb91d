"""The checks of the machine, which run before anything is installed."""

from __future__ import annotations

import ast
import json
import os
import shutil
import socket
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from delivery import doctor

if TYPE_CHECKING:
    from collections.abc import Callable

SOURCE = Path(doctor.__file__)


@pytest.fixture
def machine(tmp_path: Path) -> Callable[..., doctor.Machine]:
    """Return a function that gives a machine with an empty project, and variables of the environment."""
    (tmp_path / "project.toml").touch()

    def machine(**variables: str) -> doctor.Machine:
        return doctor.Machine(tmp_path, {**os.environ, **variables})

    return machine


def made_at(venv: Path, place: Path) -> None:
    """Make the parts of a virtual environment that are looked at."""
    (venv / "bin").mkdir(parents=True)
    (venv / "bin" / "python").symlink_to(sys.executable)
    (venv / "bin" / "activate").write_text(
        f'deactivate () {{ }}\nVIRTUAL_ENV="{place}"\nexport VIRTUAL_ENV\n'
    )


def test_the_module_runs_on_an_old_python_without_packages() -> None:
    """`make doctor` says what is missing where nothing of the project runs yet."""
    tree = ast.parse(SOURCE.read_text(encoding="utf-8"), feature_version=(3, 8))
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.Import)]
    names = {alias.name for node in imports for alias in node.names}
    names |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert {name.partition(".")[0] for name in names} <= sys.stdlib_module_names


def test_the_wheel_runs_it_without_an_installation(tmp_path: Path) -> None:
    """`make doctor` puts the wheel in vendor/ on the path of any Python; a problem ends in exit code 1."""
    wheel = tmp_path / "delivery.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for name in ("__init__.py", "doctor.py"):
            archive.write(SOURCE.with_name(name), f"delivery/{name}")
    done = subprocess.run(
        [sys.executable, "-S", "-m", "delivery.doctor", "--json"],
        cwd=tmp_path,  # no project
        env={**os.environ, "PYTHONPATH": str(wheel), "PYTHON": sys.executable},
        capture_output=True,
        text=True,
        check=False,
    )
    content = json.loads(done.stdout)
    assert (done.returncode, content["ok"]) == (1, False), done.stderr
    assert all(set(check) == {"name", "state", "found", "way_out"} for check in content["checks"])
    problems = {check["name"] for check in content["checks"] if check["state"] == doctor.PROBLEM}
    assert problems == {"folder"}


def test_a_program_that_is_missing_is_named(
    machine: Callable[..., doctor.Machine], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    for check in (doctor.check_make, doctor.check_git, doctor.check_python, doctor.check_installer):
        result = check(machine())
        assert result.state == doctor.PROBLEM
        assert result.way_out
    assert doctor.check_compiler(machine()).state == doctor.WARNING


def test_a_python_without_the_filter_of_archives_is_named(
    machine: Callable[..., doctor.Machine], tmp_path: Path
) -> None:
    """Python 3.11.0 to 3.11.3 have no tarfile.data_filter."""
    python = tmp_path / "python"
    answer = {"version": [3, 11, 2], "executable": "/old", "venv": True, "filter": False}
    python.write_text(f"#!/bin/sh\necho '{json.dumps(answer)}'\n")
    python.chmod(0o700)
    result = doctor.check_python(machine(PYTHON=str(python)))
    assert result.state == doctor.WARNING
    assert "3.11.2" in result.found


@pytest.mark.parametrize("folder", ["here", "my projects/here"])
def test_a_moved_environment_is_found(
    machine: Callable[..., doctor.Machine], tmp_path: Path, folder: str
) -> None:
    chosen = machine(VENV=str(tmp_path / folder))
    made_at(chosen.venv, tmp_path / "before")
    moved = doctor.check_environment(chosen)
    assert moved.state == doctor.WARNING
    assert str(tmp_path / "before") in moved.found
    assert moved.way_out.endswith("/here && make setup") or moved.way_out.endswith("/here' && make setup")
    (chosen.venv / "sdk").mkdir()  # the way out deletes it, too
    assert " && make setup && make setup-sdk, " in doctor.check_environment(chosen).way_out
    shutil.rmtree(chosen.venv)
    made_at(chosen.venv, chosen.venv)
    assert doctor.check_environment(chosen).state == doctor.OK
    broken = machine(VENV=str(tmp_path / "broken"))
    broken.venv.mkdir()
    assert doctor.check_environment(broken).state == doctor.PROBLEM


def test_folders_that_cannot_be_written_are_problems(
    machine: Callable[..., doctor.Machine], tmp_path: Path
) -> None:
    missing = str(tmp_path / "missing")
    assert doctor.check_temporary_folder(machine(TMPDIR=missing)).state == doctor.PROBLEM
    assert doctor.check_home(machine(HOME=missing)).state != doctor.OK
    assert doctor.check_folder(machine()).state == doctor.OK
    assert list(tmp_path.iterdir()) == [tmp_path / "project.toml"]


def test_a_loopback_without_ports_is_a_problem(
    machine: Callable[..., doctor.Machine], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    assert doctor.check_ports(machine()).state == doctor.OK
    monkeypatch.setattr(socket.socket, "bind", refuse)
    assert doctor.check_ports(machine()).state == doctor.PROBLEM


def test_variables_that_lead_elsewhere_are_named(
    machine: Callable[..., doctor.Machine], tmp_path: Path
) -> None:
    url = "http://127.0.0.1:1"
    result = doctor.check_endpoint(machine(AWS_ENDPOINT_URL=url))
    assert result.state == doctor.WARNING
    assert url in result.found
    own = machine(AWS_ENDPOINT_URL=url, LOCAL_CLOUD_STATE=str(tmp_path / ".local"), NO_PROXY="127.0.0.1")
    assert doctor.check_endpoint(own).state == doctor.OK


def test_a_check_that_fails_leaves_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def check_system(machine: doctor.Machine) -> doctor.Check:
        raise OSError(f"no system at {machine.root}")

    monkeypatch.setattr(doctor, "CHECKS", (check_system, doctor.check_clock))
    first, second = doctor.examine(tmp_path)
    assert (first.name, first.state, second.state) == ("system", doctor.PROBLEM, doctor.OK)
