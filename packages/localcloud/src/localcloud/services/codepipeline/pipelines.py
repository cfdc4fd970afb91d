"""Pipelines and the operations on them."""

from __future__ import annotations

import threading
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

from localcloud.core import account, kept
from localcloud.core.clock import now
from localcloud.core.errors import validation_error
from localcloud.core.service import Kept
from localcloud.services.codepipeline import declaration as declarations
from localcloud.services.codepipeline import errors
from localcloud.services.codepipeline.execution import Execution, ExecutionStart
from localcloud.services.codepipeline.stage_transitions import DisabledTransition, StageTransition
from localcloud.services.codepipeline.states import action_detail, action_state
from localcloud.services.stepfunctions import executions

if TYPE_CHECKING:
    from localcloud.core.service import Json
    from localcloud.services.codepipeline.action_context import ActionExecution, Tools
    from localcloud.services.codepipeline.declaration import Declaration, Stage

MAX_CONCURRENT_EXECUTIONS = 50
PAGE_SIZE = 100
# The attributes of a pipeline that outlive the cloud as they are.
KEPT = ("version", "created", "updated", "tokens", "stages")
LOCAL_PRINCIPAL = f"arn:aws:iam::{account.ACCOUNT}:user/local"


class Pipeline:
    """A pipeline, its executions, and the latest execution of each stage and action."""

    def __init__(self, declaration: Declaration) -> None:
        """Make version 1 of a pipeline."""
        self.version = 1
        self.created = self.updated = now()
        self.executions: dict[str, Execution] = {}
        self.tokens: dict[str, str] = {}
        self.transitions: dict[str, StageTransition] = {}
        self.stages: dict[str, tuple[str, str]] = {}
        self.actions: dict[tuple[str, str], ActionExecution] = {}
        self.declare(declaration)

    def saved(self) -> Json:
        """Return what of the pipeline outlives the cloud."""
        executions = kept.newest(self.executions.values())
        disabled = {name: each.disabled for name, each in self.transitions.items()}
        return {
            **kept.attributes(self, KEPT),
            "declaration": self.declaration.raw,
            "executions": [each.saved() for each in executions],
            "actions": [
                [*key, run.execution_id, run.id]
                for key, run in list(self.actions.items())
                if run.execution_id in {each.id for each in executions}
            ],
            "disabled": {name: asdict(reason) for name, reason in disabled.items() if reason},
        }

    @classmethod
    def restored(cls, saved: Json, tools: Tools) -> Pipeline:
        """Return the pipeline that `saved` described."""
        pipeline = cls(declarations.parse(saved["declaration"]))
        kept.restore(pipeline, KEPT, saved)
        for each in saved["executions"]:
            execution = pipeline.executions[each["id"]] = Execution.restored(each, tools)
            for stage, (latest, status) in pipeline.stages.items():
                if latest == execution.id and status == "InProgress":
                    pipeline.stages[stage] = (latest, execution.status)
        for stage, action, execution_id, run_id in saved["actions"]:
            runs = pipeline.executions[execution_id].runs
            pipeline.actions[stage, action] = next(run for run in runs if run.id == run_id)
        for name, reason in saved["disabled"].items():
            pipeline.transitions[name].disable(DisabledTransition(**reason))
        return pipeline

    def declare(self, declaration: Declaration) -> None:
        """Take another declaration; running executions continue with theirs."""
        former = getattr(self, "declaration", None)
        if former is None or former.mode != declaration.mode:
            self.transitions = {}
        self.declaration = declaration
        self.transitions = {
            stage.name: self.transitions.get(stage.name) or StageTransition(declaration.mode)
            for stage in declaration.stages
        }

    def stage_changed(self, execution: Execution, stage: Stage, status: str) -> None:
        """Record a new status of a stage."""
        self.stages[stage.name] = (execution.id, status)

    def action_began(self, run: ActionExecution) -> None:
        """Record an action's latest execution."""
        self.actions[(run.stage, run.action.name)] = run

    def running(self) -> list[Execution]:
        """Return the executions that have not ended."""
        return [execution for execution in self.executions.values() if not execution.finished.is_set()]

    def raw(self) -> Json:
        """Return the declaration in the form of GetPipeline."""
        return {**self.declaration.raw, "version": self.version}

    def stage_state(self, stage: Stage) -> Json:
        """Return the state of a stage in the form of GetPipelineState."""
        state: Json = {
            "stageName": stage.name,
            "inboundTransitionState": _transition_state(self.transitions[stage.name].disabled),
            "actionStates": [
                action_state(action, self.actions.get((stage.name, action.name))) for action in stage.actions
            ],
        }
        waiting = [one for one in self.transitions[stage.name].waiting if isinstance(one, Execution)]
        inbound = [
            {"pipelineExecutionId": one.id, "status": "InProgress", "type": "STANDARD"} for one in waiting
        ]
        if inbound:
            state |= {"inboundExecution": inbound[-1], "inboundExecutions": inbound}
        if stage.name in self.stages:
            execution_id, status = self.stages[stage.name]
            state["latestExecution"] = {
                "pipelineExecutionId": execution_id,
                "status": status,
                "type": "STANDARD",
            }
        return state


