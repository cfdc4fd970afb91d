"""The CloudFormation resource type of CodePipeline: pipelines."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from localcloud.core import protocol
from localcloud.core.errors import ResourceError
from localcloud.core.properties import as_failure, request_of
from localcloud.services.codepipeline.execution import ExecutionStart
from localcloud.services.codepipeline.pipelines import LOCAL_PRINCIPAL

if TYPE_CHECKING:
    from localcloud.core.service import Json
    from localcloud.services.codepipeline.pipelines import Pipelines

# Properties of the resource that the pipeline's structure does not have.
RESOURCE_ONLY = ("Tags", "RestartExecutionOnUpdate", "DisableInboundStageTransitions")


@dataclass(frozen=True)
class PipelineResource:
    """Pipelines that templates describe; the physical id is the name."""

    pipelines: Pipelines

    def create(self, properties: Json, default_name: str) -> tuple[str, Json]:
        """Create a pipeline."""
        raw = _structure({"Name": default_name, **properties})
        with as_failure("CodePipeline"):
            pipeline = self.pipelines.create(raw)
        return raw["name"], {"Version": str(pipeline.version)}

    def update(self, physical_id: str, old: Json, new: Json, default_name: str) -> tuple[str, Json]:
        """Change a pipeline's structure in place, or create another pipeline if the name differs."""
        if new.get("Name", physical_id) != physical_id or ("Name" in old) != ("Name" in new):
            return self.create(new, default_name)
        raw, former = _structure({**new, "Name": physical_id}), _structure({**old, "Name": physical_id})
        pipeline = self.pipelines.find(physical_id)
        if raw != former:
            with as_failure("CodePipeline"):
                pipeline = self.pipelines.update(raw)
                if str(new.get("RestartExecutionOnUpdate", "false")).lower() == "true":
                    variables = pipeline.declaration.variables([])
                    start = ExecutionStart(variables, "StartPipelineExecution", LOCAL_PRINCIPAL)
                    self.pipelines.begin(pipeline, start)
        return physical_id, {"Version": str(pipeline.version)}

    def delete(self, physical_id: str, _: Json) -> None:
        """Delete a pipeline."""
        self.pipelines.delete(physical_id)


def _structure(properties: Json) -> Json:
    """Return the pipeline that a template describes, as the API takes it."""
    if properties.get("DisableInboundStageTransitions"):
        raise ResourceError("The local cloud has no DisableInboundStageTransitions.")
    shape: Any = protocol.model("codepipeline").shape_for("PipelineDeclaration")
    with as_failure("CodePipeline"):
        return request_of({key: properties[key] for key in properties if key not in RESOURCE_ONLY}, shape)
