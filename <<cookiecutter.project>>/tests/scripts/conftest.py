"""One local cloud for all tests of the scripts, each of which has a project's name of its own."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import localcloud
import pytest
from typer.testing import CliRunner

from scripts.delivery import deploy, stacks, teardown
from scripts.delivery.cloud import Account, Project

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Command = Callable[..., Any]

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


@pytest.fixture
def project(cloud: localcloud.Cloud) -> Project:
    """Name a project that nothing is there of."""
    return Project(f"house-{next(NUMBERS)}", cloud.region)


@pytest.fixture(scope="session")
def account(cloud: localcloud.Cloud) -> Iterator[Account]:
    """Sign in as a user does, by the environment; once, since making clients takes a while."""
    with pytest.MonkeyPatch.context() as environment:
        for name, value in cloud.environment.items():
            environment.setenv(name, value)
        yield Account(cloud.region)


@pytest.fixture
def commands(
    account: Account,
    project: Project,
    settings_of: Callable[..., str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[[Project], None]:
    """Let the commands work on the project, or on another one, as if they were run in its folder."""
    for module in (deploy, teardown):
        monkeypatch.setattr(module, "Account", lambda region: account if region == project.region else None)

    def enter(entered: Project) -> None:
        home = tmp_path / entered.name
        home.mkdir(exist_ok=True)
        settings = settings_of(entered.name, entered.region)
        (home / "project.toml").write_text(settings, encoding="utf-8")
        monkeypatch.setattr(deploy, "ROOT", home)
        monkeypatch.setattr(teardown, "ROOT", home)

    enter(project)
    return enter


@pytest.fixture
def deploying(commands: Callable[[Project], None]) -> Command:  # noqa: ARG001 - enters the project's folder
    """Give `scripts/deploy`."""
    return lambda *arguments, **more: CliRunner().invoke(deploy.app, arguments, **more)


@pytest.fixture
def tearing_down(commands: Callable[[Project], None]) -> Command:  # noqa: ARG001 - enters the project's folder
    """Give `scripts/teardown`."""
    return lambda *arguments, **more: CliRunner().invoke(teardown.app, arguments, **more)
