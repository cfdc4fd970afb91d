"""Settings of a project and arguments of a run, for the tests of the package."""

import copy
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline.checks import check_consistency
from pipeline.errors import SettingsError
from pipeline.parameters import render
from pipeline.reader import read_section, read_settings
from pipeline.run import Run, option_name
from pipeline.settings import Settings
from tests.pipeline.aws import Aws, serve

EXECUTION_ID = "0f0cbb6e-3b0e-4a7e-9d3a-6a2f8f2f5a10"
LONGEST_PROJECT = "p" * 16
RUN = Run(
    commit="3f2a91c",
    data_version="version-1",
    execution_id=EXECUTION_ID,
    image_uri="000000000000.dkr.ecr.eu-central-1.amazonaws.com/house-prices:3f2a91c",
    artifact_bucket="the-bucket",
    kms_key_arn="arn:aws:kms:eu-central-1:000000000000:key/1",
    sagemaker_role_arn="arn:aws:iam::000000000000:role/sagemaker",
    notification_topic_arn="arn:aws:sns:eu-central-1:000000000000:topic",
)
JOB = {"instance_type": "ml.m5.xlarge", "volume_gb": 30, "max_runtime_seconds": 3600}
COMPLETE: dict[str, Any] = {
    "project": {"name": "house", "title": "House", "description": "", "region": "eu-central-1"},
    "data": {
        "prefix": "raw/",
        "target": "price",
        "seed": 1,
        "test_fraction": 0.2,
        "validation_fraction": 0.15,
    },
    "model": {"name": "gradient_boosting", "hyperparameters": {}},
    "gate": {"metric": "auto", "comparison": "auto", "threshold": "naive"},
    "experiments": {"mlflow_tracking_uri": ""},
    "stages": {
        **dict.fromkeys(("prepare", "baseline", "evaluate", "monitor"), JOB),
        "train": {**JOB, "spot": False, "max_wait_seconds": 3600},
        "dev": {"instance_type": "ml.m5.large", "instance_count": 1},
        "prd": {"instance_type": "ml.m5.large", "instance_count": 1},
    },
    "monitor": {"window_seconds": 3600, "features": ["a b"]},
    "governor": {"quiet_seconds": 300},
}


@pytest.fixture
def table() -> dict[str, Any]:
    """Return correct settings, for a test to change one of them."""
    return copy.deepcopy(COMPLETE)


def refusal(table: dict[str, Any]) -> str:
    """Return the message that refuses the settings."""
    with pytest.raises(SettingsError) as raised:
        check_consistency(read_section(Settings, table, ""))
    return str(raised.value)


@pytest.fixture
def project_file(settings_of: Callable[..., str], tmp_path: Path) -> Path:
    """Copy project.toml with the longest name."""
    path = tmp_path / "project.toml"
    path.write_text(settings_of(LONGEST_PROJECT, "eu-central-1"), encoding="utf-8")
    return path


@pytest.fixture
def rendered(project_file: Path) -> dict[str, Any]:
    """Return the content of each rendered file, by its name."""
    return render(read_settings(project_file), RUN)


@pytest.fixture
def arguments(project_file: Path, tmp_path: Path) -> list[str]:
    """Return the command's arguments; the files go to the folder `build` beside project.toml."""
    given = [text for name, value in vars(RUN).items() for text in (option_name(name), value)]
    return [*given, "--project-file", str(project_file), "--output-dir", str(tmp_path / "build")]


@pytest.fixture
def aws() -> Iterator[Aws]:
    """Stand in for S3 and CodePipeline."""
    yield from serve(Aws())
