"""Jobs of every kind: processes with their own /opt/ml trees, from the download to the upload."""

from __future__ import annotations

import logging
import shutil
import threading
from abc import ABC, abstractmethod
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from localcloud.core import disk_errors, kept, ministack
from localcloud.core.clock import STOP_GRACE, floor_millisecond, now
from localcloud.core.errors import ServiceError, validation_error
from localcloud.core.object_store import DataError
from localcloud.core.service import Kept
from localcloud.services.sagemaker import images, scripts
from localcloud.services.sagemaker.errors import resource_in_use, resource_limit_exceeded
from localcloud.services.sagemaker.hosts import MAX_INSTANCES, create_hosts
from localcloud.services.sagemaker.logs import LogForwarder
from localcloud.services.sagemaker.pagination import list_resources

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from localcloud.core.context import CloudContext
    from localcloud.core.managed_process import ManagedProcess
    from localcloud.core.service import Json, Operation
    from localcloud.services.sagemaker.hosts import Host
    from localcloud.services.sagemaker.scripts import Program
    from localcloud.services.sagemaker.tags import Tags

logger = logging.getLogger(__name__)
ENDED = ("Completed", "Failed", "Stopped")
# On AWS a container has two minutes to end; ten seconds are enough on a developer's machine. At a higher
# speed two minutes of the cloud are fewer, but no container can end in less than a second: at a speed above
# 120 that second is more than two minutes of the cloud.
LOCAL_STOP_GRACE = 10.0
SHORTEST_STOP_GRACE = 1.0
CLOSE_GRACE = 2.0
MAX_REASON_LENGTH = 1024
KILLED = 137


