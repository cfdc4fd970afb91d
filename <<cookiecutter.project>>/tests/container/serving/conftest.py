"""Real servers on loopback, each in its own process group, none of which outlives its test."""

import contextlib
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
PROJECT = HERE.parents[2]
TIMEOUT_SECONDS = 15.0


class Server:
    """Start a server and talk to it."""

    def __init__(self, arguments: list[str], log: Path, **environment: str) -> None:
        inherited = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        settings = {"SERVING_HOST": "127.0.0.1", "SAGEMAKER_BIND_TO_PORT": "0", "PYTHONPATH": str(PROJECT)}
        self.log_file = log
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, *arguments],
                env=inherited | settings | environment,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=PROJECT,
                start_new_session=True,
            )

    @property
    def log(self) -> str:
        """Return what the server has written."""
        return self.log_file.read_text()

    @property
    def workers(self) -> list[int]:
        """Return the processes that were ever started as workers."""
        return [int(pid) for pid in re.findall(r"^worker-started pid=(\d+)", self.log, re.MULTILINE)]

    @property
    def port(self) -> int:
        """Return the port that the server was given."""
        found = re.search(r"^loaded .*port=(\d+)", self.log, re.MULTILINE)
        assert found, self.log
        return int(found[1])

    def wait_for(self, condition: Callable[[], Any]) -> None:
        """Wait until something is true; fail with the log when it does not come."""
        deadline = time.monotonic() + TIMEOUT_SECONDS
        while not condition():
            assert time.monotonic() < deadline, self.log
            time.sleep(0.01)

    def ready(self) -> "Server":
        """Wait until it serves."""
        self.wait_for(lambda: "\nserving " in self.log or self.process.poll() is not None)
        assert self.process.poll() is None, self.log
        return self

    def connect(self) -> http.client.HTTPConnection:
        """Open a connection of its own."""
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=TIMEOUT_SECONDS)

    def ask(self, method: str, path: str, body: bytes | str | None = None, **headers: str) -> "Reply":
        """Send one request on a new connection."""
        with contextlib.closing(self.connect()) as connection:
            connection.request(
                method, path, body, {name.replace("_", "-"): value for name, value in headers.items()}
            )
            return Reply(connection.getresponse())

    def predict(self, body: bytes | str, kind: str = "text/csv", **headers: str) -> "Reply":
        """Send one prediction request."""
        return self.ask("POST", "/invocations", body, content_type=kind, **headers)

    def raw(self, content: bytes) -> bytes:
        """Send bytes and return all that comes back until the server closes."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=TIMEOUT_SECONDS) as connection:
            connection.sendall(content)
            return b"".join(iter(lambda: connection.recv(65536), b""))

    def stop(self) -> int:
        """Ask the parent to end; return its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(TIMEOUT_SECONDS)


class Reply:
    """Hold a response that was read to its end."""

    def __init__(self, response: http.client.HTTPResponse) -> None:
        self.status = response.status
        self.headers = {name.lower(): value for name, value in response.getheaders()}
        self.body = response.read()

    @property
    def json(self) -> Any:
        """Return the body as JSON."""
        return json.loads(self.body)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    servers: list[Server] = []

    def start_server(*arguments: str, **environment: str) -> Server:
        script = [str(HERE / "served.py")] if arguments[0] != "-m" else []
        servers.append(Server([*script, *arguments], tmp_path / f"{len(servers)}.log", **environment))
        return servers[-1]

    yield start_server
    for server in servers:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(server.process.pid, signal.SIGKILL)
        server.process.wait(TIMEOUT_SECONDS)


@pytest.fixture(scope="module")
def serve(
    tmp_path_factory: pytest.TempPathFactory,
) -> Callable[..., contextlib.AbstractContextManager[Server]]:
    """Return a context manager that runs a server."""

    @contextlib.contextmanager
    def run(*arguments: str, **environment: str) -> Iterator[Server]:
        server = Server([*arguments], tmp_path_factory.mktemp("server") / "log", **environment)
        try:
            yield server.ready()
        finally:
            server.process.kill()
            server.process.wait(TIMEOUT_SECONDS)

    return run


@pytest.fixture
def pair(serve: Any) -> Iterator[tuple[Server, Server]]:
    """Start a server that takes the fast paths, and one that takes none."""
    script, limits = str(HERE / "served.py"), {"MODEL_SERVER_WORKERS": "1", "MAX_CONTENT_LENGTH": "3000"}
    with serve(script, "quick", **limits) as quick, serve(script, "slow", **limits) as slow:
        yield quick, slow


@pytest.fixture(scope="module", params=["uvloop", "asyncio"])
def shared(request: pytest.FixtureRequest, serve: Any) -> Iterator[Server]:
    with serve(str(HERE / "served.py"), "numeric", request.param, MODEL_SERVER_WORKERS="2") as server:
        yield server
        assert server.stop() == 0
