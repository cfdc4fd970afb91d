"""A worker process, which serves connections of the shared socket until SIGTERM or the parent's end."""

from __future__ import annotations

import asyncio
import faulthandler
import gc
import importlib.util
import logging
import os
import signal
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from container import model_artifact
from container.data.schema import TABULAR
from container.runtime.log import log
from container.serving.application import Application
from container.serving.http_protocol import Connection
from container.serving.log import OneLineHandler
from container.serving.service import Service, TableService

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable
    from pathlib import Path

    from container.model_artifact import ModelArtifact
    from container.serving.settings import Settings
    from container.serving.worker_context import WorkerContext

MAX_CONNECTIONS = 1000  # of a worker; more wait in the listener's backlog
ACCEPT_PAUSE = 0.05  # seconds before a full worker tries again
YIELD_SECONDS = 0.005  # that a worker leaves a new connection to the workers that have fewer
HEARTBEAT_SECONDS = 0.5
STUCK_AFTER = 2.0  # seconds beyond a request's timeout, when a blocked event loop ends the process
STUCK_EXIT_CODE = 3  # of a worker whose prediction does not end


class Server:
    """Accept connections in turn with the other workers, and watch the event loop and the parent."""

    def __init__(
        self, application: Application, listener: socket.socket, context: WorkerContext, settings: Settings
    ) -> None:
        self.application = application
        self.listener = listener
        self.context = context
        self.settings = settings
        self.connections: set[Connection] = set()
        self.accepting: set[asyncio.Future[Any]] = set()
        self.has_yielded = False
        self.stopped = asyncio.Event()

    async def run(self) -> None:
        """Serve until `stop`; then finish the requests in flight, within the grace period."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self.stop)
        loop.add_reader(self.context.parent, self.orphaned)
        loop.add_reader(self.listener, self.accept)
        self.heartbeat()
        os.write(self.context.ready, b".")
        await self.stopped.wait()
        loop.remove_reader(self.listener)
        self.listener.close()
        await asyncio.gather(*self.accepting, return_exceptions=True)
        await self.drain()

    def accept(self) -> None:
        """Accept one connection, unless this worker is full or another one has fewer.

        All workers wait for the same socket, and any of them may wake up first. Each request of a connection
        goes to the worker that accepted it, so a worker with more connections than another one leaves a new
        one to it, but only once in a row: the other may be busy, and the caller should not wait for long. One
        connection is accepted a call, so that the event loop serves the others in between.
        """
        count = self.update_count()
        if count >= MAX_CONNECTIONS:
            self.pause_accepting(ACCEPT_PAUSE)
            return
        self.has_yielded = not self.has_yielded and count > min(self.context.open_connections)
        if self.has_yielded:
            self.pause_accepting(YIELD_SECONDS)
            return
        try:
            connection, _ = self.listener.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return  # another worker was quicker, or the caller has gone
        except OSError as error:
            log("accept-failed", error=error)
            self.pause_accepting(ACCEPT_PAUSE)
            return
        task = asyncio.ensure_future(
            asyncio.get_running_loop().connect_accepted_socket(self.connect, connection)
        )
        self.accepting.add(task)
        self.update_count()
        task.add_done_callback(self.end_accepting)

    def end_accepting(self, task: asyncio.Future[Any]) -> None:
        """Forget the task of a connection that is open now, or was lost before."""
        self.accepting.discard(task)
        if not task.cancelled():
            task.exception()  # asyncio logs an exception that nobody has asked for

    def connect(self) -> Connection:
        """Return the protocol of a new connection."""
        return Connection(self.application, self.connections)

    def update_count(self) -> int:
        """Return how many connections this worker has, and share the number with the others."""
        count = len(self.connections) + len(self.accepting)
        self.context.open_connections[self.context.index] = count
        return count

    def pause_accepting(self, seconds: float) -> None:
        """Leave new connections to other workers for a moment."""
        loop = asyncio.get_running_loop()
        loop.remove_reader(self.listener)
        loop.call_later(seconds, self.resume_accepting)

    def resume_accepting(self) -> None:
        """Accept again."""
        if not self.stopped.is_set():
            asyncio.get_running_loop().add_reader(self.listener, self.accept)

    def heartbeat(self) -> None:
        """Enforce the timeouts of requests and connections, and of the event loop itself.

        If the loop is blocked for longer than a request may take, faulthandler ends the process with a
        traceback.
        """
        faulthandler.dump_traceback_later(self.settings.timeout + STUCK_AFTER, exit=True)
        self.application.update_clock()
        for connection in list(self.connections):
            connection.enforce_timeouts()
        self.application.is_full = self.update_count() >= MAX_CONNECTIONS
        asyncio.get_running_loop().call_later(HEARTBEAT_SECONDS, self.heartbeat)

    async def drain(self) -> None:
        """Close idle connections now and the others after their response, and wait for their end."""
        deadline = asyncio.get_running_loop().time() + self.settings.grace
        for connection in list(self.connections):
            connection.close_when_idle()
        while self.connections and asyncio.get_running_loop().time() < deadline:  # noqa: ASYNC110 - a connection has no event for its end
            await asyncio.sleep(0.01)

    def stop(self) -> None:
        """Finish the requests in flight and end."""
        self.application.stopping = True
        self.stopped.set()

    def orphaned(self) -> None:
        """Stop because the parent has ended, in whatever way: the pipe to it has closed."""
        asyncio.get_running_loop().remove_reader(self.context.parent)
        log("orphaned", pid=os.getpid())
        self.stop()


def prepare(model: Path, max_answer: int) -> Service:
    """Load the model, before the workers are forked, so that they share its memory.

    `max_answer` is the limit of a response in bytes.

    Raises:
        UserError: the model is missing or damaged.
    """
    service = _service(model_artifact.load(model), max_answer)
    gc.collect()
    gc.freeze()
    return service


def _service(artifact: ModelArtifact, max_answer: int) -> Service:
    if artifact.schema.workload == TABULAR:
        return TableService(artifact, max_answer)
    from container.serving.image_service import ImageService  # noqa: PLC0415 - tables need no image decoder

    service: Service = ImageService(artifact, max_answer)
    return service


def run(service: Service, listener: socket.socket, context: WorkerContext, settings: Settings) -> int:
    """Serve until SIGTERM or the parent's end; return the process's exit code."""
    _redirect_logs()
    _warm_up(service)
    is_stuck = False

    async def serve() -> None:
        def on_stuck() -> None:
            nonlocal is_stuck
            is_stuck = True
            server.stop()

        server = Server(Application(service, settings, on_stuck), listener, context, settings)
        await server.run()

    with asyncio.Runner(loop_factory=_loop()) as runner:
        runner.run(serve())
    faulthandler.cancel_dump_traceback_later()
    log("worker-stopped", pid=os.getpid(), **asdict(service.totals))
    return STUCK_EXIT_CODE if is_stuck else 0


def _loop() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Return the constructor of uvloop's event loop where that is installed, else None for asyncio's."""
    if importlib.util.find_spec("uvloop") is None:
        return None
    import uvloop  # noqa: PLC0415 - an optional dependency

    new_loop: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return new_loop


def _warm_up(service: Service) -> None:
    try:
        service.warm_up()
    except Exception as error:  # noqa: BLE001 - a model that fails on one odd row may serve all others
        log("warm-up-failed", error=f"{type(error).__name__}: {error}")


def _redirect_logs() -> None:
    logger = logging.getLogger("asyncio")
    logger.handlers = [OneLineHandler()]
    logger.setLevel(logging.WARNING)
    logger.propagate = False
