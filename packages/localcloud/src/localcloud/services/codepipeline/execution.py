"""One execution of a pipeline: a thread that runs one stage after another."""

from __future__ import annotations

import logging
import threading
import uuid
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Protocol

from botocore.exceptions import ClientError

from localcloud.core import kept, ministack
from localcloud.core.archives import ArchiveError
from localcloud.core.branches import BranchThread
from localcloud.core.clock import now
from localcloud.services.codepipeline.action_context import ActionContext, ActionExecution, Tools
from localcloud.services.codepipeline.actions import PROVIDERS
from localcloud.services.codepipeline.artifacts import Artifacts
from localcloud.services.codepipeline.declaration import parse
from localcloud.services.codepipeline.errors import AbandonedError, ActionError
from localcloud.services.codepipeline.events import ExecutionEvents
from localcloud.services.codepipeline.expressions import resolve

if TYPE_CHECKING:
    from collections.abc import Mapping

    from localcloud.core.activity import Activity
    from localcloud.core.service import Json
    from localcloud.services.codepipeline.declaration import Action, Declaration, Stage
    from localcloud.services.codepipeline.stage_transitions import StageTransition

logger = logging.getLogger(__name__)
# The attributes of an execution that outlive the cloud as they are.
KEPT = ("id", "started", "changed", "status", "summary", "superseded")


class History(Protocol):
    """The pipeline's record of the latest execution of each stage and action."""

    def stage_changed(self, execution: Execution, stage: Stage, status: str) -> None:
        """Record a new status of a stage."""

    def action_began(self, run: ActionExecution) -> None:
        """Record an action's latest execution."""


@dataclass(frozen=True)
class ExecutionStart:
    """The variables, the trigger and the source revisions that an execution starts with."""

    variables: dict[str, str]
    trigger: str
    detail: str
    revisions: dict[str, dict[str, str]] = field(default_factory=dict)  # by action, then by type


