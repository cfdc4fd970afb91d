"""What GetPipelineState and ListActionExecutions show of actions."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from localcloud.core.service import Json
    from localcloud.services.codepipeline.action_context import ActionRun
    from localcloud.services.codepipeline.declaration import Action


def action_state(action: Action, run: ActionRun | None) -> Json:
    """Return an action with its latest execution."""
    state: Json = {"actionName": action.name}
    if run is None:
        return state
    if run.revision:
        state["currentRevision"] = {
            "revisionId": run.revision,
            "revisionChangeId": run.revision,
            "created": run.started,
        }
    latest: Json = {"actionExecutionId": run.id, "status": run.status, "lastStatusChange": run.changed}
    latest |= result(run)
    if run.approval and run.status == "InProgress":
        latest["token"] = run.approval.token
    if run.updated_by:
        latest["lastUpdatedBy"] = run.updated_by
    return state | {"latestExecution": latest}


def result(run: ActionRun) -> Json:
    """Return what is known of what an action did elsewhere."""
    shown = {
        "externalExecutionId": run.external_id,
        "externalExecutionUrl": run.external_url,
        "summary": run.summary,
    }
    known: Json = {key: value for key, value in shown.items() if value}
    return known | ({"errorDetails": error(run)} if run.error else {})


def error(run: ActionRun) -> Json:
    """Return how an action failed."""
    code, message = run.error or ("", "")
    return {"code": code, "message": message}


def action_detail(run: ActionRun, region: str) -> Json:
    """Return an action's execution in full."""
    action = run.action
    given: Json = {
        "actionTypeId": action.type_id,
        "configuration": action.configuration,
        "resolvedConfiguration": run.configuration,
        "region": region,
        "inputArtifacts": run.inputs,
    }
    if action.namespace:
        given["namespace"] = action.namespace
    if action.role_arn:
        given["roleArn"] = action.role_arn
    known = result(run)
    if "summary" in known:
        known["externalExecutionSummary"] = known.pop("summary")
    detail: Json = {
        "pipelineExecutionId": run.execution_id,
        "actionExecutionId": run.id,
        "pipelineVersion": run.version,
        "stageName": run.stage,
        "actionName": action.name,
        "startTime": run.started,
        "lastUpdateTime": run.changed,
        "status": run.status,
        "input": given,
        "output": {
            "outputArtifacts": run.outputs,
            "executionResult": known,
            "outputVariables": run.variables,
        },
    }
    return detail | ({"updatedBy": run.updated_by} if run.updated_by else {})
