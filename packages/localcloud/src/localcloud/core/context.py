"""The context of each service of the local cloud: directories, names, containers."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from localcloud.core import account, private_files
from localcloud.core.errors import validation_error
from localcloud.core.timers import Timers
from localcloud.core.warm_pool import WarmPool

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from localcloud.core.activity import Activities
    from localcloud.core.clock import Clock
    from localcloud.core.managed_process import ManagedProcess
    from localcloud.core.project import Project

ENTRYPOINT = re.compile(r"^ENTRYPOINT\s+(\[[^\n]*\])\s*$", re.MULTILINE | re.IGNORECASE)
PYTHON = re.compile(r"python(3(\.\d+)?)?")


@dataclass(frozen=True)
class CloudContext:
    """The project, the timers of its cloud, and the processes that wait for its jobs."""

    project: Project
    timers: Timers = field(default_factory=Timers)
    pool: WarmPool = field(init=False)

    def __post_init__(self) -> None:
        """Make the pool of the project's processes."""
        object.__setattr__(self, "pool", WarmPool(self.project))

    @classmethod
    def create(cls, project: Project, timers: Timers) -> CloudContext:
        """Return the context, with the remains of a killed cloud's jobs and endpoints removed; logs stay."""
        for name in ("jobs", "endpoints", "builds", "s3", "state", "tmp", "kept.deleted"):
            shutil.rmtree(project.state / name, ignore_errors=True)
        private_files.folder(project.state, "tmp")
        return cls(project, timers)

    @property
    def clock(self) -> Clock:
        """The clock on which AWS's waits pass."""
        return self.timers.clock

    @property
    def activities(self) -> Activities:
        """What runs in the cloud now."""
        return self.timers.activities

    @property
    def state(self) -> Path:
        """The directory of everything that the cloud writes."""
        return self.project.state

    @property
    def region(self) -> str:
        """The region that names and ARNs have."""
        return self.project.region

    def arn(self, service: str, resource: str) -> str:
        """Return the ARN of a resource (`training-job/name`) of a service."""
        return f"arn:aws:{service}:{self.region}:{account.ACCOUNT}:{resource}"

    def entrypoint(self) -> list[str]:
        """Return the command of the Dockerfile's ENTRYPOINT, with this Python for `python`.

        Raises:
            ServiceError: the Dockerfile can't be read, or has no such line.
        """
        dockerfile = self.project.dockerfile
        try:
            commands = ENTRYPOINT.findall(dockerfile.read_text(encoding="utf-8"))
            return with_python(json.loads(commands[-1]), Path(sys.executable))
        except (OSError, IndexError, ValueError):
            raise validation_error(
                f'{dockerfile} needs a line ENTRYPOINT ["python", …] in JSON form'
            ) from None

    def spawn(
        self,
        command: Sequence[str],
        base: Path,
        variables: Mapping[str, str],
        log: Path,
        *,
        cwd: Path | None = None,
    ) -> ManagedProcess:
        """Start a command with `base` for /opt/ml, in the project or in another folder."""
        environment = account.for_job(os.environ, base, {**variables, "SAGEMAKER_BASE_DIR": str(base)})
        environment["TMPDIR"] = str(self.state / "tmp")
        return self.pool.start(command, cwd or self.project.root, environment, log)


def with_python(command: Sequence[str], python: Path) -> list[str]:
    """Return the command with a Python of this machine in place of the image's."""
    first, *rest = command
    return [str(python) if PYTHON.fullmatch(Path(first).name) else first, *rest]
