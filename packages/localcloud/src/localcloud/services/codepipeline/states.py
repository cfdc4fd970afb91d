"""Actions in the answers of GetPipelineState and ListActionExecutions."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from localcloud.core.service import Json
    from localcloud.services.codepipeline.action_context import ActionExecution
    from localcloud.services.codepipeline.declaration import Action


def action_state(action: Action, run: ActionExecution | None) -> Json:
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
    latest |= _result(run)
    if run.approval and run.status == "InProgress":
        latest["token"] = run.approval.token
    if run.updated_by:
        latest["lastUpdatedBy"] = run.updated_by
    return state | {"latestExecution": latest}


def _result(run: ActionExecution) -> Json:
    """Return the result of an action: its execution in another service, its summary, its error."""
    members = {
        "externalExecutionId": run.external_id,
        "externalExecutionUrl": run.external_url,
        "summary": run.summary,
    }
    result: Json = {key: value for key, value in members.items() if value}
    if run.error:
        code, message = run.error
        result["errorDetails"] = {"code": code, "message": message}
    return result


def action_detail(run: ActionExecution, region: str) -> Json:
    """Return an action's execution in full."""
    action = run.action
    action_input: Json = {
        "actionTypeId": action.type_id,
        "configuration": action.configuration,
        "resolvedConfiguration": run.configuration,
        "region": region,
        "inputArtifacts": run.inputs,
    }
    if action.namespace:
        action_input["namespace"] = action.namespace
    if action.role_arn:
        action_input["roleArn"] = action.role_arn
    result = _result(run)
    if "summary" in result:
        result["externalExecutionSummary"] = result.pop("summary")
    detail: Json = {
        "pipelineExecutionId": run.execution_id,
        "actionExecutionId": run.id,
        "pipelineVersion": run.version,
        "stageName": run.stage,
        "actionName": action.name,
        "startTime": run.started,
        "lastUpdateTime": run.changed,
        "status": run.status,
        "input": action_input,
        "output": {
            "outputArtifacts": run.outputs,
            "executionResult": result,
            "outputVariables": run.variables,
        },
    }
    return detail | ({"updatedBy": run.updated_by} if run.updated_by else {})