class Job(ABC):
    """One job: a thread that downloads its inputs, runs the processes, and uploads their outputs."""

    kind: ClassVar[str]
    member: ClassVar[str]
    noun: ClassVar[str]
    summary_members: ClassVar[tuple[str, ...]]
    # The attributes that outlive the cloud, besides the request.
    kept: ClassVar[tuple[str, ...]] = ("created", "modified", "started", "ended", "status", "reason")

    def __init__(self, context: CloudContext, request: Json) -> None:
        """Take a request; `begin` starts the job."""
        self.context, self.request = context, request
        self.name: str = request[f"{self.member}Name"]
        self.arn = context.arn("sagemaker", f"{self.kind}/{self.name}")
        self.folder = context.state / "jobs" / self.name
        self.hosts = create_hosts(context, self.name, self.cluster())
        self.created = self.modified = now()
        self.started: float | None = None
        self.ended: float | None = None
        self.status = "InProgress"
        self.reason: str | None = None
        self.finished = threading.Event()
        self._lock = threading.RLock()
        self._stopping: str | None = None
        self._failed: Host | None = None
        self._timers: list[threading.Timer] = []
        streams = {f"{self.name}/{host.name}-{int(self.created)}": host.log for host in self.hosts}
        self._logs = LogForwarder(f"/aws/sagemaker/{self.member}s", context.region, streams)

    def check(self) -> None:  # noqa: B027 - not every kind of job has rules of its own
        """Check that the local cloud can run the request.

        Raises:
            ServiceError: it can't.
        """

    @abstractmethod
    def cluster(self) -> Json:
        """Return the request's settings of the instances."""

    @abstractmethod
    def program(self) -> Program:
        """Return what the request says about the program of its processes."""

    @abstractmethod
    def environment(self) -> dict[str, str]:
        """Return the job's own environment variables."""

    @abstractmethod
    def prepare(self) -> None:
        """Write configuration and inputs into each instance's tree."""

    @abstractmethod
    def publish(self) -> None:
        """Upload the outputs of a completed job."""

    def publish_stopped(self) -> None:  # noqa: B027 - not every kind of job does this
        """Upload the outputs of a stopped job."""

    @abstractmethod
    def failure(self, host: Host) -> str:
        """Return the failure reason of an instance whose exit code is not 0."""

    @abstractmethod
    def describe(self) -> Json:
        """Return the answer of the Describe operation."""

    def record_stage(self, stage: str, message: str = "") -> None:  # noqa: B027 - not every kind of job does this
        """Record that a stage has begun."""

    def begin(self) -> None:
        """Start the job in a thread of its own."""
        self.announce()
        self._activity = self.context.activities.begin(code=True)
        threading.Thread(target=ministack.in_context(self._run), name=self.name, daemon=True).start()

    def stop(self, stage: str = "Stopped", grace: float = LOCAL_STOP_GRACE) -> None:
        """End the processes, and kill them after at most `grace` seconds; `stage` is the job's last stage."""
        with self._lock:
            if self._stopping or self.status != "InProgress":
                return
            self._stopping, self.status = stage, "Stopping"
            self.record_stage("Stopping")
            self.announce()
            self._end(min(grace, self.stop_grace()))

    def kill(self) -> None:
        """End the job at once, since the cloud ends."""
        self.stop(grace=CLOSE_GRACE)
        self.finished.wait(CLOSE_GRACE + 1.0)

    def announce(self) -> None:
        """Send the state-change event."""
        detail = milliseconds(self.describe())
        detail_type = f"SageMaker {self.noun.title()} State Change"
        ministack.put_event("aws.sagemaker", detail_type, detail, [self.arn])

    def saved(self) -> Json:
        """Return what of the job outlives the cloud."""
        return {"kind": type(self).__name__, "request": self.request, **kept.attributes(self, self.kept)}

    def restore(self, saved: Json) -> None:
        """Take what `saved` returned in an earlier cloud, which has ended the job if it ran."""
        kept.restore(self, self.kept, saved)
        if self.status not in ENDED:
            self.status, self.reason = "Failed", f"InternalServerError: {kept.STOPPED}"
            self.ended = self.modified = max(self.modified, self._last_written())
            self.record_stage("Failed", self.reason)
        self.finished.set()

    def _last_written(self) -> float:
        """Return when the job last wrote to a log: nobody recorded the moment at which its cloud ended."""
        logs = [host.log for host in self.hosts if host.log.exists()]
        return max((floor_millisecond(log.stat().st_mtime) for log in logs), default=0.0)

    def _run(self) -> None:
        with ministack.scope(self.context.region):
            try:
                with disk_errors.named(self.folder):
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
        self._logs.begin()
        self.record_stage("Downloading")
        shutil.rmtree(self.folder, ignore_errors=True)
        for host in self.hosts:
            host.folder.mkdir(parents=True)
        self.prepare()
        program = self.program()
        for host in self.hosts:
            host.script = scripts.prepare(self.context, program, host.folder, host.log)
        self.record_stage("Training", self._training_message(program.image))
        self._execute()
        if self._stopping:
            if all(host.code not in (None, KILLED) for host in self.hosts):
                self.publish_stopped()
            return "Stopped", None
        if self._failed:
            return "Failed", f"{self.failure(self._failed)}{disk_errors.shortage(self.folder)}"[
                :MAX_REASON_LENGTH
            ]
        self.record_stage("Uploading")
        self.publish()
        return "Completed", None

    def _training_message(self, image: str) -> str:
        note = images.note(self.context, image)
        return f"{note} Training in progress." if note else ""

    def _execute(self) -> None:
        with self._lock:
            if self._stopping:
                return
            self.started = now()
            for host in self.hosts:
                host.child = self._spawn(host)
            self._after(self.max_seconds(), lambda: self.stop("MaxRuntimeExceeded"))
        with ThreadPoolExecutor(len(self.hosts)) as pool:
            list(pool.map(self._watch, self.hosts))
        self.ended = now()

    def _spawn(self, host: Host) -> ManagedProcess:
        program, variables = self.program(), self.environment()
        if host.script:
            return scripts.start(program, host.script, variables, host.log)
        command = [*self.context.entrypoint(), *program.arguments]
        return self.context.spawn(command, host.folder, variables, host.log)

    def _watch(self, host: Host) -> None:
        """Wait for an instance; the first that fails ends the others."""
        code = host.wait()
        with self._lock:
            if code and not self._stopping and not self._failed:
                self._failed = host
                self._end(self.stop_grace())

    def max_seconds(self) -> float:
        """Return the user's own limit of the job's seconds, which the clock does not scale."""
        return float(self.request.get("StoppingCondition", {}).get("MaxRuntimeInSeconds", 86400))

    def stop_grace(self) -> float:
        """Return this machine's seconds between SIGTERM and SIGKILL: 120 of the cloud's, but from 1 to 10."""
        scaled = self.context.clock.seconds(STOP_GRACE)
        return min(LOCAL_STOP_GRACE, max(SHORTEST_STOP_GRACE, scaled))

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
        self._logs.close()
        with self._lock:
            for timer in self._timers:
                timer.cancel()
            for host in self.hosts:
                host.close()
            if self._stopping and status == "Completed":
                status = "Stopped"
            self.ended = self.ended or now()
            self.status, self.reason = status, reason
            self.record_stage(
                self._stopping if status == "Stopped" and self._stopping else status, reason or ""
            )
        self.announce()
        if status == "Completed" or disk_errors.shortage(self.folder):
            # A completed job's outputs are in S3. A failed job's files stay for its owner to read, unless
            # the disk is full.
            shutil.rmtree(self.folder, ignore_errors=True)
        self.finished.set()
        self._activity.end()


