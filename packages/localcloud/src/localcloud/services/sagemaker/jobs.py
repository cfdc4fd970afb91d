"""What all jobs have in common: processes with /opt/ml trees of their own, from start to artefact."""

from __future__ import annotations

import logging
import shutil
import threading
from abc import ABC, abstractmethod
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from localcloud.core import disk_errors, ministack
from localcloud.core.clock import STOP_GRACE, now
from localcloud.core.errors import ServiceError, validation_error
from localcloud.core.object_store import DataError
from localcloud.services.sagemaker.hosts import Quota, hosts_of
from localcloud.services.sagemaker.tags import Tags, listed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from localcloud.core.context import CloudContext
    from localcloud.core.service import Json
    from localcloud.services.sagemaker.hosts import Host

logger = logging.getLogger(__name__)
ENDED = ("Completed", "Failed", "Stopped")
# On AWS a container has two minutes to end; a person at a laptop is less patient.
LOCAL_STOP_GRACE = 10.0
CLOSE_GRACE = 2.0
REASON_LENGTH = 1024
KILLED = 137


class Job(ABC):
    """One job: a thread that downloads, runs the processes, uploads, and says at each step where it is."""

    kind: ClassVar[str]
    member: ClassVar[str]
    noun: ClassVar[str]
    summarised: ClassVar[tuple[str, ...]]

    def __init__(self, context: CloudContext, request: Json) -> None:
        """Take a valid request; `begin` starts it."""
        self.context, self.request = context, request
        self.name: str = request[f"{self.member}Name"]
        self.arn = context.arn("sagemaker", f"{self.kind}/{self.name}")
        self.base = context.state / "jobs" / self.name
        self.hosts = hosts_of(context, self.name, self.cluster())
        self.created = self.modified = now()
        self.started: float | None = None
        self.ended: float | None = None
        self.status = "InProgress"
        self.reason: str | None = None
        self.over = threading.Event()
        self._lock = threading.RLock()
        self._stopping: str | None = None
        self._failed: Host | None = None
        self._timers: list[threading.Timer] = []

    @abstractmethod
    def cluster(self) -> Json:
        """Return what the request says of the instances."""

    @abstractmethod
    def command(self) -> list[str]:
        """Return the command that runs."""

    @abstractmethod
    def environment(self) -> dict[str, str]:
        """Return the job's own environment variables."""

    @abstractmethod
    def prepare(self) -> None:
        """Write configuration and inputs into each instance's tree."""

    @abstractmethod
    def publish(self) -> None:
        """Upload what a completed job has written."""

    def salvage(self) -> None:  # noqa: B027 - what not every kind of job does
        """Upload what a stopped job leaves."""

    @abstractmethod
    def failure(self, host: Host) -> str:
        """Return the reason why an instance has ended with another exit code than 0."""

    @abstractmethod
    def describe(self) -> Json:
        """Return what Describe answers."""

    def entered(self, stage: str, message: str = "") -> None:  # noqa: B027 - likewise
        """Note that a stage has begun."""

    def begin(self) -> None:
        """Start the job in a thread of its own."""
        self.announce()
        threading.Thread(target=ministack.in_context(self._run), name=self.name, daemon=True).start()

    def stop(self, stage: str = "Stopped", grace: float = LOCAL_STOP_GRACE) -> None:
        """Ask the processes to end, kill them after `grace` seconds; the job ends as Stopped, by `stage`."""
        with self._lock:
            if self._stopping or self.status != "InProgress":
                return
            self._stopping, self.status = stage, "Stopping"
            self.entered("Stopping")
            self.announce()
            self._end(min(grace, STOP_GRACE))

    def kill(self) -> None:
        """End the job at once, when the cloud ends."""
        self.stop(grace=CLOSE_GRACE)
        self.over.wait(CLOSE_GRACE + 1.0)

    def announce(self) -> None:
        """Send the state-change event."""
        detail = milliseconds(self.describe())
        detail_type = f"SageMaker {self.noun.title()} State Change"
        ministack.put_event("aws.sagemaker", detail_type, detail, [self.arn])

    def _run(self) -> None:
        with ministack.scope(self.context.region):
            try:
                with disk_errors.named(self.base):
                    status, reason = self._stages()
            except DataError as error:
                status, reason = "Failed", f"ClientError: {error}"
            except ServiceError as error:
                status, reason = "Failed", f"ClientError: {error.message}"
            except OSError as error:
                logger.exception("%s failed", self.name)
                status, reason = "Failed", f"InternalServerError: {disk_errors.explained(error)}"
            except Exception as error:
                logger.exception("%s failed", self.name)
                status, reason = "Failed", f"InternalServerError: {type(error).__name__}: {error}"
            self._finish(status, reason)

    def _stages(self) -> tuple[str, str | None]:
        for host in self.hosts:
            host.log.parent.mkdir(parents=True, exist_ok=True)
            host.log.write_bytes(b"")
        self.entered("Downloading")
        shutil.rmtree(self.base, ignore_errors=True)
        for host in self.hosts:
            host.base.mkdir(parents=True)
        self.prepare()
        self.entered("Training")
        self._execute()
        if self._stopping:
            if all(host.code not in (None, KILLED) for host in self.hosts):
                self.salvage()
            return "Stopped", None
        if self._failed:
            return "Failed", f"{self.failure(self._failed)}{disk_errors.shortage(self.base)}"[:REASON_LENGTH]
        self.entered("Uploading")
        self.publish()
        return "Completed", None

    def _execute(self) -> None:
        with self._lock:
            if self._stopping:
                return
            self.started = now()
            for host in self.hosts:
                host.child = self.context.spawn(self.command(), host.base, self.environment(), host.log)
            self._after(self.limit(), lambda: self.stop("MaxRuntimeExceeded"))
        with ThreadPoolExecutor(len(self.hosts)) as pool:
            list(pool.map(self._watch, self.hosts))
        self.ended = now()

    def _watch(self, host: Host) -> None:
        """Wait for an instance; the first that fails ends the others."""
        code = host.wait()
        with self._lock:
            if code and not self._stopping and not self._failed:
                self._failed = host
                self._end(LOCAL_STOP_GRACE)

    def limit(self) -> float:
        """Return the seconds that the process may run: the user's own limit, which no clock scales."""
        return float(self.request.get("StoppingCondition", {}).get("MaxRuntimeInSeconds", 86400))

    def _end(self, grace: float) -> None:
        for host in self.hosts:
            host.terminate()
            self._after(grace, host.kill)

    def _after(self, seconds: float, act: Callable[[], None]) -> None:
        timer = threading.Timer(seconds, ministack.in_context(act))
        timer.daemon = True
        timer.start()
        self._timers.append(timer)

    def _finish(self, status: str, reason: str | None) -> None:
        with self._lock:
            for timer in self._timers:
                timer.cancel()
            for host in self.hosts:
                host.kill()
            if self._stopping and status == "Completed":
                status = "Stopped"
            self.ended = self.ended or now()
            self.status, self.reason = status, reason
            self.entered(self._stopping if status == "Stopped" and self._stopping else status, reason or "")
        self.announce()
        if status == "Completed" or disk_errors.shortage(self.base):
            # A completed job's is in S3. What a failed one leaves is looked into, unless the disk is full.
            shutil.rmtree(self.base, ignore_errors=True)
        self.over.set()


