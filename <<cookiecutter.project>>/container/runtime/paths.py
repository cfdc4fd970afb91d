"""SageMaker's /opt/ml tree: where a job's inputs, settings and outputs are."""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from container.runtime.errors import UserError

DEFAULT_BASE = "/opt/ml"
SAGEMAKERS_OWN = ("_tuning_", "sagemaker_")


@dataclass(frozen=True)
class ResourceConfig:
    """Hold the hosts of a job; a job on one machine has one host."""

    current_host: str = "algo-1"
    hosts: tuple[str, ...] = ("algo-1",)
    interface: str = "eth0"

    @property
    def one_machine(self) -> bool:
        """Tell whether the hosts are processes of one machine, whose names no one resolves."""
        return self.interface in ("lo", "lo0")


@dataclass(frozen=True)
class Layout:
    """Name every path of the container contract under one base directory."""

    base: Path

    @property
    def model(self) -> Path:
        """Return where a training job leaves its model, and where an endpoint finds it."""
        return self.base / "model"

    @property
    def failure(self) -> Path:
        """Return the file whose first line SageMaker shows as a training job's FailureReason."""
        return self.base / "output" / "failure"

    @property
    def message(self) -> Path:
        """Return the file that SageMaker shows as a processing job's ExitMessage."""
        return self.base / "output" / "message"

    @property
    def metrics(self) -> Path:
        """Return the directory from which SageMaker takes the metrics of a monitoring job."""
        return self.base / "output" / "metrics" / "cloudwatch"

    @property
    def processing_input(self) -> Path:
        """Return the directory under which a processing job's inputs are."""
        return self.base / "processing" / "input"

    @property
    def processing_output(self) -> Path:
        """Return the directory under which a processing job leaves its outputs."""
        return self.base / "processing" / "output"

    @property
    def is_processing(self) -> bool:
        """Tell whether this is a processing job: SageMaker gives it a configuration file of its own."""
        return (self.base / "config" / "processingjobconfig.json").exists()

    def moved(self, path: str) -> Path:
        """Return where a path given for an image is: what is under /opt/ml moves to the base directory."""
        given = Path(path)
        return self.base / given.relative_to(DEFAULT_BASE) if given.is_relative_to(DEFAULT_BASE) else given

    def channel(self, name: str) -> Path:
        """Return the directory of a training channel; refuse a channel that the job does not have."""
        path = self.base / "input" / "data" / name
        if not path.is_dir():
            raise UserError(f"channel '{name}' is missing: give the training job an input channel '{name}'")
        return path

    def hyperparameters(self) -> dict[str, str]:
        """Read hyperparameters.json: every value is a string, and SageMaker adds names of its own."""
        content = self._config("input/config/hyperparameters.json")
        given = {name: value for name, value in content.items() if not name.startswith(SAGEMAKERS_OWN)}
        return {name: value if isinstance(value, str) else json.dumps(value) for name, value in given.items()}

    def input_data_config(self) -> dict[str, dict[str, Any]]:
        """Read inputdataconfig.json: what the job's channels are."""
        return self._config("input/config/inputdataconfig.json")

    def resources(self) -> ResourceConfig:
        """Read resourceconfig.json, which training and processing jobs keep in two different places."""
        content = self._config("input/config/resourceconfig.json") or self._config(
            "config/resourceconfig.json"
        )
        if not content:
            return ResourceConfig()
        interface = str(content.get("network_interface_name", ResourceConfig.interface))
        return ResourceConfig(str(content["current_host"]), tuple(content["hosts"]), interface)

    def _config(self, name: str) -> dict[str, Any]:
        path = self.base / name
        if not path.exists():
            return {}
        try:
            content = json.loads(path.read_bytes())
        except ValueError as error:
            raise UserError(f"{path.name} is not JSON: {error}") from error
        if not isinstance(content, dict):
            raise UserError(f"{path.name} must hold a JSON object")
        return content


def current() -> Layout:
    """Return the layout of this process: /opt/ml, or where SAGEMAKER_BASE_DIR says."""
    return Layout(Path(os.environ.get("SAGEMAKER_BASE_DIR", DEFAULT_BASE)))
