"""The environment variables of a build."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from localcloud.core.service import Json
    from localcloud.services.codebuild.build import Build
    from localcloud.services.codebuild.buildspec import Buildspec

FOR_TOOLS = (
    "AWS_ENDPOINT_URL",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_DEFAULT_REGION",
    "AWS_REGION",
)


class PhaseError(Exception):
    """A phase fails, with the code and the message of its context."""

    def __init__(self, code: str, message: str) -> None:
        """Keep both."""
        super().__init__(f"{code}: {message}")
        self.code, self.message = code, message


def build_variables(build: Build, spec: Buildspec) -> dict[str, str]:
    """Return the variables: of CodeBuild, then of the buildspec, of the project, of this start."""
    declared = [*build.project["environment"].get("environmentVariables", []), *build.cause.variables]
    stored: dict[str, Json] = {
        name: {"name": name, "value": key, "type": "PARAMETER_STORE"} for name, key in spec.parameters.items()
    }
    given = {**stored, **{variable["name"]: variable for variable in declared}}
    return {
        # No Docker here, so the build is given an image that exists: the one that the container stands for.
        "IMAGE_URI": build.context.project.image,
        **for_tools(),
        **of_codebuild(build),
        **spec.variables,
        **{name: value_of(build, variable) for name, variable in given.items()},
    }


def for_tools() -> dict[str, str]:
    """Return the variables that point a build's tools at this cloud alone, with its access key."""
    return {name: os.environ[name] for name in FOR_TOOLS}


def of_codebuild(build: Build) -> dict[str, str]:
    """Return what CodeBuild itself sets."""
    inputs = (build.base / "inputs").glob("*")
    return {
        **{f"CODEBUILD_SRC_DIR_{path.name}": str(path) for path in inputs},
        "CODEBUILD_BUILD_ARN": build.arn,
        "CODEBUILD_BUILD_ID": build.id,
        "CODEBUILD_BUILD_IMAGE": str(build.project["environment"].get("image", "")),
        "CODEBUILD_BUILD_NUMBER": str(build.number),
        "CODEBUILD_CI": "true",
        "CODEBUILD_INITIATOR": build.cause.initiator,
        "CODEBUILD_KMS_KEY_ID": str(build.project.get("encryptionKey", "")),
        "CODEBUILD_LOG_PATH": build.id.partition(":")[2],
        "CODEBUILD_RESOLVED_SOURCE_VERSION": build.cause.version,
        "CODEBUILD_SOURCE_VERSION": build.cause.version,
        "CODEBUILD_SRC_DIR": str(build.base / "src"),
        "CODEBUILD_START_TIME": str(int(build.started * 1000)),
    }


def value_of(build: Build, variable: Json) -> str:
    """Return a variable's value, which may be a parameter's."""
    kind = variable.get("type", "PLAINTEXT")
    if kind == "PARAMETER_STORE":
        return build.handover.parameter(variable["value"])
    if kind != "PLAINTEXT":
        raise PhaseError(
            "CLIENT_ERROR", f"{variable['name']}: the local cloud has no variables of type {kind}"
        )
    return str(variable["value"])
