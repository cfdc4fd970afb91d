"""SageMaker's /opt/ml tree: the paths of a job's inputs, settings and outputs."""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from container.runtime.errors import UserError

DEFAULT_BASE = "/opt/ml"
SAGEMAKER_PREFIXES = ("_tuning_", "sagemaker_")  # of hyperparameters that SageMaker adds


@dataclass(frozen=True)
class ResourceConfig:
    """Hold the hosts of a job, one for each instance."""

    current_host: str = "algo-1"
    hosts: tuple[str, ...] = ("algo-1",)
    interface: str = "eth0"

    @property
    def is_single_host(self) -> bool:
        """Return whether the hosts are processes of one machine, whose names cannot be resolved."""
        return self.interface in ("lo", "lo0")


@dataclass(frozen=True)
class ContainerPaths:
    """Name every path of the container contract under one base directory."""

    base: Path

    @classmethod
    def current(cls) -> "ContainerPaths":
        """Return the paths of this process: under /opt/ml, or under SAGEMAKER_BASE_DIR where that is set."""
        return cls(Path(os.environ.get("SAGEMAKER_BASE_DIR", DEFAULT_BASE)))

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

    def rebase(self, path: str) -> Path:
        """Return a path with /opt/ml replaced by the base directory, if it begins with it."""
        original = Path(path)
        if not original.is_relative_to(DEFAULT_BASE):
            return original
        return self.base / original.relative_to(DEFAULT_BASE)

    def channel(self, name: str) -> Path:
        """Return the directory of a training channel.

        Raises:
            UserError: the job has no such channel.
        """
        path = self.base / "input" / "data" / name
        if not path.is_dir():
            raise UserError(f"channel '{name}' is missing: give the training job an input channel '{name}'")
        return path

    def hyperparameters(self) -> dict[str, str]:
        """Read hyperparameters.json, as texts and without the names that SageMaker adds.

        Raises:
            UserError: the file is not a JSON object.
        """
        content = self._config("input/config/hyperparameters.json")
        ours = {name: value for name, value in content.items() if not name.startswith(SAGEMAKER_PREFIXES)}
        return {name: value if isinstance(value, str) else json.dumps(value) for name, value in ours.items()}

    def input_data_config(self) -> dict[str, dict[str, Any]]:
        """Read inputdataconfig.json: the description of each channel by its name.

        Raises:
            UserError: the file is not a JSON object.
        """
        return self._config("input/config/inputdataconfig.json")

    def resources(self) -> ResourceConfig:
        """Read resourceconfig.json, which training and processing jobs keep in different folders.

        Raises:
            UserError: the file is not a JSON object.
        """
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
