"""What an action is given when it runs, and what is recorded of it."""

from __future__ import annotations

import threading
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from localcloud.core.clock import now
from localcloud.services.codepipeline.errors import AbandonedError

if TYPE_CHECKING:
    from collections.abc import Callable

    from localcloud.core.context import CloudContext
    from localcloud.core.service import Json
    from localcloud.services.codebuild.projects import Projects
    from localcloud.services.codepipeline.artifacts import Artifacts
    from localcloud.services.codepipeline.declaration import Action

LOOK_EVERY = 0.15


@dataclass
class Approval:
    """What an approval waits for."""

    token: str = field(default_factory=lambda: str(uuid.uuid4()))
    answered: threading.Event = field(default_factory=threading.Event)
    approved: bool = False


@dataclass
class ActionRun:
    """One execution of an action."""

    stage: str
    action: Action
    execution_id: str
    version: int
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    started: float = field(default_factory=now)
    changed: float = field(default_factory=now)
    status: str = "InProgress"
    summary: str = ""
    updated_by: str = ""
    external_id: str = ""
    external_url: str = ""
    error: tuple[str, str] | None = None
    revision: str = ""
    approval: Approval | None = None
    configuration: dict[str, str] = field(default_factory=dict)
    inputs: list[Json] = field(default_factory=list)
    outputs: list[Json] = field(default_factory=list)
    variables: dict[str, str] = field(default_factory=dict)

    def ended(self, status: str) -> None:
        """Note the end."""
        self.status, self.changed = status, now()


@dataclass(frozen=True)
class Tools:
    """What every action may use: the machine, clients of the services, CodeBuild."""

    context: CloudContext
    connect: Callable[[str], Any]
    builds: Projects


@dataclass(frozen=True)
class Work:
    """An action with its configuration resolved, its artifacts, and a word when nobody waits any more."""

    pipeline: str
    run: ActionRun
    configuration: dict[str, str]
    artifacts: Artifacts
    revisions: dict[str, str]
    abandoned: threading.Event
    tools: Tools

    @property
    def action(self) -> Action:
        """The action."""
        return self.run.action

    def client(self, service: str) -> Any:
        """Return a client of a service of this cloud."""
        return self.tools.connect(service)

    def wait(self, over: Callable[[], bool]) -> None:
        """Look until it is over; raise AbandonedError when nobody waits any more."""
        while not over():
            if self.abandoned.wait(LOOK_EVERY):
                raise AbandonedError
