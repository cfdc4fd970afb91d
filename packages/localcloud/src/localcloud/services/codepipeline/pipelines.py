"""Pipelines and the operations on them."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from localcloud.core import account
from localcloud.core.clock import now
from localcloud.core.errors import ServiceError
from localcloud.services.codepipeline import declaration as declarations
from localcloud.services.codepipeline.execution import Execution, Start
from localcloud.services.codepipeline.stage_transitions import Closing, Gate
from localcloud.services.codepipeline.states import action_detail, action_state
from localcloud.services.stepfunctions import executions

if TYPE_CHECKING:
    from localcloud.core.service import Json
    from localcloud.services.codepipeline.action_context import ActionRun, Tools
    from localcloud.services.codepipeline.declaration import Declaration, Stage

RUNNING = ("InProgress", "Stopping")
AT_ONCE_MOST = 50
PAGE = 100
SOMEONE = f"arn:aws:iam::{account.ACCOUNT}:user/local"


class Pipeline:
    """A pipeline, its executions, and what its stages and actions did last."""

    def __init__(self, declaration: Declaration) -> None:
        """Begin with version 1."""
        self.version = 1
        self.created = self.updated = now()
        self.executions: dict[str, Execution] = {}
        self.tokens: dict[str, str] = {}
        self.gates: dict[str, Gate] = {}
        self.stages: dict[str, tuple[str, str]] = {}
        self.actions: dict[tuple[str, str], ActionRun] = {}
        self.take(declaration)

    def take(self, declaration: Declaration) -> None:
        """Take a declaration; what runs goes on as it was declared."""
        former = getattr(self, "declaration", None)
        if former is None or former.mode != declaration.mode:
            self.gates = {}
        self.declaration = declaration
        self.gates = {
            stage.name: self.gates.get(stage.name) or Gate(declaration.mode) for stage in declaration.stages
        }

    def stage_changed(self, execution: Execution, stage: Stage, status: str) -> None:
        """Note how a stage stands."""
        self.stages[stage.name] = (execution.id, status)

    def action_began(self, run: ActionRun) -> None:
        """Note an action's latest execution."""
        self.actions[(run.stage, run.action.name)] = run

    def running(self) -> list[Execution]:
        """Return the executions that have not ended."""
        return [execution for execution in self.executions.values() if not execution.over.is_set()]

    def raw(self) -> Json:
        """Return the declaration as GetPipeline shows it."""
        return {**self.declaration.raw, "version": self.version}

    def stage_state(self, stage: Stage) -> Json:
        """Return what GetPipelineState shows of a stage."""
        state: Json = {
            "stageName": stage.name,
            "inboundTransitionState": transition(self.gates[stage.name].closed),
            "actionStates": [
                action_state(action, self.actions.get((stage.name, action.name))) for action in stage.actions
            ],
        }
        waiting = [one for one in self.gates[stage.name].waiting if isinstance(one, Execution)]
        inbound = [
            {"pipelineExecutionId": one.id, "status": "InProgress", "type": "STANDARD"} for one in waiting
        ]
        if inbound:
            state |= {"inboundExecution": inbound[-1], "inboundExecutions": inbound}
        if stage.name in self.stages:
            own, status = self.stages[stage.name]
            state["latestExecution"] = {"pipelineExecutionId": own, "status": status, "type": "STANDARD"}
        return state


