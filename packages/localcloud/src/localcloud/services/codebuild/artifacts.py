"""Sources and artifacts of builds in S3, for builds that no pipeline starts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from localcloud.core.errors import ServiceError
from localcloud.services.codebuild.variables import PhaseError

if TYPE_CHECKING:
    from collections.abc import Callable

    from localcloud.core.service import Json

SOURCES = ("S3", "NO_SOURCE", "CODEPIPELINE")
ARTIFACTS = ("S3", "NO_ARTIFACTS", "CODEPIPELINE")


@dataclass(frozen=True)
class Buckets:
    """A source and an artifact that the project names."""

    connect: Callable[[str], Any]
    project: Json
    version: str = ""

    def sources(self) -> list[tuple[str, bytes]]:
        """Return the zip that the project names."""
        source = self.project["source"]
        if source["type"] == "NO_SOURCE":
            return []
        bucket, _, key = source["location"].removeprefix("arn:aws:s3:::").partition("/")
        version = {"VersionId": self.version} if self.version else {}
        try:
            return [("", self.connect("s3").get_object(Bucket=bucket, Key=key, **version)["Body"].read())]
        except ClientError as error:
            raise PhaseError("CLIENT_ERROR", f"s3://{bucket}/{key}: {error}") from None

    def deliver(self, name: str, content: bytes) -> None:  # noqa: ARG002  # there is one artifact only
        """Store the artifact as a zip where the project says."""
        artifacts = self.project["artifacts"]
        parts = (artifacts.get("path", "").strip("/"), artifacts.get("name") or self.project["name"])
        key = "/".join(filter(None, parts))
        self.connect("s3").put_object(Bucket=artifacts["location"], Key=key, Body=content)

    def wanted(self) -> tuple[str, ...]:
        """Name the artifact, which has no name, when there is one."""
        return () if self.project["artifacts"]["type"] == "NO_ARTIFACTS" else ("",)

    def parameter(self, name: str) -> str:
        """Return the value of a parameter of Systems Manager."""
        return parameter(self.connect, name)


def parameter(connect: Callable[[str], Any], name: str) -> str:
    """Return the value of a parameter of Systems Manager, or fail the phase."""
    try:
        return str(connect("ssm").get_parameter(Name=name, WithDecryption=True)["Parameter"]["Value"])
    except ClientError as error:
        raise PhaseError("CLIENT_ERROR", f"{name}: {error}") from None


def check_types(project: Json) -> None:
    """Refuse sources and artifacts that the local cloud can't reach."""
    for member, known in (("source", SOURCES), ("artifacts", ARTIFACTS)):
        kind = project[member]["type"]
        if kind not in known:
            raise ServiceError(
                "InvalidInputException",
                f"The local cloud has no {member} of type {kind}: {', '.join(known)}.",
            )
    if project["artifacts"].get("packaging", "ZIP") != "ZIP" and project["artifacts"]["type"] == "S3":
        raise ServiceError("InvalidInputException", "The local cloud packs artifacts as ZIP only.")
