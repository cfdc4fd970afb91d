"""All kinds of jobs, and the search for one job among them."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from botocore.exceptions import BotoCoreError, ClientError

from delivery.cloud import UNREACHABLE, DeliveryError
from delivery.hints import also_meant, find_named
from delivery.jobs.builds import Builds
from delivery.jobs.executions import MachineExecutions, PipelineExecutions
from delivery.jobs.job import Known
from delivery.jobs.sagemaker import PROCESSING, TRAINING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from delivery.cloud import Cloud
    from delivery.jobs.job import Job

POLL_SECONDS = 0.2
MOST_CANDIDATES = 5


class Kind(Protocol):
    """A kind of jobs, with the operations of its service."""

    @property
    def kind(self) -> str:
        """The word that a person reads."""

    def all(self, cloud: Cloud, known: Known) -> Iterator[Job]:
        """Yield every job; those of `known` that have ended are not described again."""

    def read(self, cloud: Cloud, job: Job) -> Job | None:
        """Return a job as it is now, or None when it does not exist any more."""

    def stop(self, cloud: Cloud, job: Job) -> None:
        """Stop a job; nothing happens to one that has just ended."""

    def log_streams(self, job: Job) -> tuple[str, str] | None:
        """Return the group of CloudWatch Logs and the prefix of the job's streams; None if it has no log."""


KINDS: tuple[Kind, ...] = (TRAINING, PROCESSING, Builds(), PipelineExecutions(), MachineExecutions())
OF_JOBS = {**{one.kind: one for one in KINDS}, "monitoring": PROCESSING}


@dataclass
class Jobs:
    """The jobs of a cloud, read again at each call."""

    cloud: Cloud
    lenient: bool = False  # a service that does not answer is named in `missing`, and the others are read
    missing: dict[str, str] = field(default_factory=dict)
    _known: Known = field(default_factory=Known)

    def all(self) -> list[Job]:
        """Return the jobs of all kinds, the earliest first.

        Raises:
            DeliveryError: no service answers.
        """
        found = [job for kind in KINDS for job in self._of(kind)]
        if len(self.missing) == len(KINDS):
            raise DeliveryError(f"No service lists jobs here; the first says: {self.missing[KINDS[0].kind]}")
        for job in found:
            self._known.add(job)
        return sorted(found, key=lambda job: job.started)

    def _of(self, kind: Kind) -> list[Job]:
        try:
            return list(kind.all(self.cloud, self._known))
        except UNREACHABLE:
            raise
        except (ClientError, BotoCoreError) as error:
            if not self.lenient:
                raise
            self.missing[kind.kind] = str(error)
            return []

    def read(self, job: Job) -> Job | None:
        """Return a job as it is now, or None when it does not exist any more."""
        return OF_JOBS[job.kind].read(self.cloud, job)

    def find(self, name: str) -> Job:
        """Return the job of a name: its id, its ARN, the id without the parent's name, or a part of one id.

        Raises:
            DeliveryError: no job has such a name, or several have.
        """
        return self.only(name, self.candidates(name))

    def candidates(self, name: str) -> list[Job]:
        """Return the jobs that have the name, or where none has it those whose id contains it."""
        return find_named(name, self.all(), lambda job: job.names)

    def only(self, name: str, candidates: Sequence[Job]) -> Job:
        """Return the one job that a name finds.

        Raises:
            DeliveryError: there is none, or there are several.
        """
        if not candidates:
            hint = also_meant(name, (job.id for job in self.all()))
            raise DeliveryError(f"A job {name!r} does not exist; 'python -m local jobs' lists the jobs{hint}")
        if len(candidates) > 1:
            listed = ", ".join(f"{job.kind} {job.id}" for job in candidates[-MOST_CANDIDATES:])
            raise DeliveryError(
                f"{name!r} names {len(candidates)} jobs, such as {listed}: write the whole id."
            )
        return candidates[0]

    def named_after(self, execution: Job) -> list[Job]:
        """Return the training and processing jobs with an execution's name in theirs, the earliest first."""
        name = execution.id.rpartition(":")[2]
        found = [job for kind in (PROCESSING, TRAINING) for job in kind.all(self.cloud, self._known, name)]
        for job in found:
            self._known.add(job)
        return sorted(found, key=lambda job: job.started)

    def stop(self, job: Job) -> Job:
        """Stop a job by its service's operation, wait for its end, and return it as it is then.

        Raises:
            DeliveryError: the job does not exist any more.
        """
        if not job.is_over:
            OF_JOBS[job.kind].stop(self.cloud, job)
        while not job.is_over:
            time.sleep(POLL_SECONDS)
            now = self.read(job)
            if now is None:
                raise DeliveryError(f"{job.id} does not exist any more: it was deleted while it was stopped.")
            job = now
        return job
