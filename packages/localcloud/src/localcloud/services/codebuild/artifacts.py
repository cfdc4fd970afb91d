"""Sources and artifacts of builds in S3, for builds that no pipeline starts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from localcloud.services.codebuild.errors import client_error, invalid_input

if TYPE_CHECKING:
    from collections.abc import Callable

    from localcloud.core.service import Json

SOURCE_TYPES = ("S3", "NO_SOURCE", "CODEPIPELINE")
ARTIFACT_TYPES = ("S3", "NO_ARTIFACTS", "CODEPIPELINE")


@dataclass(frozen=True)
class S3ArtifactStore:
    """The source and the artifact that the project names."""

    connect: Callable[[str], Any]
    project: Json
    version: str = ""

    def sources(self) -> list[tuple[str, bytes]]:
        """Return the zip file that the project names.

        Raises:
            PhaseError: S3 does not give the object.
        """
        source = self.project["source"]
        if source["type"] == "NO_SOURCE":
            return []
        bucket, _, key = source["location"].removeprefix("arn:aws:s3:::").partition("/")
        version = {"VersionId": self.version} if self.version else {}
        try:
            return [("", self.connect("s3").get_object(Bucket=bucket, Key=key, **version)["Body"].read())]
        except ClientError as error:
            raise client_error(f"s3://{bucket}/{key}: {error}") from None

    def put(self, name: str, content: bytes) -> None:  # noqa: ARG002 - there is one artifact only
        """Store the artifact as a zip file in the location that the project names."""
        artifacts = self.project["artifacts"]
        parts = (artifacts.get("path", "").strip("/"), artifacts.get("name") or self.project["name"])
        key = "/".join(filter(None, parts))
        self.connect("s3").put_object(Bucket=artifacts["location"], Key=key, Body=content)

    def artifact_names(self) -> tuple[str, ...]:
        """Return the empty name of the primary artifact, if the project has an artifact."""
        return () if self.project["artifacts"]["type"] == "NO_ARTIFACTS" else ("",)

    def parameter(self, name: str) -> str:
        """Return the value of a parameter of Systems Manager."""
        return read_parameter(self.connect, name)


def read_parameter(connect: Callable[[str], Any], name: str) -> str:
    """Return the value of a parameter of Systems Manager.

    Raises:
        PhaseError: Systems Manager does not give the parameter.
    """
    try:
        return str(connect("ssm").get_parameter(Name=name, WithDecryption=True)["Parameter"]["Value"])
    except ClientError as error:
        raise client_error(f"{name}: {error}") from None


def check_types(project: Json) -> None:
    """Check that the local cloud can reach the project's source and artifacts.

    Raises:
        ServiceError: the type of the source or of the artifacts, or the packaging, is not supported.
    """
    for member, supported in (("source", SOURCE_TYPES), ("artifacts", ARTIFACT_TYPES)):
        kind = project[member]["type"]
        if kind not in supported:
            raise invalid_input(f"The local cloud has no {member} of type {kind}: {', '.join(supported)}.")
    if project["artifacts"].get("packaging", "ZIP") != "ZIP" and project["artifacts"]["type"] == "S3":
        raise invalid_input("The local cloud packs artifacts as ZIP only.")
