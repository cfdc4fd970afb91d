"""The parent process: binds the port, loads the model, forks the workers, replaces those that die."""

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

from container.runtime.errors import UserError
from container.runtime.log import log
from container.runtime.paths import ContainerPaths
from container.serving.settings import Settings, limit_threads

if TYPE_CHECKING:
    from collections.abc import Callable

BACKLOG = 2048
NOBODY = 2**32 - 1  # connections of a worker that is not there, so that no other waits for it
AT_ONCE = 1.0  # seconds: a worker that ends sooner did not get to work
TRIES = 5  # workers in a row that may end at once
CALM = 60.0  # seconds after which a death is forgotten
LONGEST_PAUSE = 5.0  # seconds before a replacement, when workers keep dying
SPARE = 2.0  # seconds beyond the grace before a worker is killed
HANDLED = (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD)


@dataclass(frozen=True)
class Leash:
    """Hold what ties a worker to the others.

    `parent` is a pipe that closes with the parent, `ready` one that is written when the worker serves.
    `open` is shared by all and holds how many connections each has, this one at `place`.
    """

    parent: int
    ready: int
    open: memoryview
    place: int


@dataclass(frozen=True)
class Child:
    """Hold a running worker."""

    pid: int
    started: float
    place: int


def serve() -> None:
    """Serve until SIGTERM or SIGINT. Raises `UserError` for a port in use, a bad model, dying workers."""
    started = time.monotonic()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # process 1 would not even die of it
    settings = Settings.read(os.environ)
    limit_threads(settings.workers)
    listener = _bind(settings)
    from container.serving import worker  # noqa: PLC0415  numpy counts its threads when it is imported

    service = worker.prepare(ContainerPaths.current().model, settings.max_answer)
    port = listener.getsockname()[1]
    loaded = service.artefact
    log("loaded", model=loaded.name, port=port, seconds=time.monotonic() - started)
    log("serving-form", form=loaded.form, reason=loaded.reason)

    def work(leash: Leash) -> int:
        return worker.work(service, listener, leash, settings)

    Supervisor(work, settings, listener).run()


def _bind(settings: Settings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((settings.host, settings.port))
    except OSError as error:
        where = f"{settings.host}:{settings.port}"
        raise UserError(f"cannot serve on {where}: {error.strerror}; set SAGEMAKER_BIND_TO_PORT") from error
    return listener


class Supervisor:
    """Keep the wanted number of workers alive until a signal says stop."""

    def __init__(self, work: Callable[[Leash], int], settings: Settings, listener: socket.socket) -> None:
        self.work = work
        self.settings = settings
        self.listener = listener
        self.children: dict[int, Child] = {}
        self.deaths: deque[float] = deque()
        self.at_once = 0
        self.resume = 0.0  # no replacement before this moment
        self.stopping = False
        self.serving = 0
        self.leash_read, self.leash_write = os.pipe()
        self.ready_read, self.ready_write = os.pipe()
        self.wake_read, self.wake_write = os.pipe()
        self.open = memoryview(mmap.mmap(-1, 4 * settings.workers)).cast("I")
        for pipe in (self.wake_read, self.wake_write, self.ready_read):
            os.set_blocking(pipe, False)

    def run(self) -> None:
        """Return when all workers have ended after a signal. Raises `UserError` when they only die."""
        self.listener.listen(BACKLOG)
        self.listener.settimeout(0)
        for number in HANDLED:
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
            wanting = len(self.children) < self.settings.workers
            self._wait(selector, max(pause, 0.0) if wanting else None)

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
        place = min(set(range(self.settings.workers)) - {child.place for child in self.children.values()})
        blocked = set(map(int, signal.pthread_sigmask(signal.SIG_BLOCK, HANDLED)))
        pid = os.fork()
        if pid == 0:
            self._child(place, blocked)
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        self.children[pid] = Child(pid, time.monotonic(), place)
        log("worker-started", pid=pid)

    def _child(self, place: int, blocked: set[int]) -> None:
        """Become a worker; never returns."""
        code = 1
        try:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group: the parent decides
            signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
            for pipe in (self.leash_write, self.ready_read, self.wake_read, self.wake_write):
                os.close(pipe)
            code = self.work(Leash(self.leash_read, self.ready_write, self.open, place))
        except BaseException as error:  # noqa: BLE001  the process ends here, whatever it was
            log("worker-failed", pid=os.getpid(), error=f"{type(error).__name__}: {error}")
        finally:
            sys.stdout.flush()
            os._exit(code)

    def _reap(self) -> None:
        """Take note of the workers that ended, and decide when they are replaced."""
        for child, code in self._ended():
            now = time.monotonic()
            self.deaths.append(now)
            self.open[child.place] = NOBODY
            while now - self.deaths[0] > CALM:
                self.deaths.popleft()
            self.at_once = self.at_once + 1 if now - child.started < AT_ONCE else 0
            pause = min(0.05 * 2 ** len(self.deaths), LONGEST_PAUSE) if len(self.deaths) > 1 else 0.0
            self.resume = now + pause
            log("worker-died", pid=child.pid, code=code, restart_in=pause)
            if self.at_once >= TRIES:
                raise UserError(
                    f"{TRIES} workers in a row ended at once (exit code {code}); the log says why"
                )

    def _ended(self) -> list[tuple[Child, int]]:
        ended = []
        for child in list(self.children.values()):
            pid, status = os.waitpid(child.pid, os.WNOHANG)
            if pid:
                ended.append((self.children.pop(pid), os.waitstatus_to_exitcode(status)))
        return ended

    def _stop(self, selector: selectors.BaseSelector) -> None:
        """End all workers: those that take longer than the grace are killed."""
        self.listener.close()
        self._signal(signal.SIGTERM)
        deadline = time.monotonic() + self.settings.grace + SPARE
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
