"""One job, of whichever service, in SageMaker's words."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

IN_PROGRESS, STOPPING = "InProgress", "Stopping"
COMPLETED, FAILED, STOPPED = "Completed", "Failed", "Stopped"
ENDED = (COMPLETED, FAILED, STOPPED)


@dataclass(frozen=True)
class Job:
    """A job as its service describes it; `id` is what `logs` and `stop` take, and unique within the kind."""

    kind: str
    id: str
    arn: str
    status: str
    started: datetime
    ended: datetime | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)
    instances: int = 1
    reason: str = ""

    @property
    def is_over(self) -> bool:
        """Whether the job has ended."""
        return self.status in ENDED

    @property
    def names(self) -> tuple[str, ...]:
        """The names that find the job: its id, its ARN, and the id without the parent's name."""
        return (self.id, self.arn, self.id.rpartition(":")[2])

    def seconds(self, now: datetime | None = None) -> float:
        """Return how long the job has taken, or takes by now."""
        until = self.ended or now or datetime.now(UTC)
        return max(0.0, (until - self.started).total_seconds())

    def to_json(self, processes: Mapping[str, int] | None, log: Sequence[str]) -> dict[str, Any]:
        """Return the job as `jobs --json` prints it; the README of a project documents the members.

        `processes` are those of the job's instances, or None where nobody knows them.
        """
        return {
            "type": self.kind,
            "id": self.id,
            "arn": self.arn,
            "state": self.status,
            "started": _iso(self.started),
            "ended": _iso(self.ended) if self.ended else None,
            "seconds": round(self.seconds(), 1),
            "processes": None if processes is None else dict(processes),
            "parameters": dict(self.parameters),
            "reason": self.reason,
            "log": list(log),
        }


@dataclass
class Known:
    """The jobs that have been read, by ARN or id."""

    jobs: dict[str, Job] = field(default_factory=dict)

    def ended(self, name: str) -> Job | None:
        """Return the job, if it is known and has ended: it does not change any more."""
        job = self.jobs.get(name)
        return job if job and job.is_over else None

    def add(self, job: Job) -> None:
        """Keep a job."""
        self.jobs[job.arn or job.id] = self.jobs[job.id] = job


def _iso(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
