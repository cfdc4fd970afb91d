"""Local servers that speak AWS's protocols, and boto3 clients for them."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import boto3
from botocore.config import Config

KEYS = {"aws_access_key_id": "test", "aws_secret_access_key": "test", "region_name": "eu-central-1"}
ONCE: dict[str, Any] = {"connect_timeout": 10, "read_timeout": 10, "retries": {"total_max_attempts": 1}}


@dataclass(frozen=True)
class Call:
    """A request as it arrived; names of headers are in lower case."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def operation(self) -> str:
        """Name the operation of a JSON service."""
        return self.headers.get("x-amz-target", "").rpartition(".")[2]

    @property
    def endpoint(self) -> str:
        """Name the endpoint of SageMaker's runtime."""
        return self.path.split("/")[2]

    def json(self) -> Any:
        """Read the body of a JSON service."""
        return json.loads(self.body or b"{}")


@dataclass(frozen=True)
class Reply:
    """A response; without a body, the server closes the connection."""

    status: int = 200
    body: bytes | None = b"{}"
    headers: dict[str, str] = field(default_factory=dict)


Answer = Callable[[Call], Reply]


def says(content: Any, status: int = 200) -> Reply:
    """Return a response of a JSON service."""
    return Reply(status, json.dumps(content).encode(), {"content-type": "application/x-amz-json-1.1"})


def refuses(code: str, message: str = "no", status: int = 400, **facts: Any) -> Reply:
    """Return an error of a service."""
    content = {"__type": code, "message": message, "Message": message, **facts}
    headers = {"content-type": "application/json", "x-amzn-errortype": code}
    return Reply(status, json.dumps(content).encode(), headers)


def model_error(status: int, message: str) -> Reply:
    """Return the error of InvokeEndpoint for a status of the container."""
    return refuses("ModelError", "Received error", 424, OriginalStatusCode=status, OriginalMessage=message)


@dataclass
class Server:
    """A listening server and the requests that it has received."""

    url: str
    calls: list[Call]

    def client(self, service: str, **config: Any) -> Any:
        """Create a boto3 client of the server."""
        return boto3.client(service, endpoint_url=self.url, config=Config(**(ONCE | config)), **KEYS)  # type: ignore[call-overload]


@contextmanager
def serving(answer: Answer) -> Iterator[Server]:
    """Listen on a free port for as long as the block runs."""
    calls: list[Call] = []
    httpd = ThreadingHTTPServer(("127.0.0.1", 0), _handler(answer, calls))
    httpd.daemon_threads = True
    thread = threading.Thread(target=httpd.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield Server(f"http://127.0.0.1:{httpd.server_port}", calls)
    finally:
        httpd.shutdown()
        httpd.server_close()
        thread.join()


def _handler(answer: Answer, calls: list[Call]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            call = Call(self.path, {name.lower(): value for name, value in self.headers.items()}, body)
            calls.append(call)
            reply = answer(call)
            if reply.body is None:
                self.close_connection = True
                return
            self.send_response(reply.status)
            for name, value in {**reply.headers, "content-length": str(len(reply.body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(reply.body)

        do_GET = do_PUT = do_POST  # noqa: N815 - http.server's names

        def log_message(self, *_: Any) -> None:
            pass

    return Handler


@dataclass(frozen=True)
class Context:
    """The part of Lambda's context that the functions read."""

    milliseconds: int = 60_000
    aws_request_id: str = "request-1"

    def get_remaining_time_in_millis(self) -> int:
        """Return the remaining time."""
        return self.milliseconds
