"""Processes of the container that have imported its libraries before their job is known.

They are for jobs what SageMaker's warm pools are: a job that follows another one soon starts at once. A short
job would spend half of its time on those imports.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from localcloud.core import account, warm_process
from localcloud.core.managed_process import ManagedProcess

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from localcloud.core.project import Preload, Project

# A process waits for so long after the last job has started: it may hold 200 MB of memory.
KEEP_ALIVE_SECONDS = 120.0
KILL_SECONDS = 2.0
# Variables that Python, the loader and libraries read when they start, or are imported.
READ_EARLY = (
    *("PYTHON", "LD_", "DYLD_", "MALLOC_", "GLIBC_", "LANG", "LC_", "TZ"),
    *("OMP_", "GOMP_", "KMP_", "OPENBLAS_", "GOTO_", "BLIS_", "MKL_", "VECLIB_", "RAYON_"),
    *("NUMPY_", "NPY_", "SCIPY_", "SKLEARN_", "JOBLIB_", "LOKY_", "NUMEXPR_", "POLARS_", "ARROW_"),
    *("TF_", "TENSORFLOW_", "KERAS_", "XLA_", "CUDA_", "NVIDIA_", "TORCH_", "PYTORCH_"),
)
MAX_ORDER_BYTES = 60_000  # a pipe takes as many before they are read


@dataclass(frozen=True)
class Waiting:
    """A process that waits at a pipe, and the environment that it has started with."""

    process: ManagedProcess
    pipe: int
    environment: Mapping[str, str]

    def fits(self, environment: Mapping[str, str]) -> bool:
        """Return whether what was read at the start is the same in a job's environment."""
        names = {name for name in {*environment, *self.environment} if name.startswith(READ_EARLY)}
        return all(environment.get(name) == self.environment.get(name) for name in names)

    def become(self, order: Mapping[str, object]) -> bool:
        """Give the process its job; return whether it was there to take it."""
        text = json.dumps(order).encode()
        if len(text) > MAX_ORDER_BYTES or not self.process.running:
            self.end()
            return False
        try:
            with os.fdopen(self.pipe, "wb") as file:
                file.write(text)
        except OSError:
            self.process.kill()
            return False
        return True

    def end(self) -> None:
        """End a process that has no job."""
        self.process.kill()
        self.process.wait(KILL_SECONDS)
        with contextlib.suppress(OSError):
            os.close(self.pipe)


class WarmPool:
    """At most one process for each of the project's preloads; each that gets a job is replaced."""

    def __init__(self, project: Project) -> None:
        """Begin without a process: most clouds run no job."""
        self._project = project
        self._lock = threading.Lock()
        self._waiting: dict[Preload, Waiting] = {}
        self._expiry: threading.Timer | None = None
        self._over = False

    def start(
        self, command: Sequence[str], cwd: Path, environment: Mapping[str, str], log: Path
    ) -> ManagedProcess:
        """Start a command, in a process that waits for such a one where there is one."""
        preload = self._preload(command)
        if preload is None:
            return ManagedProcess(command, cwd, environment, log)
        started = self._take(preload, command, cwd, environment, log)
        started = started or ManagedProcess(command, cwd, environment, log)
        self.fill()
        return started

    def fill(self) -> None:
        """Let a process wait for each kind of job: jobs will follow soon."""
        with self._lock:
            if self._over or not self._project.preloads:
                return
            for preload in self._project.preloads:
                waiting = self._waiting.get(preload)
                if waiting is None or not waiting.process.running:
                    with contextlib.suppress(OSError):  # the next job gets a process of its own
                        self._waiting[preload] = self._begin(preload)
            if self._expiry:
                self._expiry.cancel()
            self._expiry = threading.Timer(KEEP_ALIVE_SECONDS, self._end_all)
            self._expiry.daemon = True
            self._expiry.start()

    def close(self) -> None:
        """End the processes that wait; none is started any more."""
        with self._lock:
            self._over = True
            if self._expiry:
                self._expiry.cancel()
        self._end_all()

    def _end_all(self) -> None:
        with self._lock:
            ended, self._waiting = list(self._waiting.values()), {}
        for each in ended:
            each.end()

    def _preload(self, command: Sequence[str]) -> Preload | None:
        """Return the preload of a command `python -m MODULE NAME`."""
        if len(command) != 4 or list(command[:2]) != [sys.executable, "-m"]:  # noqa: PLR2004 - as above
            return None
        return next((each for each in self._project.preloads if command[3] in each.commands), None)

    def _take(
        self,
        preload: Preload,
        command: Sequence[str],
        cwd: Path,
        environment: Mapping[str, str],
        log: Path,
    ) -> ManagedProcess | None:
        with self._lock:
            waiting = self._waiting.get(preload)
            if waiting is None or not waiting.fits({**dict(preload.environment), **environment}):
                return None
            del self._waiting[preload]
        log.parent.mkdir(parents=True, exist_ok=True)
        log.open("ab").close()
        order = {
            "module": command[2],
            "arguments": list(command[3:]),
            "cwd": str(cwd),
            "environment": dict(environment),
            "log": str(log),
        }
        return waiting.process if waiting.become(order) else None

    def _begin(self, preload: Preload) -> Waiting:
        root, temporary = self._project.root, self._project.state / "tmp"
        environment = {**dict(preload.environment), **account.for_job(os.environ, temporary, {})}
        environment["TMPDIR"] = str(temporary)
        there, here = os.pipe()
        try:
            command = [sys.executable, warm_process.__file__, str(there), str(root), *preload.modules]
            process = ManagedProcess(command, root, environment, Path(os.devnull), descriptors=(there,))
        except OSError:
            os.close(here)
            raise
        finally:
            os.close(there)
        return Waiting(process, here, environment)
