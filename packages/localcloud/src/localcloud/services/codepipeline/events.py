"""The state changes that CodePipeline sends to EventBridge."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from localcloud.core import ministack

if TYPE_CHECKING:
    from localcloud.core.service import Json
    from localcloud.services.codepipeline.action_context import ActionExecution


@dataclass(frozen=True)
class ExecutionEvents:
    """The events of one execution of a pipeline."""

    pipeline_name: str
    pipeline_arn: str
    version: int
    execution_id: str
    region: str

    def pipeline(self, state: str) -> None:
        """Send a new state of the execution."""
        self._send("Pipeline", {"state": state})

    def stage(self, name: str, state: str) -> None:
        """Send a new state of a stage."""
        self._send("Stage", {"stage": name, "state": state})

    def action(self, run: ActionExecution, state: str) -> None:
        """Send a new state of an action."""
        detail: Json = {
            "stage": run.stage,
            "action": run.action.name,
            "action-execution-id": run.id,
            "state": state,
            "region": self.region,
            "type": run.action.type_id,
        }
        result: Json = {}
        if run.external_id:
            result["external-execution-id"] = run.external_id
        if run.error:
            result |= {"error-code": run.error[0], "external-execution-summary": run.error[1]}
        elif run.summary:
            result["external-execution-summary"] = run.summary
        self._send("Action", detail | ({"execution-result": result} if result else {}))

    def _send(self, subject: str, detail: Json) -> None:
        common = {
            "pipeline": self.pipeline_name,
            "execution-id": self.execution_id,
            "version": float(self.version),
        }
        detail_type = f"CodePipeline {subject} Execution State Change"
        ministack.put_event("aws.codepipeline", detail_type, common | detail, [self.pipeline_arn])
