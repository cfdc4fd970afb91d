"""The /opt/ml tree is read as SageMaker writes it."""

import json
from pathlib import Path

import pytest

from container.runtime.errors import UserError
from container.runtime.paths import ContainerPaths, ResourceConfig


def write(path: Path, content: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


def test_the_base_moves(monkeypatch: pytest.MonkeyPatch) -> None:
    """Protects local runs, and /opt/ml everywhere else."""
    monkeypatch.delenv("SAGEMAKER_BASE_DIR", raising=False)
    assert ContainerPaths.current().failure == Path("/opt/ml/output/failure")
    monkeypatch.setenv("SAGEMAKER_BASE_DIR", "/tmp/job")  # noqa: S108 - a name, never written to
    assert ContainerPaths.current().model == Path("/tmp/job/model")  # noqa: S108 - a path of the test alone


def test_hyperparameters_are_texts_without_sagemakers_own(tmp_path: Path) -> None:
    """Protects training in a tuning job, which adds its objective."""
    given = {"a": "1", "_tuning_objective_metric": "rmse", "sagemaker_region": "x"}
    write(tmp_path / "input/config/hyperparameters.json", given)
    assert ContainerPaths(tmp_path).hyperparameters() == {"a": "1"}
    assert ContainerPaths(tmp_path / "elsewhere").hyperparameters() == {}


@pytest.mark.parametrize("name", ["input/config/resourceconfig.json", "config/resourceconfig.json"])
def test_hosts_are_found_in_both_kinds_of_job(tmp_path: Path, name: str) -> None:
    """Protects jobs with several machines."""
    assert ContainerPaths(tmp_path).resources() == ResourceConfig()
    write(tmp_path / name, {"current_host": "algo-2", "hosts": ["algo-1", "algo-2"]})
    assert ContainerPaths(tmp_path).resources() == ResourceConfig("algo-2", ("algo-1", "algo-2"))
    assert not ContainerPaths(tmp_path).resources().is_single_host
    given = {"current_host": "algo-2", "hosts": ["algo-1", "algo-2"], "network_interface_name": "lo"}
    write(tmp_path / name, given)
    assert ContainerPaths(tmp_path).resources().is_single_host


def test_what_is_missing_or_damaged_is_named(tmp_path: Path) -> None:
    """Protects the user from a traceback about a file that a job's definition left out."""
    with pytest.raises(UserError, match="channel 'train' is missing"):
        ContainerPaths(tmp_path).channel("train")
    write(tmp_path / "input/config/inputdataconfig.json", ["train"])
    with pytest.raises(UserError, match=r"inputdataconfig\.json must hold a JSON object"):
        ContainerPaths(tmp_path).input_data_config()
