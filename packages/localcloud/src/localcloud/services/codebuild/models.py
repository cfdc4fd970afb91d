"""The data of a build: the options of its start, its phases, and the store of its artifacts."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from localcloud.core import kept
from localcloud.core.clock import now
from localcloud.services.codebuild.errors import PhaseError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from localcloud.core.service import Json


class ArtifactStore(Protocol):
    """The store that a build's source comes from and its artifacts go to."""

    def sources(self) -> list[tuple[str, bytes]]:
        """Return the zip files of the sources, the primary one first, each with its name."""

    def put(self, name: str, content: bytes) -> None:
        """Store the zip file of an artifact; the primary artifact has an empty name."""

    def artifact_names(self) -> tuple[str, ...]:
        """Return the names of the artifacts that the build has to leave."""

    def parameter(self, name: str) -> str:
        """Return the value of a parameter of Systems Manager."""


@dataclass(frozen=True)
class StartOptions:
    """The initiator of a build, and what its start sets for this build alone."""

    initiator: str
    source_version: str = ""
    variables: tuple[Json, ...] = ()


@dataclass(frozen=True)
class BuildSettings:
    """The parts of a build that its environment variables are made from."""

    id: str
    arn: str
    number: int
    started: float  # epoch seconds
    folder: Path
    image: str
    project: Json
    options: StartOptions
    parameter: Callable[[str], str]


@dataclass
class PhaseRecord:
    """A phase that has begun."""

    kind: str
    started: float = field(default_factory=now)
    ended: float | None = None
    status: str = ""
    error: PhaseError | None = None

    def saved(self) -> Json:
        """Return the phase as it outlives the cloud."""
        error = [self.error.code, self.error.message] if self.error else None
        return {**kept.attributes(self, ("kind", "started", "ended", "status")), "error": error}

    @classmethod
    def restored(cls, saved: Json) -> PhaseRecord:
        """Return the phase that `saved` described."""
        return cls(**{**saved, "error": PhaseError(*saved["error"]) if saved["error"] else None})

    def describe(self) -> Json:
        """Return the phase as BatchGetBuilds shows it."""
        description: Json = {"phaseType": self.kind, "startTime": self.started}
        if self.ended is not None:
            description |= {"endTime": self.ended, "durationInSeconds": int(self.ended - self.started)}
            description["phaseStatus"] = self.status
        if self.error:
            description["contexts"] = [{"statusCode": self.error.code, "message": self.error.message}]
        return description
