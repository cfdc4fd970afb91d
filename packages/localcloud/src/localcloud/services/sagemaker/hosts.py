"""The instances of a job: as many processes, each with its own /opt/ml tree, log and share of the data."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from localcloud.core import object_store
from localcloud.core.errors import ServiceError, validation_error

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from localcloud.core.context import CloudContext
    from localcloud.core.managed_process import ManagedProcess
    from localcloud.core.object_store import Object
    from localcloud.core.service import Json
    from localcloud.services.sagemaker.jobs import Job

# As many as project.toml takes. On AWS each is a machine, here all share one.
MOST = 20
SHARED = "ShardedByS3Key"


@dataclass(eq=False)
class Host:
    """One instance: its name, where its files and its log are, and its process."""

    name: str
    base: Path
    log: Path
    child: ManagedProcess | None = None
    code: int | None = None

    def path(self, local_path: str) -> Path:
        """Return where a path of the container (`/opt/ml/…`) stands in the instance's tree."""
        return base_path(self.base, local_path)

    def read(self, name: str) -> str:
        """Return the text of a file below /opt/ml, stripped; the empty text without one."""
        path = self.base / name
        return path.read_text(encoding="utf-8", errors="replace").strip() if path.is_file() else ""

    def wait(self) -> int | None:
        """Wait for the process, and return its exit code; None when none was started."""
        self.code = self.child.wait() if self.child else None
        return self.code

    def terminate(self) -> None:
        """Ask the process to end."""
        if self.child:
            self.child.terminate()

    def kill(self) -> None:
        """Kill what still runs."""
        if self.child and self.child.running:
            self.child.kill()


def hosts_of(context: CloudContext, job: str, cluster: Json) -> tuple[Host, ...]:
    """Return the instances that a job asks for, named as SageMaker names them; refuse too many."""
    if "InstanceGroups" in cluster:
        raise validation_error("The local cloud takes InstanceType and InstanceCount, not InstanceGroups.")
    count = cluster.get("InstanceCount", 1)
    if count > MOST:
        raise validation_error(
            f"InstanceCount is {count}: the local cloud runs at most {MOST} instances at once, each a process"
            " of this machine. Lower it."
        )
    trees, logs = context.state / "jobs" / job, context.state / "logs" / "jobs" / job
    names = [f"algo-{number}" for number in range(1, count + 1)]
    return tuple(Host(name, trees / name, logs / f"{name}.log") for name in names)


@dataclass
class Quota:
    """The instances that run at once, of all kinds of jobs."""

    jobs: list[Job] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def take(self, job: Job) -> None:
        """Count a job's instances until it is over; refuse those that are too many beside what runs."""
        with self.lock:
            self.jobs = [each for each in self.jobs if not each.over.is_set()]
            used = sum(len(each.hosts) for each in self.jobs)
            if used + len(job.hosts) > MOST:
                raise ServiceError(
                    "ResourceLimitExceeded",
                    f"The local cloud runs at most {MOST} instances at once: {used} run, and {job.name}"
                    f" needs {len(job.hosts)}. Wait until a job has ended, or lower InstanceCount.",
                )
            self.jobs.append(job)


def deliver(source: Json, hosts: Sequence[Host], local_path: str) -> None:
    """Download an S3 source to each instance: all of it, or an nth of its objects.

    AWS promises no more of ShardedByS3Key than that; here the objects are dealt in turn, in their order. They
    are listed once, so that all instances go by one list while objects come and go.
    """
    objects = objects_of(source["S3DataType"])(source["S3Uri"])
    sharded = source.get("S3DataDistributionType") == SHARED
    for place, host in enumerate(hosts):
        into = host.path(local_path)
        into.mkdir(parents=True, exist_ok=True)
        object_store.download(objects[place :: len(hosts)] if sharded else objects, into)


def objects_of(data_type: str) -> Callable[[str], list[Object]]:
    """Return the function that lists a kind of S3 data."""
    known: dict[str, Any] = {"S3Prefix": object_store.of_prefix, "ManifestFile": object_store.of_manifest}
    if data_type not in known:
        raise object_store.DataError(f"the local cloud has no S3DataType {data_type}")
    found: Callable[[str], list[Object]] = known[data_type]
    return found


def base_path(base: Path, local_path: str) -> Path:
    """Return where a path of the container (`/opt/ml/…`) stands in a tree."""
    inner = local_path.removeprefix("/opt/ml").lstrip("/")
    target = (base / inner).resolve()
    if not local_path.startswith("/opt/ml/") or not target.is_relative_to(base.resolve()):
        raise validation_error(f"LocalPath {local_path} must be below /opt/ml/ for the local cloud")
    return target
