"""One execution of a pipeline: a thread that goes from stage to stage."""

from __future__ import annotations

import logging
import threading
import uuid
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Protocol

from botocore.exceptions import ClientError

from localcloud.core import ministack
from localcloud.core.archives import ArchiveError
from localcloud.core.clock import now
from localcloud.services.codepipeline import events
from localcloud.services.codepipeline.action_context import ActionRun, Tools, Work
from localcloud.services.codepipeline.actions import PROVIDERS
from localcloud.services.codepipeline.artifacts import Artifacts
from localcloud.services.codepipeline.errors import AbandonedError, ActionError
from localcloud.services.codepipeline.expressions import resolved

if TYPE_CHECKING:
    from collections.abc import Mapping

    from localcloud.core.service import Json
    from localcloud.services.codepipeline.declaration import Action, Declaration, Stage
    from localcloud.services.codepipeline.stage_transitions import Gate

logger = logging.getLogger(__name__)


class History(Protocol):
    """Where a pipeline keeps what its stages and actions did last."""

    def stage_changed(self, execution: Execution, stage: Stage, status: str) -> None:
        """Note how a stage stands."""

    def action_began(self, run: ActionRun) -> None:
        """Note an action's latest execution."""


@dataclass(frozen=True)
class Start:
    """What an execution is started with."""

    variables: dict[str, str]
    trigger: str
    detail: str
    revisions: dict[str, dict[str, str]] = field(default_factory=dict)  # by action, then by type


