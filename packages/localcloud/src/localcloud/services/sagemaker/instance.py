"""The instances of an endpoint: server processes of the container, started again when they end."""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from dataclasses import dataclass
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from typing import TYPE_CHECKING

from localcloud.core import disk_errors
from localcloud.services.sagemaker.container_client import ContainerClient

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from localcloud.core.context import CloudContext
    from localcloud.core.managed_process import ManagedProcess

logger = logging.getLogger(__name__)
PING_SECONDS = 0.02  # between two health checks
CLOSE_GRACE = 2.0
RESTART_SECONDS = 0.2
MAX_RESTART_SECONDS = 5.0
# On AWS the server finds as many processors as the instance has; here all instances share this machine's.
LOOPBACK = "127.0.0.1"
PORT = (
    "SAGEMAKER_BIND_TO_PORT"  # where a server listens; a model's environment may name a port of this machine
)
WORKERS = {"MODEL_SERVER_WORKERS": "1"}


@dataclass(frozen=True)
class ServerSettings:
    """The folder, log, environment and start-up limit of a server process."""

    context: CloudContext
    folder: Path
    log: Path
    environment: Mapping[str, str]
    health_check_seconds: float
    port_file: Path


class Instance:
    """One server process, which is started again when it ends."""

    def __init__(self, settings: ServerSettings) -> None:
        """Keep the settings; `begin` starts the server."""
        self.settings = settings
        self.client: ContainerClient | None = None
        self.ready = threading.Event()
        self.failed: str | None = None
        self._child: ManagedProcess | None = None
        self._ending = threading.Event()

    def begin(self) -> None:
        """Start the server, in a thread that starts it again when it ends."""
        threading.Thread(target=self._keep_running, daemon=True).start()

    def end(self, grace: float) -> None:
        """End the server, after at most `grace` seconds for its running requests."""
        self._ending.set()
        self.ready.clear()
        if self._child:
            self._child.end(grace)

    def _keep_running(self) -> None:
        delay, first = RESTART_SECONDS, True
        while not self._ending.is_set():
            started = time.monotonic()
            try:
                code = self._serve()
            except OSError as error:
                logger.exception("a server of %s can't be started", self.settings.folder.name)
                self.failed, code = disk_errors.explained(error), None
                if self._child:
                    self._child.end(CLOSE_GRACE)
            if self._ending.is_set():
                return
            if first and not self.ready.is_set():
                self.failed = self.failed or f"the server ended with exit code {code}"
                return
            first = False
            self.ready.clear()
            logger.warning(
                "a server of %s ended with exit code %s and is started again", self.settings.folder.name, code
            )
            delay = RESTART_SECONDS if time.monotonic() - started > MAX_RESTART_SECONDS else delay * 2
            self._ending.wait(min(delay, MAX_RESTART_SECONDS))

    def _serve(self) -> int | None:
        settings = self.settings
        port = _port(settings.environment)
        address = {PORT: str(port), "SERVING_HOST": LOOPBACK}
        command = [*settings.context.entrypoint(), "serve"]
        environment = {**WORKERS, **settings.environment, **address}
        child = self._child = settings.context.spawn(command, settings.folder, environment, settings.log)
        if self._ending.is_set():
            return child.end(CLOSE_GRACE)
        if not self._healthy(child, port):
            return child.end(CLOSE_GRACE)
        self.client = ContainerClient(port)
        # The file lets a client send requests to the server directly.
        settings.port_file.write_text(str(port), encoding="utf-8")
        self.ready.set()
        return child.wait()

    def _healthy(self, child: ManagedProcess, port: int) -> bool:
        deadline = time.monotonic() + self.settings.health_check_seconds
        while child.running and not self._ending.is_set():
            if answers(port):
                return True
            if time.monotonic() > deadline:
                self.failed = f"no answer to /ping within {self.settings.health_check_seconds:.0f} s"
                return False
            time.sleep(PING_SECONDS)
        return False


def _port(environment: Mapping[str, str]) -> int:
    """Return the port that a model's environment names, else a free one.

    Raises:
        OSError: another server listens on the named port; its answers would pass for those of this server.
    """
    if not environment.get(PORT):
        return free_port()
    port = int(environment[PORT])
    try:
        socket.create_server((LOOPBACK, port)).close()
    except OSError as error:
        raise OSError(
            error.errno, f"port {port} of {LOOPBACK} can't be used: {os.strerror(error.errno or 0)}"
        ) from None
    return port


def free_port() -> int:
    """Return a free port of this machine."""
    with socket.create_server((LOOPBACK, 0)) as listener:
        return int(listener.getsockname()[1])


def answers(port: int) -> bool:
    """Return whether the server on a port answers the health check with 200."""
    connection = HTTPConnection(LOOPBACK, port, timeout=2)
    try:
        connection.request("GET", "/ping")
        return connection.getresponse().status == HTTPStatus.OK
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()
