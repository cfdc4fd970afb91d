"""The instances of a job: a process each, with its own /opt/ml tree, log and share of the data."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from localcloud.core import object_store
from localcloud.core.errors import validation_error

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from localcloud.core.context import CloudContext
    from localcloud.core.managed_process import ManagedProcess
    from localcloud.core.object_store import Object
    from localcloud.core.service import Json
    from localcloud.services.sagemaker.scripts import Script

# project.toml takes as many. On AWS each instance is a machine, here all share one.
MAX_INSTANCES = 20
SHARED = "ShardedByS3Key"


@dataclass(eq=False)
class Host:
    """One instance: its name, the folder that is its /opt/ml, its log, and its process."""

    name: str
    folder: Path
    log: Path
    child: ManagedProcess | None = None
    code: int | None = None
    script: Script | None = None

    def path(self, local_path: str) -> Path:
        """Return the path in the instance's folder of a path of the container (`/opt/ml/…`)."""
        return path_in(self.folder, local_path)

    def read(self, name: str) -> str:
        """Return the stripped text of a file below /opt/ml; an empty text if the file does not exist."""
        path = self.folder / name
        return path.read_text(encoding="utf-8", errors="replace").strip() if path.is_file() else ""

    def write_json(self, name: str, content: Json) -> None:
        """Write a JSON file below /opt/ml."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content), encoding="utf-8")

    @property
    def pid(self) -> int | None:
        """The id of the process group while it runs."""
        return self.child.pid if self.child and self.child.running else None

    def wait(self) -> int | None:
        """Wait for the process, and return its exit code; None if no process was started."""
        self.code = self.child.wait() if self.child else None
        return self.code

    def terminate(self) -> None:
        """Ask the process to end."""
        if self.child:
            self.child.terminate()

    def kill(self) -> None:
        """Kill the process if it still runs."""
        if self.child and self.child.running:
            self.child.kill()

    def close(self) -> None:
        """Kill the process if it still runs, and remove what its script alone needed."""
        self.kill()
        if self.script:
            self.script.close()


def create_hosts(context: CloudContext, job: str, cluster: Json) -> tuple[Host, ...]:
    """Return the instances of a job, named as SageMaker names them.

    Raises:
        ServiceError: the job asks for instance groups, or for more instances than may run at once.
    """
    if "InstanceGroups" in cluster:
        raise validation_error("The local cloud takes InstanceType and InstanceCount, not InstanceGroups.")
    count = cluster.get("InstanceCount", 1)
    if count > MAX_INSTANCES:
        raise validation_error(
            f"InstanceCount is {count}: the local cloud runs at most {MAX_INSTANCES} instances at once, each"
            " a process of this machine. Lower it."
        )
    trees, logs = context.state / "jobs" / job, context.state / "logs" / "jobs" / job
    names = [f"algo-{number}" for number in range(1, count + 1)]
    return tuple(Host(name, trees / name, logs / f"{name}.log") for name in names)


def deliver(source: Json, hosts: Sequence[Host], local_path: str) -> None:
    """Download an S3 source to each instance: all of it, or a share of its objects if it is sharded.

    AWS does not document how ShardedByS3Key shares the objects; here each instance gets every nth object. The
    objects are listed once, so that all instances have the same list while objects come and go.
    """
    objects = list_function(source["S3DataType"])(source["S3Uri"])
    sharded = source.get("S3DataDistributionType") == SHARED
    for number, host in enumerate(hosts):
        into = host.path(local_path)
        into.mkdir(parents=True, exist_ok=True)
        object_store.download(objects[number :: len(hosts)] if sharded else objects, into)


def list_function(data_type: str) -> Callable[[str], list[Object]]:
    """Return the function that lists the objects of an S3DataType.

    Raises:
        DataError: the local cloud does not have the type.
    """
    functions: dict[str, Callable[[str], list[Object]]] = {
        "S3Prefix": object_store.objects_of_prefix,
        "ManifestFile": object_store.objects_of_manifest,
    }
    if data_type not in functions:
        raise object_store.DataError(f"the local cloud has no S3DataType {data_type}")
    return functions[data_type]


def path_in(folder: Path, local_path: str) -> Path:
    """Return the path of a container's path (`/opt/ml/…`) in a folder that is its /opt/ml.

    Raises:
        ServiceError: the path is outside /opt/ml.
    """
    inner = local_path.removeprefix("/opt/ml").lstrip("/")
    target = (folder / inner).resolve()
    if not local_path.startswith("/opt/ml/") or not target.is_relative_to(folder.resolve()):
        raise validation_error(f"LocalPath {local_path} must be below /opt/ml/ for the local cloud")
    return target
