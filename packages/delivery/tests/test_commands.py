"""The commands of `python -m local` as a person's shell and programs see them, without a project."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from types import SimpleNamespace
from typing import TYPE_CHECKING

import localcloud
import pytest
import typer
from typer._completion_classes import BashComplete
from typer.main import get_command
from typer.testing import CliRunner

from delivery import view
from delivery.commands import application, completion, project
from delivery.commands.project import Opener

if TYPE_CHECKING:
    from pathlib import Path

# A command that ends its jobs at an interrupt, at a terminal of its own where it has one.
PROGRAM = """
import fcntl, os, signal, sys, termios, time
from pathlib import Path
import typer
from delivery.commands import application
from delivery.view import errors

if os.isatty(0):
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
app = typer.Typer()

@app.command()
def wait() -> None:
    try:
        os.write(1, b"ready")
        while True:
            time.sleep(0.01)
    except KeyboardInterrupt:
        signal.raise_signal(signal.SIGHUP)  # a shell that ends sends it again
        errors.print("the jobs are stopped")
        Path("stopped").touch()
        raise

application.run(app, lambda: None, lambda _: None)
"""
WITH_JSON = {"deploy", "doctor", "infer", "jobs", "logs", "status", "train"}


def test_a_command_in_a_message_can_be_pasted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The `python` of a shell may be another one, which has no such command."""
    python = tmp_path / ".venv" / "bin" / "python"
    message = "No local cloud is running here; 'python -m local up' starts it."
    monkeypatch.setattr(sys, "executable", str(python))
    monkeypatch.setattr(shutil, "which", lambda _: "/usr/bin/python")
    monkeypatch.chdir(tmp_path)
    assert view.as_typed(message) == message.replace("python", ".venv/bin/python")
    assert view.as_typed(view.as_typed(message)) == view.as_typed(message)
    assert view.as_typed("python -m local.x") == "python -m local.x"
    monkeypatch.setattr(sys, "executable", str(tmp_path / "a b" / "python"))
    shown = view.as_typed("echo 'python -m local' is typed")
    assert shown == "echo 'a\\ b/python -m local' is typed"
    monkeypatch.setattr(sys, "executable", str(python))
    monkeypatch.chdir("/")
    assert f"'{str(python)[1:]} -m local up'" in view.as_typed(message)
    monkeypatch.setattr(shutil, "which", lambda _: str(python))
    assert view.as_typed(message) == message


def application_of_all() -> typer.Typer:
    """Return the application with the commands of this package."""
    app = typer.Typer()
    for group in application.GROUPS:
        group.register(app)
    return app


def commands() -> dict[str, typer.core.TyperCommand]:
    """Return the commands by name."""
    return dict(get_command(application_of_all()).commands)  # type: ignore[attr-defined]


def test_the_option_json_is_the_same_everywhere() -> None:
    """Protects a person from one option with several descriptions."""
    found = {
        name: option.help
        for name, command in commands().items()
        for option in command.params
        if "--json" in option.opts
    }
    assert set(found) == WITH_JSON
    assert set(found.values()) == {"Print JSON, for programs."}


def test_a_closed_terminal_ends_a_command_unless_it_is_under_nohup(tmp_path: Path) -> None:
    """A second SIGHUP, or an error of the lost terminal, would leave the jobs that it has started."""
    folders = [tmp_path / "closed", tmp_path / "nohup"]
    for folder in folders:
        folder.mkdir()
    ours, theirs = os.openpty()
    command, pipe = [sys.executable, "-c", PROGRAM, "wait"], subprocess.PIPE
    closed = subprocess.Popen(
        command, cwd=folders[0], stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True
    )
    nohup = ["sh", "-c", "trap '' HUP; exec \"$@\"", "sh", *command]
    kept = subprocess.Popen(nohup, cwd=folders[1], stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe)
    os.close(theirs)
    assert kept.stdout
    assert (os.read(ours, 5), kept.stdout.read(5)) == (b"ready", b"ready")
    os.close(ours)
    kept.send_signal(signal.SIGHUP)
    assert closed.wait(10) == 128 + signal.SIGHUP
    kept.send_signal(signal.SIGTERM)
    assert kept.communicate(timeout=10) == (b"", b"the jobs are stopped\n")
    assert kept.returncode == 128 + signal.SIGTERM
    assert all((folder / "stopped").exists() for folder in folders)