@dataclass
class Quota:
    """The limit of instances that run at once, for jobs of all kinds."""

    jobs: list[Job] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def take(self, job: Job) -> None:
        """Count a job's instances until the job has finished.

        Raises:
            ServiceError: more instances would run at once than the limit.
        """
        with self.lock:
            self.jobs = [each for each in self.jobs if not each.finished.is_set()]
            used = sum(len(each.hosts) for each in self.jobs)
            if used + len(job.hosts) > MAX_INSTANCES:
                raise resource_limit_exceeded(
                    f"The local cloud runs at most {MAX_INSTANCES} instances at once: {used} run, and"
                    f" {job.name} needs {len(job.hosts)}. Wait until a job has ended, or lower InstanceCount."
                )
            self.jobs.append(job)


@dataclass
class Jobs:
    """The jobs of one kind, and the operations on them."""

    context: CloudContext
    tags: Tags
    job_class: type[Job]
    quota: Quota
    jobs: dict[str, Any] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def operations(self) -> dict[str, Operation]:
        """Return the operations on the jobs."""
        member = self.job_class.member
        return {
            f"Create{member}": self.create,
            f"Describe{member}": self.describe,
            f"List{member}s": self.list,
            f"Stop{member}": self.stop,
            f"Delete{member}": self.delete,
        }

    def kept(self) -> dict[str, Kept]:
        """Return how the jobs outlive the cloud."""
        noun = f"{self.job_class.noun}s"
        return {noun: Kept(self._save, self._load, noun=noun)}

    def _save(self) -> list[Json]:
        return [job.saved() for job in kept.newest(self.jobs.values())]

    def _load(self, saved: list[Json]) -> None:
        kinds = {each.__name__: each for each in (self.job_class, *self.job_class.__subclasses__())}
        for each in saved:
            job = kinds[each["kind"]](self.context, each["request"])
            job.restore(each)
            self.jobs[job.name] = job

    def create(self, request: Json) -> Json:
        """Start a job under a new name."""
        job = self.job_class(self.context, request)
        job.check()
        self.begin(job, request.get("Tags", []))
        return {f"{self.job_class.member}Arn": job.arn}

    def begin(self, job: Job, tags: Iterable[Json]) -> None:
        """Start a job object.

        Raises:
            ServiceError: there is a job of this name, or too many instances would run at once.
        """
        with self.lock:
            if job.name in self.jobs:
                noun = self.job_class.noun
                raise resource_in_use(
                    f"{noun.capitalize()} names must be unique within an AWS account and region, and a "
                    f"{noun} with this name already exists ({job.arn})"
                )
            self.quota.take(job)
            self.jobs[job.name] = job
        self.tags.set(job.arn, tags)
        job.begin()

    def describe(self, request: Json) -> Json:
        """Describe a job."""
        return dict(self.find(request).describe())

    def find(self, request: Json) -> Job:
        """Return the job that a request names.

        Raises:
            ServiceError: the job does not exist.
        """
        job: Job | None = self.jobs.get(request[f"{self.job_class.member}Name"])
        if job is None:
            raise validation_error("Requested resource not found.")
        return job

    def list(self, request: Json) -> Json:
        """List jobs."""
        member = self.job_class.member
        descriptions = [job.describe() for job in list(self.jobs.values())]
        shown = (f"{member}Status", "LastModifiedTime", *self.job_class.summary_members)
        return list_resources(request, descriptions, member, f"{member}Summaries", shown)

    def stop(self, request: Json) -> Json:
        """Stop a running job.

        Raises:
            ServiceError: the job does not exist, or has ended.
        """
        job = self.find(request)
        if job.status in ENDED:
            raise validation_error(
                f"The request was rejected because the {self.job_class.noun} is in status {job.status}."
            )
        job.stop()
        return {}

    def delete(self, request: Json) -> Json:
        """Delete a job that has ended.

        Raises:
            ServiceError: the job does not exist, or has not ended.
        """
        job = self.find(request)
        if job.status not in ENDED:
            raise validation_error(
                f"The {self.job_class.noun} {job.arn} is in status {job.status} and can't be deleted."
            )
        with self.lock:
            self.jobs.pop(job.name, None)
        self.tags.drop(job.arn)
        shutil.rmtree(job.folder, ignore_errors=True)
        return {}

    def processes(self) -> dict[str, dict[str, int]]:
        """Return the process ids of each running job, by instance."""
        running = [job for job in list(self.jobs.values()) if not job.finished.is_set()]
        return {job.arn: {host.name: host.pid for host in job.hosts if host.pid} for job in running}

    def close(self) -> None:
        """End every job."""
        running = [job for job in list(self.jobs.values()) if job.status not in ENDED]
        closing = [threading.Thread(target=ministack.in_context(job.kill)) for job in running]
        for thread in closing:
            thread.start()
        for thread in closing:
            thread.join()


def milliseconds(description: Any) -> Any:
    """Return a description with its times in epoch milliseconds, as events and state machines have them."""
    if isinstance(description, dict):
        return {
            key: int(value * 1000)
            if key.endswith("Time") and isinstance(value, float)
            else milliseconds(value)
            for key, value in description.items()
        }
    return [milliseconds(value) for value in description] if isinstance(description, list) else description
