"""One local cloud for all tests of the scripts, each of which has a project's name of its own."""

from __future__ import annotations

import itertools
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import localcloud
import pytest
from delivery import deploy, stacks, teardown, view
from delivery.cloud import Account, Project
from typer.testing import CliRunner

from pipeline.reader import read_settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import typer

    Command = Callable[..., Any]

ROOT = Path(__file__).resolve().parents[2]
NUMBERS = itertools.count(1)


@pytest.fixture(scope="session")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[localcloud.Cloud]:
    """Start a cloud for a project that has nothing but its names."""
    project = localcloud.Project(tmp_path_factory.mktemp("project"), "p", "eu-central-1")
    yield localcloud.start(project)
    localcloud.stop(project)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stacks, "POLL_SECONDS", 0.02)
    monkeypatch.setattr(view.console, "width", view.WIDE)  # COLUMNS may be set where tests run


@pytest.fixture
def project(cloud: localcloud.Cloud) -> Project:
    """Name a project that nothing is there of."""
    return Project(f"house-{next(NUMBERS)}", cloud.region, ROOT)


@pytest.fixture(scope="session")
def account(cloud: localcloud.Cloud) -> Iterator[Account]:
    """Sign in as a user does, by the environment; once, since making clients takes a while."""
    with pytest.MonkeyPatch.context() as environment:
        for name, value in cloud.environment.items():
            environment.setenv(name, value)
        yield Account(cloud.region)


class Commands:
    """The commands, on the project whose folder was entered last."""

    def __init__(self, folder: Path, settings_of: Callable[..., str]) -> None:
        """Take the folder of the projects' settings."""
        self._folder, self._settings_of = folder, settings_of
        self._entered = folder

    def enter(self, project: Project) -> None:
        """Write the settings of a project."""
        self._entered = self._folder / project.name
        self._entered.mkdir(exist_ok=True)
        settings = self._settings_of(project.name, project.region)
        (self._entered / "project.toml").write_text(settings, encoding="utf-8")

    def invoke(self, app: typer.Typer, *arguments: str, **more: Any) -> Any:
        """Run a command with the settings of that project, and the templates of this one."""
        return CliRunner().invoke(app, arguments, obj=self._open, **more)

    def _open(self) -> Project:
        return replace(Project.read(self._entered, read_settings), root=ROOT)


@pytest.fixture
def commands(
    account: Account,
    project: Project,
    settings_of: Callable[..., str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Commands:
    """Let the commands work on the project, or on another one, as if they were run in its folder."""
    for module in (deploy, teardown):
        monkeypatch.setattr(module, "Account", lambda region: account if region == project.region else None)
    commands = Commands(tmp_path, settings_of)
    commands.enter(project)
    return commands


@pytest.fixture
def deploying(commands: Commands) -> Command:
    """Give `scripts/deploy`."""
    return partial(commands.invoke, deploy.app)


@pytest.fixture
def tearing_down(commands: Commands) -> Command:
    """Give `scripts/teardown`."""
    return partial(commands.invoke, teardown.app)
