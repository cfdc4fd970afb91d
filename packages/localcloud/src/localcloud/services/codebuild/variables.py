"""The environment variables of a build."""

from __future__ import annotations

from typing import TYPE_CHECKING

from localcloud.core import account
from localcloud.services.codebuild.errors import client_error

if TYPE_CHECKING:
    from localcloud.core.service import Json
    from localcloud.services.codebuild.buildspec import Buildspec
    from localcloud.services.codebuild.models import BuildSettings


def build_variables(build: BuildSettings, spec: Buildspec) -> dict[str, str]:
    """Return a build's variables; later sources win: CodeBuild, the buildspec, the project, this start."""
    declared = [*build.project["environment"].get("environmentVariables", []), *build.options.variables]
    from_parameters: dict[str, Json] = {
        name: {"name": name, "value": key, "type": "PARAMETER_STORE"} for name, key in spec.parameters.items()
    }
    variables = {**from_parameters, **{variable["name"]: variable for variable in declared}}
    return {
        # Builds run without Docker: a build gets the URI of the image that the local container replaces.
        "IMAGE_URI": build.image,
        **account.for_tools(),
        **_codebuild_variables(build),
        **spec.variables,
        **{name: _value(build, variable) for name, variable in variables.items()},
    }


def _codebuild_variables(build: BuildSettings) -> dict[str, str]:
    """Return the variables that CodeBuild itself sets."""
    inputs = (build.folder / "inputs").glob("*")
    version = build.options.source_version
    return {
        **{f"CODEBUILD_SRC_DIR_{path.name}": str(path) for path in inputs},
        "CODEBUILD_BUILD_ARN": build.arn,
        "CODEBUILD_BUILD_ID": build.id,
        "CODEBUILD_BUILD_IMAGE": str(build.project["environment"].get("image", "")),
        "CODEBUILD_BUILD_NUMBER": str(build.number),
        "CODEBUILD_CI": "true",
        "CODEBUILD_INITIATOR": build.options.initiator,
        "CODEBUILD_KMS_KEY_ID": str(build.project.get("encryptionKey", "")),
        "CODEBUILD_LOG_PATH": build.id.partition(":")[2],
        "CODEBUILD_RESOLVED_SOURCE_VERSION": version,
        "CODEBUILD_SOURCE_VERSION": version,
        "CODEBUILD_SRC_DIR": str(build.folder / "src"),
        "CODEBUILD_START_TIME": str(int(build.started * 1000)),
    }


def _value(build: BuildSettings, variable: Json) -> str:
    """Return a variable's value, which may be the value of a parameter."""
    kind = variable.get("type", "PLAINTEXT")
    if kind == "PARAMETER_STORE":
        return build.parameter(variable["value"])
    if kind != "PLAINTEXT":
        raise client_error(f"{variable['name']}: the local cloud has no variables of type {kind}")
    return str(variable["value"])
