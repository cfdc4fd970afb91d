"""The context that an action gets when it runs, and the record of its execution."""

from __future__ import annotations

import threading
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from localcloud.core import kept
from localcloud.core.clock import now
from localcloud.services.codepipeline.errors import AbandonedError

if TYPE_CHECKING:
    from collections.abc import Callable

    from localcloud.core.context import CloudContext
    from localcloud.core.service import Json
    from localcloud.services.codebuild.projects import Projects
    from localcloud.services.codepipeline.artifacts import Artifacts
    from localcloud.services.codepipeline.declaration import Action, Declaration

POLL_SECONDS = 0.15
# The attributes of an action's execution that outlive the cloud.
KEPT = (
    "stage",
    "action_name",
    "execution_id",
    "version",
    "id",
    "started",
    "changed",
    "status",
    "summary",
    "updated_by",
    "external_id",
    "external_url",
    "error",
    "revision",
    "configuration",
    "inputs",
    "outputs",
    "variables",
)


@dataclass
class Approval:
    """An approval that waits for its answer."""

    token: str = field(default_factory=lambda: str(uuid.uuid4()))
    answered: threading.Event = field(default_factory=threading.Event)
    approved: bool = False


@dataclass
class ActionExecution:
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

    def saved(self) -> Json:
        """Return what of the execution outlives the cloud."""
        return {**kept.attributes(self, KEPT), "error": list(self.error) if self.error else None}

    @classmethod
    def restored(cls, declaration: Declaration, saved: Json) -> ActionExecution:
        """Return the execution that `saved` described; if it ran, it was abandoned."""
        action = declaration.action(saved["stage"], saved["action_name"])
        members = {name: saved[name] for name in KEPT if name != "action_name"}
        run = cls(action=action, **{**members, "error": tuple(saved["error"]) if saved["error"] else None})
        if run.status == "InProgress":
            run.status, run.summary = "Abandoned", kept.STOPPED
        return run

    @property
    def action_name(self) -> str:
        """The name of the action in its stage."""
        return self.action.name

    def end(self, status: str) -> None:
        """Record the end with its status."""
        self.status, self.changed = status, now()


@dataclass(frozen=True)
class Tools:
    """The cloud, clients of its services, and CodeBuild, for every action."""

    cloud: CloudContext
    connect: Callable[[str], Any]
    builds: Projects


@dataclass(frozen=True)
class ActionContext:
    """An action with its resolved configuration and its artifacts; `abandoned` is set when it has to end."""

    pipeline: str
    run: ActionExecution
    configuration: dict[str, str]
    artifacts: Artifacts
    revisions: dict[str, str]
    abandoned: threading.Event
    tools: Tools

    @property
    def action(self) -> Action:
        """The action as it is declared."""
        return self.run.action

    def client(self, service: str) -> Any:
        """Return a client of a service of this cloud."""
        return self.tools.connect(service)

    def wait(self, is_over: Callable[[], bool]) -> None:
        """Wait until `is_over` returns True.

        Raises:
            AbandonedError: the execution was abandoned.
        """

        def look() -> bool:
            if self.abandoned.is_set():
                raise AbandonedError
            return is_over()

        self.tools.cloud.activities.poll(look, POLL_SECONDS)