def test_names_of_models_and_endpoints_are_completed(cloud: localcloud.Cloud, tmp_path: Path) -> None:
    """Protects from private modules, from images' models for tables, and from endpoints that do not run."""
    for name in ("models/_network.py", "models/random_forest.py", "models/rules.py", "models/image/hog.py"):
        path = tmp_path / "container" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    for name in ("endpoints/own/port", "endpoints/other/port", "endpoints/failed/model"):
        path = tmp_path / name
        path.parent.mkdir(parents=True)
        path.touch()
    off = localcloud.Project(tmp_path, "p", "eu-central-1")

    def offered(*words: str, project: localcloud.Project = off, is_image: bool = False) -> list[str]:
        found = SimpleNamespace(root=tmp_path, state=tmp_path, is_image=is_image, cloud=project)
        options = {"obj": Opener(lambda: found, lambda _: None)}  # type: ignore[arg-type, return-value]
        shell = BashComplete(get_command(application_of_all()), options, "p", completion.VARIABLE)
        return [item.value for item in shell.get_completions(list(words[:-1]), words[-1])]

    assert offered("train", "--model-type", "r") == ["random_forest", "rules"]
    assert offered("train", "--model-type", "", is_image=True) == ["hog"]
    assert offered("infer", "--endpoint-name", "o") == []
    assert offered("infer", "--endpoint-name", "o", project=cloud.project) == ["other", "own"]
    assert offered("stop", "", project=cloud.project) == []


@pytest.mark.parametrize(
    ("words", "asked"),
    [
        (("train", ""), ""),
        (("train", "--data", "pro"), completion.FILES),
        (("train", "--target", ""), ""),
        (("infer", "row"), completion.FILES),
        (("infer", "--output", ""), completion.FILES),
        (("infer", "--model-artifact", "m"), completion.FILES),
        (("deploy", "--model-artifact", ""), completion.FILES),
    ],
)
def test_file_names_are_completed_where_a_command_takes_a_file(words: tuple[str, ...], asked: str) -> None:
    """Protects a person from files after `train`, which takes none."""
    shell = BashComplete(get_command(application_of_all()), {}, "python_m_local", completion.VARIABLE)
    found = [item.value for item in shell.get_completions(list(words[:-1]), words[-1])]
    assert found == ([f"{words[-1]}{asked}"] if asked else [])
    script = completion.SCRIPTS[completion.Shell.bash] % {"variable": "ANY", "files": completion.FILES}
    answer = f"env() {{ printf '%s\\n' '{''.join(found)}'; }}; compopt() {{ echo $* ; }}"
    test = f"{script}\n{answer}\nCOMP_WORDS=(python -m local x); COMP_CWORD=3; _python_m_local"
    done = subprocess.run(["bash", "-c", test], capture_output=True, text=True, check=True)
    assert done.stdout == ("" if asked else "+o default\n")


@pytest.mark.parametrize(
    ("name", "shown", "said"),
    [
        ("prepare", "python -m local up", ""),
        ("prepare-2", "two", "'prepare-2' names 2 logs: this is the latest, prepare-2/algo-2; others are"),
        ("prepare-2/algo-1", "one", ""),
        ("repare-2", "late", "'repare-2' names 3 logs: this is the latest, prepare-20/algo-1; others are"),
    ],
)
def test_a_log_is_found_by_its_exact_name_and_others_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, shown: str, said: str
) -> None:
    """Protects from the log of another job, whose name is longer; the log is shown as it was written."""
    monkeypatch.delenv(project.ENDPOINT, raising=False)
    monkeypatch.setattr(shutil, "which", lambda _: None)
    jobs = tmp_path / "logs" / "jobs"
    logs = {"prepare/algo-1": "python -m local up", "prepare-2/algo-1": "one", "prepare-2/algo-2": "two"}
    for seconds, (log, text) in enumerate((logs | {"prepare-20/algo-1": "late"}).items()):
        path = jobs / f"{log}.log"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{text}\n", encoding="utf-8")
        os.utime(path, (seconds, seconds))
    opener = project.Opener(lambda: SimpleNamespace(state=tmp_path), lambda _: None)  # type: ignore[arg-type, return-value]
    done = CliRunner().invoke(application_of_all(), ["logs", name], obj=opener)
    assert (done.exit_code, done.stdout) == (0, f"{shown}\n")
    assert done.stderr.startswith(said)
    assert bool(done.stderr) == bool(said)
