"""CloudFormation's view of pipelines, and EventBridge's."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from localcloud.core import protocol
from localcloud.core.errors import ResourceError, ServiceError
from localcloud.core.properties import refused, request_of
from localcloud.services.codepipeline.execution import Start
from localcloud.services.codepipeline.pipelines import SOMEONE

if TYPE_CHECKING:
    from localcloud.core.service import Json
    from localcloud.services.codepipeline.pipelines import Pipelines

logger = logging.getLogger(__name__)
# Properties of the resource, and not of the pipeline's structure.
APART = ("Tags", "RestartExecutionOnUpdate", "DisableInboundStageTransitions")


@dataclass(frozen=True)
class PipelineResource:
    """Pipelines that templates describe; the physical id is the name."""

    pipelines: Pipelines

    def made(self, properties: Json, default_name: str) -> tuple[str, Json]:
        """Create a pipeline."""
        raw = structure({"Name": default_name, **properties})
        try:
            pipeline = self.pipelines.create(raw)
        except ServiceError as error:
            raise refused("CodePipeline", error) from None
        return raw["name"], {"Version": str(pipeline.version)}

    def changed(self, physical_id: str, old: Json, new: Json, default_name: str) -> tuple[str, Json]:
        """Give a pipeline another structure; another name makes another pipeline."""
        if new.get("Name", physical_id) != physical_id or ("Name" in old) != ("Name" in new):
            return self.made(new, default_name)
        raw, former = structure({**new, "Name": physical_id}), structure({**old, "Name": physical_id})
        pipeline = self.pipelines.find(physical_id)
        if raw != former:
            try:
                pipeline = self.pipelines.update(raw)
                if str(new.get("RestartExecutionOnUpdate", "false")).lower() == "true":
                    start = Start(pipeline.declaration.variables([]), "StartPipelineExecution", SOMEONE)
                    self.pipelines.begin(pipeline, start)
            except ServiceError as error:
                raise refused("CodePipeline", error) from None
        return physical_id, {"Version": str(pipeline.version)}

    def deleted(self, physical_id: str, properties: Json) -> None:  # noqa: ARG002  # a handler's signature
        """Delete a pipeline."""
        self.pipelines.delete(physical_id)


def structure(properties: Json) -> Json:
    """Return the pipeline that a template describes, as the API takes it."""
    if properties.get("DisableInboundStageTransitions"):
        raise ResourceError("The local cloud has no DisableInboundStageTransitions.")
    shape: Any = protocol.model("codepipeline").shape_for("PipelineDeclaration")
    given = {key: value for key, value in properties.items() if key not in APART}
    try:
        return request_of(given, shape)
    except ServiceError as error:
        raise refused("CodePipeline", error) from None


def target(pipelines: Pipelines, arn: str, rule: str, given: str | None) -> None:
    """Start a pipeline for a rule of EventBridge, whose input may give variables and revisions."""
    name = arn.split(":", 5)[-1]
    try:
        more = json.loads(given) if given else {}
        request = {key: more[key] for key in ("variables", "sourceRevisions") if key in more}
        pipelines.start_for({"name": name, **request}, "CloudWatchEvent", rule)
    except ServiceError as error:
        # As on AWS, nobody but the rule's metric hears of it.
        logger.warning("the rule %s could not start %s: %s", rule, name, error.message)
    except (ValueError, TypeError, KeyError) as error:
        logger.warning("the rule %s gives %s an input that is none of a pipeline: %s", rule, name, error)