@dataclass
class Pipelines:
    """The pipelines by name."""

    tools: Tools
    pipelines: dict[str, Pipeline] = field(default_factory=dict)
    lock: threading.RLock = field(default_factory=threading.RLock)

    def create(self, raw: Json) -> Pipeline:
        """Create a pipeline, which runs at once."""
        declaration = declarations.parse(raw)
        with self.lock:
            if declaration.name in self.pipelines:
                raise ServiceError(
                    "PipelineNameInUseException",
                    f"A pipeline with the name '{declaration.name}' already exists",
                )
            pipeline = self.pipelines[declaration.name] = Pipeline(declaration)
        self.begin(pipeline, Start(declaration.variables([]), "CreatePipeline", SOMEONE))
        return pipeline

    def update(self, raw: Json) -> Pipeline:
        """Give a pipeline another structure."""
        pipeline = self.find(raw["name"])
        pipeline.take(declarations.parse(raw))
        pipeline.version += 1
        pipeline.updated = now()
        return pipeline

    def delete(self, name: str) -> None:
        """Delete a pipeline; what runs is abandoned."""
        with self.lock:
            pipeline = self.pipelines.pop(name, None)
        for execution in pipeline.running() if pipeline else []:
            execution.stop("The pipeline was deleted.", abandon=True)

    def find(self, name: str) -> Pipeline:
        """Return a pipeline."""
        if name not in self.pipelines:
            raise ServiceError(
                "PipelineNotFoundException",
                f"Account '{account.ACCOUNT}' does not have a pipeline with name '{name}'",
            )
        return self.pipelines[name]

    def begin(self, pipeline: Pipeline, start: Start) -> Execution:
        """Start an execution."""
        if len(pipeline.running()) >= AT_ONCE_MOST and pipeline.declaration.mode != "SUPERSEDED":
            raise ServiceError(
                "ConcurrentPipelineExecutionsLimitExceededException",
                f"Pipeline {pipeline.declaration.name} has {AT_ONCE_MOST} executions in progress",
            )
        execution = Execution(pipeline.declaration, pipeline.version, start, dict(pipeline.gates), self.tools)
        pipeline.executions[execution.id] = execution
        execution.begin(pipeline)
        return execution

    def get(self, request: Json) -> Json:
        """Answer GetPipeline."""
        pipeline = self.find(request["name"])
        arn = self.tools.context.arn("codepipeline", request["name"])
        metadata = {"pipelineArn": arn, "created": pipeline.created, "updated": pipeline.updated}
        return {"pipeline": pipeline.raw(), "metadata": metadata}

    def list(self, request: Json) -> Json:  # noqa: ARG002  # an operation's signature
        """Answer ListPipelines."""
        return {
            "pipelines": [
                {
                    "name": name,
                    "version": one.version,
                    "pipelineType": one.declaration.raw.get("pipelineType", "V1"),
                    "executionMode": one.declaration.mode,
                    "created": one.created,
                    "updated": one.updated,
                }
                for name, one in sorted(self.pipelines.items())
            ]
        }

    def start(self, request: Json) -> Json:
        """Answer StartPipelineExecution."""
        return self.start_for(request, "StartPipelineExecution", executions.caller() or SOMEONE)

    def start_for(self, request: Json, trigger: str, detail: str) -> Json:
        """Start an execution for a caller, once for a token."""
        pipeline = self.find(request["name"])
        token = request.get("clientRequestToken")
        with self.lock:
            if token in pipeline.tokens:
                return {"pipelineExecutionId": pipeline.tokens[token]}
            revisions: dict[str, dict[str, str]] = {}
            for one in request.get("sourceRevisions", []):
                self._check_source(pipeline.declaration, one)
                revisions.setdefault(one["actionName"], {})[one["revisionType"]] = one["revisionValue"]
            variables = pipeline.declaration.variables(request.get("variables", []))
            execution = self.begin(pipeline, Start(variables, trigger, detail, revisions))
            if token:
                pipeline.tokens[token] = execution.id
        return {"pipelineExecutionId": execution.id}

    def state(self, request: Json) -> Json:
        """Answer GetPipelineState."""
        pipeline = self.find(request["name"])
        return {
            "pipelineName": pipeline.declaration.name,
            "pipelineVersion": pipeline.version,
            "stageStates": [pipeline.stage_state(stage) for stage in pipeline.declaration.stages],
            "created": pipeline.created,
            "updated": pipeline.updated,
        }

    def execution(self, request: Json) -> Json:
        """Answer GetPipelineExecution."""
        return {"pipelineExecution": self._execution(request).described()}

    def executions(self, request: Json) -> Json:
        """Answer ListPipelineExecutions, the newest first."""
        found = [
            one.summarised() for one in reversed(list(self.find(request["pipelineName"]).executions.values()))
        ]
        return page(found, request, "pipelineExecutionSummaries")

    def actions(self, request: Json) -> Json:
        """Answer ListActionExecutions, the newest first."""
        pipeline = self.find(request["pipelineName"])
        latest = request.get("filter", {}).get("latestInPipelineExecution", {}).get("pipelineExecutionId")
        wanted = request.get("filter", {}).get("pipelineExecutionId", latest)
        if wanted and wanted not in pipeline.executions:
            raise ServiceError(
                "PipelineExecutionNotFoundException", f"Pipeline execution not found: {wanted}"
            )
        runs = [
            run for one in pipeline.executions.values() if wanted in (None, one.id) for run in list(one.runs)
        ]
        runs.sort(key=lambda run: run.started)
        region = self.tools.context.region
        return page([action_detail(run, region) for run in reversed(runs)], request, "actionExecutionDetails")

    def approve(self, request: Json) -> Json:
        """Answer PutApprovalResult."""
        pipeline = self.find(request["pipelineName"])
        stage, action = request["stageName"], request["actionName"]
        pipeline.declaration.action(stage, action)
        run = pipeline.actions.get((stage, action))
        if run is None or run.approval is None or run.approval.token != request["token"]:
            raise ServiceError(
                "InvalidApprovalTokenException", "The token is not that of the approval that waits"
            )
        with self.lock:
            if run.status != "InProgress" or run.approval.answered.is_set():
                raise ServiceError("ApprovalAlreadyCompletedException", "The approval was answered already")
            run.summary, run.updated_by = request["result"]["summary"], SOMEONE
            run.approval.approved = request["result"]["status"] == "Approved"
            run.approval.answered.set()
        return {"approvedAt": now()}

    def close_stage(self, request: Json) -> Json:
        """Answer DisableStageTransition."""
        self._inbound(request).close(Closing(request["reason"], SOMEONE, now()))
        return {}

    def open_stage(self, request: Json) -> Json:
        """Answer EnableStageTransition."""
        self._inbound(request).open()
        return {}

    def stop(self, request: Json) -> Json:
        """Answer StopPipelineExecution."""
        execution = self._execution(request)
        abandon = request.get("abandon", False)
        if execution.over.is_set():
            raise ServiceError(
                "PipelineExecutionNotStoppableException",
                f"The pipeline execution {execution.id} is in status {execution.status} and can't be stopped",
            )
        if execution.stopping and not (abandon and not execution.abandoned.is_set()):
            raise ServiceError("DuplicatedStopRequestException", f"{execution.id} is stopping already")
        execution.stop(request.get("reason", ""), abandon=abandon)
        return {"pipelineExecutionId": execution.id}

    def close(self) -> None:
        """Abandon what runs."""
        for pipeline in list(self.pipelines.values()):
            for execution in pipeline.running():
                execution.abandoned.set()

    def _execution(self, request: Json) -> Execution:
        found = self.find(request["pipelineName"]).executions.get(request["pipelineExecutionId"])
        if found is None:
            raise ServiceError(
                "PipelineExecutionNotFoundException",
                f"Pipeline execution not found: {request['pipelineExecutionId']}",
            )
        return found

    def _inbound(self, request: Json) -> Gate:
        pipeline, name = self.find(request["pipelineName"]), request["stageName"]
        if request["transitionType"] != "Inbound":
            raise ServiceError("ValidationException", "The local cloud closes stages to what comes in only.")
        if name not in pipeline.gates:
            raise ServiceError(
                "StageNotFoundException", f"Pipeline {pipeline.declaration.name} has no stage {name}"
            )
        return pipeline.gates[name]

    @staticmethod
    def _check_source(declaration: Declaration, revision: Json) -> None:
        first = declaration.stages[0]
        source = next((one for one in first.actions if one.name == revision["actionName"]), None)
        if source is None:
            raise ServiceError("ValidationException", f"There is no source action {revision['actionName']}")
        kind = revision["revisionType"]
        if kind not in ("S3_OBJECT_VERSION_ID", "S3_OBJECT_KEY"):
            raise ServiceError("ValidationException", f"Revision type {kind} is not one of an S3 source")
        overridable = source.configuration.get("AllowOverrideForS3ObjectKey", "false") == "true"
        if kind == "S3_OBJECT_KEY" and not overridable:
            raise ServiceError(
                "ValidationException",
                f"Action {source.name} has no AllowOverrideForS3ObjectKey: its key stays",
            )


def transition(closed: Closing | None) -> Json:
    """Return what GetPipelineState shows of the way into a stage."""
    if closed is None:
        return {"enabled": True}
    return {
        "enabled": False,
        "lastChangedBy": closed.by,
        "lastChangedAt": closed.since,
        "disabledReason": closed.reason,
    }


def page(found: list[Json], request: Json, member: str) -> Json:
    """Return a page of a list, and where the next begins."""
    token = request.get("nextToken", "0")
    if not token.isdigit():
        raise ServiceError("InvalidNextTokenException", f"Invalid nextToken: {token}")
    end = int(token) + request.get("maxResults", PAGE)
    return {member: found[int(token) : end]} | ({"nextToken": str(end)} if end < len(found) else {})