@dataclass
class Pipelines:
    """The pipelines by name."""

    tools: Tools
    pipelines: dict[str, Pipeline] = field(default_factory=dict)
    lock: threading.RLock = field(default_factory=threading.RLock)

    def kept(self) -> dict[str, Kept]:
        """Return how the pipelines and their executions outlive the cloud."""
        return {
            "pipelines": Kept(
                lambda: [each.saved() for each in self.pipelines.values()], self._load, noun="pipelines"
            )
        }

    def _load(self, saved: list[Json]) -> None:
        for each in saved:
            pipeline = Pipeline.restored(each, self.tools)
            self.pipelines[pipeline.declaration.name] = pipeline

    def create(self, raw: Json) -> Pipeline:
        """Create a pipeline, and start its first execution.

        Raises:
            ServiceError: there is a pipeline of this name, or the structure breaks a rule.
        """
        declaration = declarations.parse(raw)
        with self.lock:
            if declaration.name in self.pipelines:
                raise errors.pipeline_name_in_use(declaration.name)
            pipeline = self.pipelines[declaration.name] = Pipeline(declaration)
        self.begin(pipeline, ExecutionStart(declaration.variables([]), "CreatePipeline", LOCAL_PRINCIPAL))
        return pipeline

    def update(self, raw: Json) -> Pipeline:
        """Give a pipeline another structure."""
        pipeline = self.find(raw["name"])
        pipeline.declare(declarations.parse(raw))
        pipeline.version += 1
        pipeline.updated = now()
        return pipeline

    def delete(self, name: str) -> None:
        """Delete a pipeline, and abandon its running executions."""
        with self.lock:
            pipeline = self.pipelines.pop(name, None)
        for execution in pipeline.running() if pipeline else []:
            execution.stop("The pipeline was deleted.", abandon=True)

    def find(self, name: str) -> Pipeline:
        """Return a pipeline.

        Raises:
            ServiceError: the pipeline does not exist.
        """
        if name not in self.pipelines:
            raise errors.pipeline_not_found(name)
        return self.pipelines[name]

    def begin(self, pipeline: Pipeline, start: ExecutionStart) -> Execution:
        """Start an execution.

        Raises:
            ServiceError: the pipeline has as many running executions as it may have.
        """
        if len(pipeline.running()) >= MAX_CONCURRENT_EXECUTIONS and pipeline.declaration.mode != "SUPERSEDED":
            raise errors.too_many_executions(
                f"Pipeline {pipeline.declaration.name} has {MAX_CONCURRENT_EXECUTIONS} executions in progress"
            )
        execution = Execution(
            pipeline.declaration, pipeline.version, start, dict(pipeline.transitions), self.tools
        )
        pipeline.executions[execution.id] = execution
        execution.begin(pipeline)
        return execution

    def get(self, request: Json) -> Json:
        """Answer GetPipeline."""
        pipeline = self.find(request["name"])
        arn = self.tools.cloud.arn("codepipeline", request["name"])
        metadata = {"pipelineArn": arn, "created": pipeline.created, "updated": pipeline.updated}
        return {"pipeline": pipeline.raw(), "metadata": metadata}

    def list(self, request: Json) -> Json:  # noqa: ARG002 - an operation's signature
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
        return self.start_for(request, "StartPipelineExecution", executions.caller() or LOCAL_PRINCIPAL)

    def start_for(self, request: Json, trigger: str, detail: str) -> Json:
        """Start an execution with its trigger, once for a token."""
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
            execution = self.begin(pipeline, ExecutionStart(variables, trigger, detail, revisions))
            if token:
                pipeline.tokens[token] = execution.id
        return {"pipelineExecutionId": execution.id}

    def get_state(self, request: Json) -> Json:
        """Answer GetPipelineState."""
        pipeline = self.find(request["name"])
        return {
            "pipelineName": pipeline.declaration.name,
            "pipelineVersion": pipeline.version,
            "stageStates": [pipeline.stage_state(stage) for stage in pipeline.declaration.stages],
            "created": pipeline.created,
            "updated": pipeline.updated,
        }

    def get_execution(self, request: Json) -> Json:
        """Answer GetPipelineExecution."""
        return {"pipelineExecution": self._execution(request).describe()}

    def list_executions(self, request: Json) -> Json:
        """Answer ListPipelineExecutions, the newest first."""
        summaries = [
            one.summarize() for one in reversed(list(self.find(request["pipelineName"]).executions.values()))
        ]
        return _page(summaries, request, "pipelineExecutionSummaries")

    def list_action_executions(self, request: Json) -> Json:
        """Answer ListActionExecutions, the newest first.

        Raises:
            ServiceError: the pipeline, or the execution of the filter, does not exist.
        """
        pipeline = self.find(request["pipelineName"])
        latest = request.get("filter", {}).get("latestInPipelineExecution", {}).get("pipelineExecutionId")
        execution_id = request.get("filter", {}).get("pipelineExecutionId", latest)
        if execution_id and execution_id not in pipeline.executions:
            raise errors.execution_not_found(execution_id)
        runs = [
            run
            for one in pipeline.executions.values()
            if execution_id in (None, one.id)
            for run in list(one.runs)
        ]
        runs.sort(key=lambda run: run.started)
        region = self.tools.cloud.region
        return _page(
            [action_detail(run, region) for run in reversed(runs)], request, "actionExecutionDetails"
        )

    def put_approval(self, request: Json) -> Json:
        """Answer PutApprovalResult.

        Raises:
            ServiceError: no approval waits with this token, or it was answered already.
        """
        pipeline = self.find(request["pipelineName"])
        stage, action = request["stageName"], request["actionName"]
        pipeline.declaration.action(stage, action)
        run = pipeline.actions.get((stage, action))
        if run is None or run.approval is None or run.approval.token != request["token"]:
            raise errors.invalid_approval_token()
        with self.lock:
            if run.status != "InProgress" or run.approval.answered.is_set():
                raise errors.approval_already_completed()
            run.summary, run.updated_by = request["result"]["summary"], LOCAL_PRINCIPAL
            run.approval.approved = request["result"]["status"] == "Approved"
            run.approval.answered.set()
        return {"approvedAt": now()}

    def disable_transition(self, request: Json) -> Json:
        """Answer DisableStageTransition."""
        self._inbound(request).disable(DisabledTransition(request["reason"], LOCAL_PRINCIPAL, now()))
        return {}

    def enable_transition(self, request: Json) -> Json:
        """Answer EnableStageTransition."""
        self._inbound(request).enable()
        return {}

    def stop(self, request: Json) -> Json:
        """Answer StopPipelineExecution.

        Raises:
            ServiceError: the execution does not exist, has ended, or is stopping already.
        """
        execution = self._execution(request)
        abandon = request.get("abandon", False)
        if execution.finished.is_set():
            raise errors.execution_not_stoppable(
                f"The pipeline execution {execution.id} is in status {execution.status} and can't be stopped"
            )
        if execution.stopping and not (abandon and not execution.abandoned.is_set()):
            raise errors.duplicated_stop_request(execution.id)
        execution.stop(request.get("reason", ""), abandon=abandon)
        return {"pipelineExecutionId": execution.id}

    def close(self) -> None:
        """Abandon every running execution."""
        for pipeline in list(self.pipelines.values()):
            for execution in pipeline.running():
                execution.abandoned.set()

    def _execution(self, request: Json) -> Execution:
        execution_id = request["pipelineExecutionId"]
        execution = self.find(request["pipelineName"]).executions.get(execution_id)
        if execution is None:
            raise errors.execution_not_found(execution_id)
        return execution

    def _inbound(self, request: Json) -> StageTransition:
        pipeline, name = self.find(request["pipelineName"]), request["stageName"]
        if request["transitionType"] != "Inbound":
            raise validation_error("The local cloud closes stages to what comes in only.")
        if name not in pipeline.transitions:
            raise errors.stage_not_found(f"Pipeline {pipeline.declaration.name} has no stage {name}")
        return pipeline.transitions[name]

    @staticmethod
    def _check_source(declaration: Declaration, revision: Json) -> None:
        first = declaration.stages[0]
        source = next((one for one in first.actions if one.name == revision["actionName"]), None)
        if source is None:
            raise validation_error(f"Source action {revision['actionName']} does not exist")
        kind = revision["revisionType"]
        if kind not in ("S3_OBJECT_VERSION_ID", "S3_OBJECT_KEY"):
            raise validation_error(f"Revision type {kind} is not one of an S3 source")
        overridable = source.configuration.get("AllowOverrideForS3ObjectKey", "false") == "true"
        if kind == "S3_OBJECT_KEY" and not overridable:
            raise validation_error(f"Action {source.name} has no AllowOverrideForS3ObjectKey: its key stays")


def _transition_state(disabled: DisabledTransition | None) -> Json:
    """Return the inbound transition of a stage in the form of GetPipelineState."""
    if disabled is None:
        return {"enabled": True}
    return {
        "enabled": False,
        "lastChangedBy": disabled.changed_by,
        "lastChangedAt": disabled.changed_at,
        "disabledReason": disabled.reason,
    }


def _page(items: list[Json], request: Json, member: str) -> Json:
    """Return the page of a list that a request asks for, and the token of the next page."""
    token = request.get("nextToken", "0")
    if not token.isdigit():
        raise errors.invalid_token(f"Invalid nextToken: {token}")
    end = int(token) + request.get("maxResults", PAGE_SIZE)
    return {member: items[int(token) : end]} | ({"nextToken": str(end)} if end < len(items) else {})
