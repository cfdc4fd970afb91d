"""What the template tells the function."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class Settings:
    """The function's environment; the hash is there so that every deployment publishes a version."""

    endpoint_name: str
    execution_id: str
    deployment_hash: str
    metric_namespace: str

    @classmethod
    def read(cls, environment: Mapping[str, str]) -> Settings:
        """Read the environment; a variable that is not set raises KeyError."""
        return cls(
            endpoint_name=environment["ENDPOINT_NAME"],
            execution_id=environment["EXECUTION_ID"],
            deployment_hash=environment["DEPLOYMENT_HASH"],
            metric_namespace=environment["METRIC_NAMESPACE"],
        )
