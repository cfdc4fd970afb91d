"""The data of a deployment: the alias that it moves, its hooks, and its failure."""

from __future__ import annotations

import threading
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from localcloud.core.service import Json


class DeploymentError(Exception):
    """A deployment was stopped or has failed; the code is one of CodeDeploy's."""

    def __init__(self, code: str, message: str, status: str = "Failed") -> None:
        """Keep the code and the message for GetDeployment, and the deployment's final status."""
        super().__init__(message)
        self.code, self.message, self.status = code, message, status


@dataclass(frozen=True)
class AliasUpdate:
    """An alias of a function, its current version and its target version."""

    function: str
    alias: str
    current_version: str
    target_version: str


@dataclass
class Hook:
    """A function that has to report whether the deployment may continue."""

    identifier: str = field(default_factory=lambda: str(uuid.uuid4()))
    status: str = ""
    reported: threading.Event = field(default_factory=threading.Event)


class DeploymentState(Protocol):
    """The state of a deployment that its notifications contain; times are epoch seconds."""

    identifier: str
    group: Json
    created: float
    completed: float | None
    error: DeploymentError | None
    rollback: Json
