"""The parent process: it binds the port, loads the model, forks the workers and replaces those that end."""

from __future__ import annotations

import mmap
import os
import selectors
import signal
import socket
import sys
import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from container.runtime import environment
from container.runtime.errors import UserError
from container.runtime.log import log
from container.runtime.paths import ContainerPaths
from container.serving.settings import Settings, limit_threads
from container.serving.worker_context import WorkerContext

if TYPE_CHECKING:
    from collections.abc import Callable

BACKLOG = 2048
NO_WORKER = 2**32 - 1  # as a number of connections: no other worker leaves new ones to it
CRASH_LOOP_SECONDS = 1.0  # a worker that ends sooner has not begun to serve
MAX_CRASHES = 5  # such workers in a row
HEALTHY_AFTER = 60.0  # seconds, after which the end of a worker does not delay a replacement any more
FIRST_PAUSE, MAX_PAUSE = 0.05, 5.0  # seconds before a replacement; doubled for each end
KILL_AFTER = 2.0  # seconds after the grace period
HANDLED_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD)


@dataclass(frozen=True)
class Child:
    """Hold a running worker process: its start in monotonic seconds, and its index among the workers."""

    pid: int
    started: float
    index: int


def serve() -> None:
    """Serve until SIGTERM or SIGINT.

    Raises:
        UserError: the port is in use, the model cannot be loaded, or the workers keep ending.
    """
    started = time.monotonic()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # process 1 ignores signals that it does not handle
    settings = environment.read(Settings, os.environ)
    limit_threads(settings.workers)
    listener = _bind(settings)
    from container.serving import worker  # noqa: PLC0415 - limit_threads comes before numpy

    service = worker.prepare(ContainerPaths.current().model, settings.max_answer)
    port = listener.getsockname()[1]
    artifact = service.artifact
    log("loaded", model=artifact.name, port=port, seconds=time.monotonic() - started)
    log("serving-form", form=artifact.form, reason=artifact.reason)

    def run_worker(context: WorkerContext) -> int:
        return worker.run(service, listener, context, settings)

    Supervisor(run_worker, settings, listener).run()


