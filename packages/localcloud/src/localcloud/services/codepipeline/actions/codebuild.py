"""A build by CodeBuild."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from localcloud.core.errors import ServiceError
from localcloud.services.codebuild.artifacts import parameter
from localcloud.services.codebuild.build import Cause
from localcloud.services.codepipeline.errors import AbandonedError, ActionError

if TYPE_CHECKING:
    from localcloud.services.codebuild.build import Build
    from localcloud.services.codepipeline.action_context import Work


@dataclass(frozen=True)
class ByPipeline:
    """Artifacts in, artifacts out."""

    work: Work

    def sources(self) -> list[tuple[str, bytes]]:
        """Return the input artifacts, the primary one first."""
        names = self.work.action.inputs
        primary = self.work.configuration.get("PrimarySource", names[0] if names else "")
        ordered = sorted(names, key=lambda name: name != primary)
        return [(name, self.work.artifacts.get(name)) for name in ordered]

    def deliver(self, name: str, content: bytes) -> None:
        """Store an output artifact."""
        self.work.artifacts.put(name, content)

    def wanted(self) -> tuple[str, ...]:
        """Name the output artifacts."""
        return self.work.action.outputs

    def parameter(self, name: str) -> str:
        """Return the value of a parameter of Systems Manager."""
        return parameter(self.work.client, name)


def run(work: Work) -> dict[str, str]:
    """Build, and return the variables that the build exports."""
    builds = work.tools.builds
    cause = Cause(f"codepipeline/{work.pipeline}", source_version(work), tuple(variables(work)))
    try:
        build = builds.begin(builds.find(work.configuration["ProjectName"]), ByPipeline(work), cause)
    except ServiceError as error:
        raise ActionError("ConfigurationError", error.message) from None
    work.run.external_id, work.run.external_url = build.id, build.log.as_uri()
    try:
        work.wait(build.over.is_set)
    except AbandonedError:
        build.end()
        raise
    if build.status != "SUCCEEDED":
        raise ActionError("JobFailed", reason(build))
    return dict(build.exported)


def variables(work: Work) -> list[Any]:
    """Return the variables that the action gives to the build."""
    given = work.configuration.get("EnvironmentVariables", "[]")
    try:
        found = json.loads(given)
        return [
            {"name": one["name"], "value": one["value"], "type": one.get("type", "PLAINTEXT")}
            for one in found
        ]
    except (ValueError, TypeError, KeyError, AttributeError):
        raise ActionError(
            "ConfigurationError", f"EnvironmentVariables is no JSON list of name, value and type: {given}"
        ) from None


def source_version(work: Work) -> str:
    """Return what CodeBuild calls the source's version: its place in the artifact bucket."""
    located = work.artifacts.located(work.action.inputs[:1])
    return (
        f"arn:aws:s3:::{located[0]['s3location']['bucket']}/{located[0]['s3location']['key']}"
        if located
        else ""
    )


def reason(build: Build) -> str:
    """Say as CodePipeline does how a build failed."""
    said = f"Build terminated with state: {build.status}"
    phase = build.failure()
    if phase is None or phase.error is None:
        return said
    return f"{said}. Phase: {phase.kind}, Code: {phase.error.code}, Message: {phase.error.message}"