@dataclass
class Jobs:
    """The jobs of one kind, and the operations on them."""

    context: CloudContext
    tags: Tags
    make: type[Job]
    quota: Quota
    jobs: dict[str, Any] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def create(self, request: Json) -> Json:
        """Start a job; its name must be new."""
        job = self.make(self.context, request)
        self.begin(job, request.get("Tags", []))
        return {f"{self.make.member}Arn": job.arn}

    def begin(self, job: Job, tags: Iterable[Json]) -> None:
        """Start a job that was made, under a new name."""
        with self.lock:
            if job.name in self.jobs:
                noun = self.make.noun
                raise ServiceError(
                    "ResourceInUse",
                    f"{noun.capitalize()} names must be unique within an AWS account and region, and a "
                    f"{noun} with this name already exists ({job.arn})",
                )
            self.quota.take(job)
            self.jobs[job.name] = job
        self.tags.set(job.arn, tags)
        job.begin()

    def describe(self, request: Json) -> Json:
        """Describe a job."""
        return dict(self.find(request).describe())

    def find(self, request: Json) -> Job:
        """Return the job that a request names."""
        job: Job | None = self.jobs.get(request[f"{self.make.member}Name"])
        if job is None:
            raise validation_error("Requested resource not found.")
        return job

    def list(self, request: Json) -> Json:
        """List jobs."""
        member = self.make.member
        descriptions = [job.describe() for job in list(self.jobs.values())]
        shown = (f"{member}Status", "LastModifiedTime", *self.make.summarised)
        return listed(request, descriptions, member, f"{member}Summaries", shown)

    def stop(self, request: Json) -> Json:
        """Stop a job that runs."""
        job = self.find(request)
        if job.status in ENDED:
            raise validation_error(
                f"The request was rejected because the {self.make.noun} is in status {job.status}."
            )
        job.stop()
        return {}

    def delete(self, request: Json) -> Json:
        """Forget a job that has ended."""
        job = self.find(request)
        if job.status not in ENDED:
            raise validation_error(
                f"The {self.make.noun} {job.arn} is in status {job.status} and can't be deleted."
            )
        with self.lock:
            self.jobs.pop(job.name, None)
        self.tags.drop(job.arn)
        shutil.rmtree(job.base, ignore_errors=True)
        return {}

    def close(self) -> None:
        """End every job."""
        running = [job for job in list(self.jobs.values()) if job.status not in ENDED]
        closing = [threading.Thread(target=ministack.in_context(job.kill)) for job in running]
        for thread in closing:
            thread.start()
        for thread in closing:
            thread.join()


def milliseconds(description: Any) -> Any:
    """Return a description with times in milliseconds, as events and state machines have them."""
    if isinstance(description, dict):
        return {
            key: int(value * 1000)
            if key.endswith("Time") and isinstance(value, float)
            else milliseconds(value)
            for key, value in description.items()
        }
    return [milliseconds(value) for value in description] if isinstance(description, list) else description
