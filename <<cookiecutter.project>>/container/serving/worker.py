"""One worker process: connections on a socket that all workers share, until told to stop or orphaned."""

from __future__ import annotations

import asyncio
import faulthandler
import gc
import importlib
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
from container.serving.log import Handler
from container.serving.service import Service, TableService

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable
    from pathlib import Path

    from container.model_artifact import ModelArtifact
    from container.serving.settings import Settings
    from container.serving.supervisor import Leash

CONNECTIONS = 1000  # that a worker holds at a time; more wait in the listener's backlog
REST = 0.05  # seconds before a full worker looks again
YIELD = 0.005  # seconds that a worker leaves a connection to those that have fewer
HEARTBEAT = 0.5
SPARE = 2.0  # seconds beyond a request's time before a loop that stands still is given up
JAMMED = 3  # the exit code of a worker whose model did not come back


class Server:
    """Accept connections by the supervisor's rules, and watch the loop and the parent."""

    def __init__(
        self, application: Application, listener: socket.socket, leash: Leash, settings: Settings
    ) -> None:
        self.application = application
        self.listener = listener
        self.leash = leash
        self.settings = settings
        self.connections: set[Connection] = set()
        self.accepting: set[asyncio.Future[Any]] = set()
        self.yielded = False
        self.stopped = asyncio.Event()

    async def run(self) -> None:
        """Serve until told to stop; then finish the requests in flight, within the grace."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self.stop)
        loop.add_reader(self.leash.parent, self.orphaned)
        loop.add_reader(self.listener, self.accept)
        self.beat()
        os.write(self.leash.ready, b".")
        await self.stopped.wait()
        loop.remove_reader(self.listener)
        self.listener.close()
        await asyncio.gather(*self.accepting, return_exceptions=True)
        await self.drain()

    def accept(self) -> None:
        """Take one connection and let the loop go round; none when full, or when another worker has fewer."""
        mine = self.count()
        if mine >= CONNECTIONS:
            self.rest(REST)
            return
        self.yielded = not self.yielded and mine > min(self.leash.open)
        if self.yielded:
            self.rest(YIELD)
            return
        try:
            connection, _ = self.listener.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return  # another worker was quicker, or the caller has gone
        except OSError as error:
            log("accept-failed", error=error)
            self.rest(REST)
            return
        task = asyncio.ensure_future(
            asyncio.get_running_loop().connect_accepted_socket(self.connect, connection)
        )
        self.accepting.add(task)
        self.count()
        task.add_done_callback(self.accepted)

    def accepted(self, task: asyncio.Future[Any]) -> None:
        """Forget a connection that is open now, or that broke before it was."""
        self.accepting.discard(task)
        if not task.cancelled():
            task.exception()

    def connect(self) -> Connection:
        """Return what speaks HTTP on a new connection."""
        return Connection(self.application, self.connections)

    def count(self) -> int:
        """Return how many connections this worker has, and let the others know."""
        mine = len(self.connections) + len(self.accepting)
        self.leash.open[self.leash.place] = mine
        return mine

    def rest(self, seconds: float) -> None:
        """Leave new connections to others for a moment."""
        loop = asyncio.get_running_loop()
        loop.remove_reader(self.listener)
        loop.call_later(seconds, self.resume)

    def resume(self) -> None:
        """Accept again."""
        if not self.stopped.is_set():
            asyncio.get_running_loop().add_reader(self.listener, self.accept)

    def beat(self) -> None:
        """End what takes too long: requests, and the process with a trace if the loop itself stands still."""
        faulthandler.dump_traceback_later(self.settings.timeout + SPARE, exit=True)
        self.application.tick()
        for connection in list(self.connections):
            connection.sweep()
        self.application.crowded = self.count() >= CONNECTIONS
        asyncio.get_running_loop().call_later(HEARTBEAT, self.beat)

    async def drain(self) -> None:
        """Wait for the connections to end: idle ones at once, others with the answer that is under way."""
        deadline = asyncio.get_running_loop().time() + self.settings.grace
        for connection in list(self.connections):
            connection.retire()
        while self.connections and asyncio.get_running_loop().time() < deadline:  # noqa: ASYNC110
            await asyncio.sleep(0.01)  # a connection tells nobody of its end

    def stop(self) -> None:
        """Finish the requests in flight and end."""
        self.application.stopping = True
        self.stopped.set()

    def orphaned(self) -> None:
        """Stop because the pipe to the parent closed, which happens however it ended."""
        asyncio.get_running_loop().remove_reader(self.leash.parent)
        log("orphaned", pid=os.getpid())
        self.stop()


def prepare(model: Path, max_answer: int) -> Service:
    """Load the model once, before the workers are forked, so that they share its memory.

    `max_answer` is in bytes.
    """
    service = _service(model_artifact.load(model), max_answer)
    gc.collect()
    gc.freeze()
    return service


def _service(loaded: ModelArtifact, max_answer: int) -> Service:
    """Return what answers for a model of tables, or of pictures, whose decoder only that one loads."""
    if loaded.schema.workload == TABULAR:
        return TableService(loaded, max_answer)
    pictures = importlib.import_module("container.serving.image_service")
    made: Service = pictures.PictureService(loaded, max_answer)
    return made


def work(service: Service, listener: socket.socket, leash: Leash, settings: Settings) -> int:
    """Serve until the end; return the process's exit code."""
    _pass_on_logs()
    _warm_up(service)
    jammed = False

    async def serve() -> None:
        def on_jam() -> None:
            nonlocal jammed
            jammed = True
            server.stop()

        server = Server(Application(service, settings, on_jam), listener, leash, settings)
        await server.run()

    with asyncio.Runner(loop_factory=_loop()) as runner:
        runner.run(serve())
    faulthandler.cancel_dump_traceback_later()
    log("worker-stopped", pid=os.getpid(), **asdict(service.totals))
    return JAMMED if jammed else 0


def _loop() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Return the compiled event loop where it is installed."""
    if importlib.util.find_spec("uvloop") is None:
        return None
    import uvloop  # noqa: PLC0415  it is a choice

    made: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return made


def _warm_up(service: Service) -> None:
    try:
        service.warm_up()
    except Exception as error:  # noqa: BLE001  a model that fails on one odd row may serve all others
        log("warm-up-failed", error=f"{type(error).__name__}: {error}")


def _pass_on_logs() -> None:
    logger = logging.getLogger("asyncio")
    logger.handlers = [Handler()]
    logger.setLevel(logging.WARNING)
    logger.propagate = False