class Execution:
    """An execution, from its start to its end."""

    def __init__(
        self, declaration: Declaration, version: int, start: Start, gates: Mapping[str, Gate], tools: Tools
    ) -> None:
        """Take the pipeline as it is now; `begin` starts it."""
        self.id = str(uuid.uuid4())
        self.declaration, self.version, self.start, self.tools = declaration, version, start, tools
        self.arn = tools.context.arn("codepipeline", declaration.name)
        self.started = self.changed = now()
        self.status = "InProgress"
        self.summary = ""
        self.superseded = False
        self.abandoned = threading.Event()
        self.over = threading.Event()
        self.runs: list[ActionRun] = []
        self._gates = gates
        self._stopping: str | None = None
        self._artifacts = Artifacts(declaration, tools.context.region, tools.connect)
        self._namespaces: dict[str, dict[str, str]] = {
            "codepipeline": {"PipelineExecutionId": self.id},
            "variables": start.variables,
        }

    @property
    def stopping(self) -> bool:
        """Whether it was asked to stop."""
        return self._stopping is not None

    @property
    def stop_reason(self) -> str:
        """Why it was asked to stop."""
        return self._stopping or ""

    def begin(self, history: History) -> None:
        """Start in a thread of its own."""
        events.pipeline(self, "STARTED")
        act = ministack.in_context(lambda: self._run(history))
        threading.Thread(target=act, name=f"{self.declaration.name} {self.id}", daemon=True).start()

    def stop(self, reason: str, *, abandon: bool) -> None:
        """End after the actions that run now, or at once, leaving those to themselves."""
        self._stopping, self.status, self.changed = reason, "Stopping", now()
        events.pipeline(self, "STOPPING")
        if abandon:
            self.abandoned.set()
        for gate in self._gates.values():
            gate.look_again()

    def revisions(self) -> list[ActionRun]:
        """Return the sources' executions that found a revision."""
        return [run for run in self.runs if run.revision]

    def _run(self, history: History) -> None:
        with ministack.scope(self.tools.context.region):
            try:
                status = self._stages(history)
            except Exception:
                logger.exception("execution %s of %s failed", self.id, self.declaration.name)
                status = "Failed"
            self.status, self.changed = status, now()
            events.pipeline(self, status.upper())
            self.over.set()

    def _stages(self, history: History) -> str:
        for stage in self.declaration.stages:
            gate = self._gates[stage.name]
            if not gate.enter(self):
                return "Superseded" if self.superseded else "Stopped"
            try:
                status = self._stage(stage, history)
            finally:
                gate.leave(self)
            if status != "Succeeded":
                return status
        return "Succeeded"

    def _stage(self, stage: Stage, history: History) -> str:
        self._stage_is(stage, history, "InProgress", "STARTED")
        status = "Succeeded"
        for group in stage.groups():
            if self.stopping:
                status = "Stopped"
                break
            if not self._group(stage, group, history):
                status = "Stopped" if self.abandoned.is_set() else "Failed"
                break
        self._stage_is(stage, history, status, status.upper())
        return status

    def _stage_is(self, stage: Stage, history: History, status: str, event: str) -> None:
        self.changed = now()
        history.stage_changed(self, stage, status)
        events.stage(self, stage.name, event)

    def _group(self, stage: Stage, group: list[Action], history: History) -> bool:
        """Run actions side by side to their ends, and tell whether all succeeded."""
        runs = [ActionRun(stage.name, action, self.id, self.version) for action in group]
        for run in runs:
            self.runs.append(run)
            history.action_began(run)
        # In threads of their own only where there are several: one needs no other.
        others = [
            threading.Thread(target=ministack.in_context(partial(self._act, run)), daemon=True)
            for run in runs[1:]
        ]
        for thread in others:
            thread.start()
        self._act(runs[0])
        for thread in others:
            thread.join()
        return all(run.status == "Succeeded" for run in runs)

    def _act(self, run: ActionRun) -> None:
        events.action(self, run, "STARTED")
        try:
            with ministack.scope(self.tools.context.region):
                self._perform(run)
        except AbandonedError:
            run.ended("Abandoned")
        except (ActionError, ArchiveError, ClientError) as error:
            code = error.code if isinstance(error, ActionError) else "ConfigurationError"
            run.error = (code, str(error))
            run.ended("Failed")
        except Exception as error:
            logger.exception("action %s failed", run.action.name)
            run.error = ("InternalError", f"{type(error).__name__}: {error}")
            run.ended("Failed")
        events.action(self, run, run.status.upper())

    def _perform(self, run: ActionRun) -> None:
        action = run.action
        run.configuration = {
            key: resolved(value, self._namespaces) for key, value in action.configuration.items()
        }
        run.inputs = self._artifacts.located(action.inputs)
        revisions = self.start.revisions.get(action.name, {})
        work = Work(
            self.declaration.name,
            run,
            run.configuration,
            self._artifacts,
            revisions,
            self.abandoned,
            self.tools,
        )
        run.variables = PROVIDERS[action.provider](work)
        run.outputs = self._artifacts.located(action.outputs)
        if action.namespace:
            self._namespaces[action.namespace] = run.variables
        run.ended("Succeeded")

    def described(self) -> Json:
        """Return what GetPipelineExecution answers."""
        described: Json = {
            "pipelineName": self.declaration.name,
            "pipelineVersion": self.version,
            "pipelineExecutionId": self.id,
            "status": self.status,
            "artifactRevisions": [
                {
                    "name": run.action.outputs[0] if run.action.outputs else run.action.name,
                    "revisionId": run.revision,
                    "revisionSummary": run.summary,
                    "created": run.started,
                }
                for run in self.revisions()
            ],
            "variables": [
                {"name": key, "resolvedValue": value} for key, value in self.start.variables.items()
            ],
            "trigger": {"triggerType": self.start.trigger, "triggerDetail": self.start.detail},
            "executionMode": self.declaration.mode,
            "executionType": "STANDARD",
        }
        return described | ({"statusSummary": self.summary} if self.summary else {})

    def summarised(self) -> Json:
        """Return what ListPipelineExecutions shows of it."""
        shown: Json = {
            "pipelineExecutionId": self.id,
            "status": self.status,
            "startTime": self.started,
            "lastUpdateTime": max([self.changed, *(run.changed for run in self.runs)]),
            "sourceRevisions": [
                {"actionName": run.action.name, "revisionId": run.revision, "revisionSummary": run.summary}
                for run in self.revisions()
            ],
            "trigger": {"triggerType": self.start.trigger, "triggerDetail": self.start.detail},
            "executionMode": self.declaration.mode,
            "executionType": "STANDARD",
        }
        return shown | ({"stopTrigger": {"reason": self.stop_reason}} if self.stopping else {})
