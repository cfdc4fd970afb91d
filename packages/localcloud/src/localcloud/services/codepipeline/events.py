"""The state changes that CodePipeline tells EventBridge of."""

from __future__ import annotations

from typing import TYPE_CHECKING

from localcloud.core import ministack

if TYPE_CHECKING:
    from localcloud.core.service import Json
    from localcloud.services.codepipeline.action_context import ActionRun
    from localcloud.services.codepipeline.execution import Execution


def pipeline(execution: Execution, state: str) -> None:
    """Tell how an execution stands."""
    send(execution, "Pipeline", {"state": state})


def stage(execution: Execution, name: str, state: str) -> None:
    """Tell how a stage stands."""
    send(execution, "Stage", {"stage": name, "state": state})


def action(execution: Execution, run: ActionRun, state: str) -> None:
    """Tell how an action stands."""
    detail: Json = {
        "stage": run.stage,
        "action": run.action.name,
        "action-execution-id": run.id,
        "state": state,
        "region": execution.tools.context.region,
        "type": run.action.type_id,
    }
    result: Json = {}
    if run.external_id:
        result["external-execution-id"] = run.external_id
    if run.error:
        result |= {"error-code": run.error[0], "external-execution-summary": run.error[1]}
    elif run.summary:
        result["external-execution-summary"] = run.summary
    send(execution, "Action", detail | ({"execution-result": result} if result else {}))


def send(execution: Execution, of: str, detail: Json) -> None:
    """Send an event about an execution."""
    common = {
        "pipeline": execution.declaration.name,
        "execution-id": execution.id,
        "version": float(execution.version),
    }
    ministack.put_event(
        "aws.codepipeline", f"CodePipeline {of} Execution State Change", common | detail, [execution.arn]
    )
