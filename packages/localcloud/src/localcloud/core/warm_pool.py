"""Processes of the container that have imported its libraries before their job is known.

They are for jobs what SageMaker's warm pools are: a job that follows another one soon starts at once. A short
job would spend half of its time on those imports.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from localcloud.core import account, warm_process
from localcloud.core.managed_process import ManagedProcess

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from localcloud.core.project import Preload, Project

# A process waits for so long, after the last was begun, for a job: it may hold 200 MB of memory.
KEEP_ALIVE_SECONDS = 120.0
# One that got its job is replaced when no job has run for so long, or when a pipeline's execution begins:
# what uses a job's results, such as a deployment with its canary, would share the processors with imports.
REST_SECONDS, POLL_SECONDS = 15.0, 0.2
KILL_SECONDS = 2.0
# Variables that Python, the loader and libraries read when they start, or are imported.
READ_EARLY = (
    *("PYTHON", "LD_", "DYLD_", "MALLOC_", "GLIBC_", "LANG", "LC_", "TZ"),
    *("OMP_", "GOMP_", "KMP_", "OPENBLAS_", "GOTO_", "BLIS_", "MKL_", "VECLIB_", "RAYON_"),
    *("NUMPY_", "NPY_", "SCIPY_", "SKLEARN_", "JOBLIB_", "LOKY_", "NUMEXPR_", "POLARS_", "ARROW_"),
    *("TF_", "TENSORFLOW_", "KERAS_", "XLA_", "CUDA_", "NVIDIA_", "TORCH_", "PYTORCH_"),
)
# A process that has not imported its modules by then, or has not taken its job, is ended.
PATIENCE_SECONDS = 20.0


@dataclass(frozen=True)
class Waiting:
    """A process that waits, the socket that it listens to, and the environment that it has started with."""

    process: ManagedProcess
    channel: socket.socket
    environment: Mapping[str, str]
    imported: threading.Event = field(default_factory=threading.Event)

    def fits(self, environment: Mapping[str, str]) -> bool:
        """Return whether what was read at the start is the same in a job's environment."""
        names = {name for name in {*environment, *self.environment} if name.startswith(READ_EARLY)}
        same = all(environment.get(name) == self.environment.get(name) for name in names)
        return same and not any("\0" in text for pair in environment.items() for text in pair)

    def await_imports(self) -> None:
        """Wait until the process has imported its modules; end one that never does."""
        if not self._is_answered():
            self.end()
        self.imported.set()

    def become(self, order: Mapping[str, object]) -> bool:
        """Give the process its job; return whether it has taken the job."""
        self.imported.wait()
        try:
            self.channel.sendall(json.dumps(order).encode())
            self.channel.shutdown(socket.SHUT_WR)
            if self._is_answered():
                return True
        except OSError:
            pass
        finally:
            self.channel.close()
        self.end()
        return False

    def end(self) -> None:
        """End a process that has no job."""
        self.process.kill()
        self.process.wait(KILL_SECONDS)
        self.channel.close()

    def _is_answered(self) -> bool:
        """Return whether the process has sent its next byte; it ends, or never answers, where it can't."""
        try:
            return bool(self.channel.recv(1))
        except OSError:
            return False


class WarmPool:
    """At most one process for each of the project's preloads; each that gets a job is replaced."""

    def __init__(self, project: Project) -> None:
        """Begin without a process: most clouds run no job."""
        self._project = project
        self._lock = threading.Lock()
        self._waiting: dict[Preload, Waiting] = {}
        self._jobs: list[ManagedProcess] = []
        self._expiry: threading.Timer | None = None
        self._is_warm = self._wanted = self._filling = False
        self._worked = float("-inf")  # when a job was last seen to run
        self._closed, self._needed = threading.Event(), threading.Event()

    def start(
        self, command: Sequence[str], cwd: Path, environment: Mapping[str, str], log: Path
    ) -> ManagedProcess:
        """Start a command, in a process that waits for such a one where there is one."""
        preload = self._preload(command)
        if preload is None:
            return ManagedProcess(command, cwd, environment, log)
        with self._lock:
            self._worked = time.monotonic()
        started = self._take(preload, command, cwd, environment, log)
        started = started or ManagedProcess(command, cwd, environment, log)
        with self._lock:
            self._jobs = [started, *(job for job in self._jobs if job.running)]
        self._want()
        return started

    def fill(self) -> None:
        """Let a process wait for each kind of job, since jobs will follow soon; return at once."""
        self._needed.set()
        self._want()

    def _want(self) -> None:
        with self._lock:
            if self._closed.is_set() or not self._project.preloads:
                return
            self._wanted = True
            if self._filling:
                return
            self._filling = True
        threading.Thread(target=self._fill, name="warm pool", daemon=True).start()

    def _fill(self) -> None:
        """Begin the processes one after the other, since jobs and builds that run share the processors."""
        while self._is_wanted():
            if self._is_warm:
                self._await_rest()
            self._needed.clear()
            for preload in self._project.preloads:
                if begun := self._begin_missing(preload):
                    begun.await_imports()

    def _is_wanted(self) -> bool:
        """Return whether processes were wanted since; if not, they have to expire from now on."""
        with self._lock:
            if self._wanted and not self._closed.is_set():
                self._wanted = False
                return True
            self._filling = False
            self._expire_later()
            return False

    def _await_rest(self) -> None:
        """Wait until no job has run for a while, or until jobs will follow soon."""
        while (left := self._rest()) > 0 and not self._needed.wait(min(left, POLL_SECONDS)):
            pass

    def _rest(self) -> float:
        """Return for how many seconds no job has to run before processes may be begun."""
        with self._lock:
            if any(job.running for job in self._jobs):
                self._worked = time.monotonic()
            return self._worked + REST_SECONDS - time.monotonic()

    def _begin_missing(self, preload: Preload) -> Waiting | None:
        """Begin a process, and return it, unless one waits."""
        with self._lock:
            waiting = self._waiting.get(preload)
            if self._closed.is_set() or (waiting and waiting.process.running):
                return None
            self._is_warm = True
            if waiting:
                waiting.end()
            with contextlib.suppress(OSError):  # the next job gets a process of its own
                self._waiting[preload] = self._begin(preload)
                return self._waiting[preload]
        return None

    def _expire_later(self) -> None:
        if self._expiry:
            self._expiry.cancel()
        if not self._closed.is_set():
            self._expiry = threading.Timer(KEEP_ALIVE_SECONDS, self._end_all)
            self._expiry.daemon = True
            self._expiry.start()

    def close(self) -> None:
        """End the processes that wait; none is started any more."""
        self._closed.set()
        self._needed.set()
        self._end_all()

    def _end_all(self) -> None:
        with self._lock:
            ended, self._waiting = list(self._waiting.values()), {}
            self._is_warm = False
            if self._expiry:
                self._expiry.cancel()
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
        log.parent.mkdir(parents=True, exist_ok=True)
        log.open("ab").close()
        with self._lock:
            waiting = self._waiting.get(preload)
            if waiting is None or not waiting.fits({**dict(preload.environment), **environment}):
                return None
            del self._waiting[preload]
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
        here, there = socket.socketpair()
        here.settimeout(PATIENCE_SECONDS)
        with there:
            number = there.fileno()
            command = [sys.executable, warm_process.__file__, str(number), str(root), *preload.modules]
            try:
                process = ManagedProcess(command, root, environment, Path(os.devnull), descriptors=(number,))
            except OSError:
                here.close()
                raise
        return Waiting(process, here, environment)