def _bind(settings: Settings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((settings.host, settings.port))
    except OSError as error:
        address = f"{settings.host}:{settings.port}"
        raise UserError(f"cannot serve on {address}: {error.strerror}; set SAGEMAKER_BIND_TO_PORT") from error
    return listener


class Supervisor:
    """Keep the configured number of workers running until SIGTERM or SIGINT."""

    def __init__(
        self, run_worker: Callable[[WorkerContext], int], settings: Settings, listener: socket.socket
    ) -> None:
        self.run_worker = run_worker
        self.settings = settings
        self.listener = listener
        self.children: dict[int, Child] = {}
        self.recent_ends: deque[float] = deque()  # of workers, in monotonic seconds
        self.crashes = 0  # of workers in a row that ended within CRASH_LOOP_SECONDS
        self.resume = 0.0  # in monotonic seconds: no replacement before
        self.stopping = False
        self.serving = 0
        self.parent_read, self.parent_write = (
            os.pipe()
        )  # nothing is written; it closes when this process ends
        self.ready_read, self.ready_write = os.pipe()
        self.wake_read, self.wake_write = os.pipe()
        self.open_connections = memoryview(mmap.mmap(-1, 4 * settings.workers)).cast("I")
        for pipe in (self.wake_read, self.wake_write, self.ready_read):
            os.set_blocking(pipe, False)

    def run(self) -> None:
        """Run the workers, and return when all have ended after a signal.

        Raises:
            UserError: several workers in a row have ended at once.
        """
        self.listener.listen(BACKLOG)
        self.listener.settimeout(0)
        for number in HANDLED_SIGNALS:
            signal.signal(number, lambda *_: None)
        signal.set_wakeup_fd(self.wake_write, warn_on_full_buffer=False)
        with selectors.DefaultSelector() as selector:
            selector.register(self.wake_read, selectors.EVENT_READ, self._on_signals)
            selector.register(self.ready_read, selectors.EVENT_READ, self._on_ready)
            try:
                self._keep(selector)
            finally:
                self._stop(selector)
        log("stopped")

    def _keep(self, selector: selectors.BaseSelector) -> None:
        while not self.stopping:
            self._reap()
            pause = self.resume - time.monotonic()
            while pause <= 0 and len(self.children) < self.settings.workers:
                self._fork()
            is_incomplete = len(self.children) < self.settings.workers
            self._wait(selector, max(pause, 0.0) if is_incomplete else None)

    def _wait(self, selector: selectors.BaseSelector, seconds: float | None) -> None:
        for key, _ in selector.select(seconds):
            key.data()

    def _on_signals(self) -> None:
        if set(os.read(self.wake_read, 4096)) & {signal.SIGTERM, signal.SIGINT}:
            self.stopping = True

    def _on_ready(self) -> None:
        before, self.serving = self.serving, self.serving + len(os.read(self.ready_read, 4096))
        if before < self.settings.workers <= self.serving:
            host, port = self.listener.getsockname()[:2]
            log("serving", host=host, port=port, workers=self.settings.workers, pid=os.getpid())

    def _fork(self) -> None:
        index = min(set(range(self.settings.workers)) - {child.index for child in self.children.values()})
        # A signal between fork and _child would be handled by the parent's handlers in the child.
        blocked = set(map(int, signal.pthread_sigmask(signal.SIG_BLOCK, HANDLED_SIGNALS)))
        pid = os.fork()
        if pid == 0:
            self._child(index, blocked)
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        self.children[pid] = Child(pid, time.monotonic(), index)
        log("worker-started", pid=pid)

    def _child(self, index: int, blocked: set[int]) -> None:
        """Become a worker process, which ends here."""
        code = 1
        try:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C signals the whole group; the parent ends it
            signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
            for pipe in (self.parent_write, self.ready_read, self.wake_read, self.wake_write):
                os.close(pipe)
            context = WorkerContext(self.parent_read, self.ready_write, self.open_connections, index)
            code = self.run_worker(context)
        except BaseException as error:  # noqa: BLE001 - the process ends here, whatever the error is
            log("worker-failed", pid=os.getpid(), error=f"{type(error).__name__}: {error}")
        finally:
            sys.stdout.flush()
            os._exit(code)

    def _reap(self) -> None:
        """Collect the workers that have ended, and decide when they are replaced."""
        for child, code in self._ended():
            now = time.monotonic()
            self.recent_ends.append(now)
            self.open_connections[child.index] = NO_WORKER
            while now - self.recent_ends[0] > HEALTHY_AFTER:
                self.recent_ends.popleft()
            self.crashes = self.crashes + 1 if now - child.started < CRASH_LOOP_SECONDS else 0
            ends = len(self.recent_ends)
            pause = min(FIRST_PAUSE * 2**ends, MAX_PAUSE) if ends > 1 else 0.0
            self.resume = now + pause
            log("worker-died", pid=child.pid, code=code, restart_in=pause)
            if self.crashes >= MAX_CRASHES:
                raise UserError(
                    f"{MAX_CRASHES} workers in a row ended at once (exit code {code}); the log says why"
                )

    def _ended(self) -> list[tuple[Child, int]]:
        ended = []
        for child in list(self.children.values()):
            pid, status = os.waitpid(child.pid, os.WNOHANG)
            if pid:
                ended.append((self.children.pop(pid), os.waitstatus_to_exitcode(status)))
        return ended

    def _stop(self, selector: selectors.BaseSelector) -> None:
        """End all workers, and kill those that take longer than the grace period."""
        self.listener.close()
        self._signal(signal.SIGTERM)
        deadline = time.monotonic() + self.settings.grace + KILL_AFTER
        while self.children and time.monotonic() < deadline:
            self._wait(selector, min(0.5, deadline - time.monotonic()))
            self._ended()
        self._signal(signal.SIGKILL)
        for pid in self.children:
            log("worker-killed", pid=pid)
            os.waitpid(pid, 0)

    def _signal(self, number: signal.Signals) -> None:
        for pid in self.children:
            os.kill(pid, number)