class Execution:
    """An execution, from its start to its end."""

    def __init__(
        self,
        declaration: Declaration,
        version: int,
        start: ExecutionStart,
        transitions: Mapping[str, StageTransition],
        tools: Tools,
    ) -> None:
        """Keep the pipeline as it is now; `begin` starts the execution."""
        self.id = str(uuid.uuid4())
        self.declaration, self.version, self.start, self.tools = declaration, version, start, tools
        region = tools.cloud.region
        self.started = self.changed = now()
        self.status = "InProgress"
        self.summary = ""
        self.superseded = False
        self.abandoned = threading.Event()
        self.finished = threading.Event()
        self.runs: list[ActionExecution] = []
        self._transitions = transitions
        self._stopping: str | None = None
        self._artifacts = Artifacts(declaration, region, tools.connect)
        arn = tools.cloud.arn("codepipeline", declaration.name)
        self._events = ExecutionEvents(declaration.name, arn, version, self.id, region)
        self._namespaces: dict[str, dict[str, str]] = {
            "codepipeline": {"PipelineExecutionId": self.id},
            "variables": start.variables,
        }

    def saved(self) -> Json:
        """Return what of the execution outlives the cloud."""
        return {
            **kept.attributes(self, KEPT),
            "declaration": self.declaration.raw,
            "version": self.version,
            "start": asdict(self.start),
            "runs": [run.saved() for run in list(self.runs)],
            "stop_reason": self._stopping,
        }

    @classmethod
    def restored(cls, saved: Json, tools: Tools) -> Execution:
        """Return the execution that `saved` described; if it ran, the end of the cloud has stopped it."""
        start = ExecutionStart(**saved["start"])
        execution = cls(parse(saved["declaration"]), saved["version"], start, {}, tools)
        execution.restore(saved)
        return execution

    def restore(self, saved: Json) -> None:
        """Take what `saved` returned in an earlier cloud."""
        kept.restore(self, KEPT, saved)
        self.runs = [ActionExecution.restored(self.declaration, each) for each in saved["runs"]]
        self._stopping = saved["stop_reason"]
        if self.status in ("InProgress", "Stopping"):
            self.status, self.summary, self._stopping = "Stopped", kept.STOPPED, kept.STOPPED
        self.finished.set()

    @property
    def stopping(self) -> bool:
        """Whether the execution was asked to stop."""
        return self._stopping is not None

    @property
    def stop_reason(self) -> str:
        """The reason of the request to stop; empty without one."""
        return self._stopping or ""

    def begin(self, history: History) -> None:
        """Start the execution in a thread of its own."""
        self._events.pipeline("STARTED")
        activity = self.tools.cloud.activities.begin()
        act = ministack.in_context(lambda: self._run(history, activity))
        threading.Thread(target=act, name=f"{self.declaration.name} {self.id}", daemon=True).start()

    def stop(self, reason: str, *, abandon: bool) -> None:
        """End after the actions that run now, or, with `abandon`, at once and without waiting for them."""
        self._stopping, self.status, self.changed = reason, "Stopping", now()
        self._events.pipeline("STOPPING")
        if abandon:
            self.abandoned.set()
        for transition in self._transitions.values():
            transition.wake()

    def revisions(self) -> list[ActionExecution]:
        """Return the executions of source actions that found a revision."""
        return [run for run in self.runs if run.revision]

    def _run(self, history: History, begun: Activity) -> None:
        with ministack.scope(self.tools.cloud.region), self.tools.cloud.activities.active():
            begun.end()
            self.tools.cloud.pool.fill()
            try:
                status = self._stages(history)
            except Exception:
                logger.exception("execution %s of %s failed", self.id, self.declaration.name)
                status = "Failed"
            self.status, self.changed = status, now()
            self._events.pipeline(status.upper())
            self.finished.set()

    def _stages(self, history: History) -> str:
        activities = self.tools.cloud.activities
        for stage in self.declaration.stages:
            transition = self._transitions[stage.name]
            with activities.idle():
                entered = transition.enter(self)
            if not entered:
                return "Superseded" if self.superseded else "Stopped"
            try:
                status = self._stage(stage, history)
            finally:
                transition.leave(self)
            if status != "Succeeded":
                return status
        return "Succeeded"

    def _stage(self, stage: Stage, history: History) -> str:
        self._record_stage(stage, history, "InProgress", "STARTED")
        status = "Succeeded"
        for group in stage.groups():
            if self.stopping:
                status = "Stopped"
                break
            if not self._group(stage, group, history):
                status = "Stopped" if self.abandoned.is_set() else "Failed"
                break
        self._record_stage(stage, history, status, status.upper())
        return status

    def _record_stage(self, stage: Stage, history: History, status: str, event: str) -> None:
        self.changed = now()
        history.stage_changed(self, stage, status)
        self._events.stage(stage.name, event)

    def _group(self, stage: Stage, group: list[Action], history: History) -> bool:
        """Run actions in parallel to their ends, and return whether all succeeded."""
        runs = [ActionExecution(stage.name, action, self.id, self.version) for action in group]
        for run in runs:
            self.runs.append(run)
            history.action_began(run)
        # The first action runs in this thread, so that a single one needs no thread of its own.
        activities = self.tools.cloud.activities
        others = [
            BranchThread(activities, target=ministack.in_context(partial(self._run_action, run)), daemon=True)
            for run in runs[1:]
        ]
        for thread in others:
            thread.start()
        self._run_action(runs[0])
        for thread in others:
            thread.join()
        return all(run.status == "Succeeded" for run in runs)

    def _run_action(self, run: ActionExecution) -> None:
        self._events.action(run, "STARTED")
        try:
            with ministack.scope(self.tools.cloud.region), self.tools.cloud.activities.active():
                self._perform(run)
        except AbandonedError:
            run.end("Abandoned")
        except (ActionError, ArchiveError, ClientError) as error:
            code = error.code if isinstance(error, ActionError) else "ConfigurationError"
            run.error = (code, str(error))
            run.end("Failed")
        except Exception as error:
            logger.exception("action %s failed", run.action.name)
            run.error = ("InternalError", f"{type(error).__name__}: {error}")
            run.end("Failed")
        self._events.action(run, run.status.upper())

    def _perform(self, run: ActionExecution) -> None:
        action = run.action
        run.configuration = {
            key: resolve(value, self._namespaces) for key, value in action.configuration.items()
        }
        run.inputs = self._artifacts.locations(action.inputs)
        revisions = self.start.revisions.get(action.name, {})
        context = ActionContext(
            self.declaration.name,
            run,
            run.configuration,
            self._artifacts,
            revisions,
            self.abandoned,
            self.tools,
        )
        run.variables = PROVIDERS[action.provider](context)
        run.outputs = self._artifacts.locations(action.outputs)
        if action.namespace:
            self._namespaces[action.namespace] = run.variables
        run.end("Succeeded")

    def describe(self) -> Json:
        """Return the answer of GetPipelineExecution."""
        description: Json = {
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
        return description | ({"statusSummary": self.summary} if self.summary else {})

    def summarize(self) -> Json:
        """Return the execution's summary in the answer of ListPipelineExecutions."""
        summary: Json = {
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
        return summary | ({"stopTrigger": {"reason": self.stop_reason}} if self.stopping else {})
