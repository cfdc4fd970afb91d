"""Environment variables that the template sets for the function."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class Settings:
    """The function's environment; the hash changes with each deployment, so that a version is published."""

    endpoint_name: str
    execution_id: str
    deployment_hash: str
    metric_namespace: str

    @classmethod
    def read(cls, environment: Mapping[str, str]) -> Settings:
        """Read the environment.

        Raises:
            KeyError: a variable is not set.
        """
        return cls(
            endpoint_name=environment["ENDPOINT_NAME"],
            execution_id=environment["EXECUTION_ID"],
            deployment_hash=environment["DEPLOYMENT_HASH"],
            metric_namespace=environment["METRIC_NAMESPACE"],
        )
