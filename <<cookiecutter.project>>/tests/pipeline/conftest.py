"""What the tests of the rendering share: a project's settings and a run."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline import run_pipeline
from tests.pipeline.aws import Aws, serve

EXECUTION_ID = "0f0cbb6e-3b0e-4a7e-9d3a-6a2f8f2f5a10"
LONGEST_PROJECT = "p" * 16
RUN = run_pipeline.Run(
    commit="3f2a91c",
    data_version="version-1",
    execution_id=EXECUTION_ID,
    image_uri="000000000000.dkr.ecr.eu-central-1.amazonaws.com/house-prices:3f2a91c",
    artifact_bucket="the-bucket",
    kms_key_arn="arn:aws:kms:eu-central-1:000000000000:key/1",
    sagemaker_role_arn="arn:aws:iam::000000000000:role/sagemaker",
    notification_topic_arn="arn:aws:sns:eu-central-1:000000000000:topic",
)


@pytest.fixture
def project_file(settings_of: Callable[..., str], tmp_path: Path) -> Path:
    """Copy project.toml with the longest name."""
    path = tmp_path / "project.toml"
    path.write_text(settings_of(LONGEST_PROJECT, "eu-central-1"), encoding="utf-8")
    return path


@pytest.fixture
def rendered(project_file: Path) -> dict[str, Any]:
    """Give what every stage is given, by file name."""
    return run_pipeline.render(run_pipeline.read_settings(project_file), RUN)


@pytest.fixture
def arguments(project_file: Path, tmp_path: Path) -> list[str]:
    """Give the command's arguments; the files go to the folder `build` beside project.toml."""
    given = [text for name, value in vars(RUN).items() for text in (run_pipeline.option(name), value)]
    return [*given, "--project-file", str(project_file), "--output-dir", str(tmp_path / "build")]


@pytest.fixture
def aws() -> Iterator[Aws]:
    """Stand in for S3 and CodePipeline."""
    yield from serve(Aws())
