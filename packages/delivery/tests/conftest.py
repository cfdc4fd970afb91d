"""One local cloud for all tests, each with a project's name of its own, and the build's stand-in for AWS."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import localcloud
import pytest

from aws import Aws, serve
from delivery import stacks
from delivery.cloud import Project

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NUMBERS = itertools.count(1)
PIPELINE = """
Resources:
  ApiLogs:
    Type: AWS::Logs::LogGroup
    Properties: {LogGroupName: !Sub "/aws/lambda/${Project}-api"}
"""


@pytest.fixture(scope="session")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[localcloud.Cloud]:
    """Start a cloud for a project that has nothing but its names."""
    project = localcloud.Project(tmp_path_factory.mktemp("project"), "p", "eu-central-1")
    yield localcloud.start(project)
    localcloud.stop(project)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stacks, "POLL_SECONDS", 0.02)


@pytest.fixture(scope="session")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write the folder of a project, whose templates name one log group."""
    folder = tmp_path_factory.mktemp("root")
    for name in ("pipeline", "stacks"):
        (folder / name).mkdir()
    (folder / "pipeline" / "pipeline.yml").write_text(PIPELINE, encoding="utf-8")
    return folder


@pytest.fixture
def project(cloud: localcloud.Cloud, root: Path) -> Project:
    """Name a project that nothing is there of."""
    return Project(f"house-{next(NUMBERS)}", cloud.region, root)


@pytest.fixture
def aws() -> Iterator[Aws]:
    """Stand in for S3 and CodePipeline."""
    yield from serve(Aws())
