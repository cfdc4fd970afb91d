"""The action CodeBuild: a project builds the pipeline's artifacts."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from localcloud.core.errors import ServiceError
from localcloud.services.codebuild.artifacts import read_parameter
from localcloud.services.codebuild.models import StartOptions
from localcloud.services.codepipeline.errors import AbandonedError, configuration_error, job_failed

if TYPE_CHECKING:
    from localcloud.services.codebuild.build import Build
    from localcloud.services.codepipeline.action_context import ActionContext


@dataclass(frozen=True)
class PipelineArtifactStore:
    """The input and output artifacts of the action, as the source and the artifacts of the build."""

    context: ActionContext

    def sources(self) -> list[tuple[str, bytes]]:
        """Return the zip files of the input artifacts, the primary one first."""
        names = self.context.action.inputs
        primary = self.context.configuration.get("PrimarySource", names[0] if names else "")
        ordered = sorted(names, key=lambda name: name != primary)
        return [(name, self.context.artifacts.get(name)) for name in ordered]

    def put(self, name: str, content: bytes) -> None:
        """Store an output artifact."""
        self.context.artifacts.put(name, content)

    def artifact_names(self) -> tuple[str, ...]:
        """Return the names of the output artifacts."""
        return self.context.action.outputs

    def parameter(self, name: str) -> str:
        """Return the value of a parameter of Systems Manager."""
        return read_parameter(self.context.client, name)


def run(context: ActionContext) -> dict[str, str]:
    """Run a build, and return the variables that it exports.

    Raises:
        AbandonedError: the execution was abandoned.
        ActionError: the action is configured wrong, or the build failed.
    """
    builds = context.tools.builds
    initiator = f"codepipeline/{context.pipeline}"
    options = StartOptions(initiator, _source_version(context), tuple(_variables(context)))
    try:
        project = builds.find(context.configuration["ProjectName"])
        build = builds.begin(project, PipelineArtifactStore(context), options)
    except ServiceError as error:
        raise configuration_error(error.message) from None
    context.run.external_id, context.run.external_url = build.id, build.log.as_uri()
    try:
        context.wait(build.finished.is_set)
    except AbandonedError:
        build.end()
        raise
    if build.status != "SUCCEEDED":
        raise job_failed(_reason(build))
    return dict(build.exported)


def _variables(context: ActionContext) -> list[Any]:
    """Return the environment variables that the action sets for the build."""
    text = context.configuration.get("EnvironmentVariables", "[]")
    try:
        return [
            {"name": one["name"], "value": one["value"], "type": one.get("type", "PLAINTEXT")}
            for one in json.loads(text)
        ]
    except (ValueError, TypeError, KeyError, AttributeError):
        raise configuration_error(
            f"EnvironmentVariables is not a JSON list of name, value and type: {text}"
        ) from None


def _source_version(context: ActionContext) -> str:
    """Return the version of the source in CodeBuild's form: its location in the artifact bucket."""
    locations = context.artifacts.locations(context.action.inputs[:1])
    return (
        f"arn:aws:s3:::{locations[0]['s3location']['bucket']}/{locations[0]['s3location']['key']}"
        if locations
        else ""
    )


def _reason(build: Build) -> str:
    """Return the reason of a failed build in CodePipeline's words."""
    reason = f"Build terminated with state: {build.status}"
    phase = build.failure()
    if phase is None or phase.error is None:
        return reason
    return f"{reason}. Phase: {phase.kind}, Code: {phase.error.code}, Message: {phase.error.message}"
