"""A stand-in for the two services that the build calls: S3, and CodePipeline's record of the execution."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

REGION = "eu-central-1"


@dataclass
class Aws:
    """What the services hold, and which calls they answered."""

    variables: list[dict[str, str]] = field(default_factory=list)
    objects: dict[str, bytes] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    headers: dict[str, dict[str, str]] = field(default_factory=dict)
    missing: int = 404  # HeadObject's answer for what is not there
    url: str = ""

    @property
    def environment(self) -> dict[str, str]:
        """The variables that point the build at this stand-in."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": "ASIAEXAMPLE",
            "AWS_SECRET_ACCESS_KEY": "none",
            "AWS_DEFAULT_REGION": REGION,
            "AWS_EC2_METADATA_DISABLED": "true",
        }


def serve(aws: Aws) -> Iterator[Aws]:
    """Answer for the services until the generator is closed."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"  # in which a client waits for 100 Continue before its body

        def do_HEAD(self) -> None:
            self._answer(200 if self.path in aws.objects else aws.missing)

        def do_PUT(self) -> None:
            aws.objects[self.path] = self._body()
            aws.headers[self.path] = {name.lower(): value for name, value in self.headers.items()}
            self._answer(200)

        def do_POST(self) -> None:
            asked = json.loads(self._body())
            aws.calls.append(f"asked {asked['pipelineName']} {asked['pipelineExecutionId']}")
            execution = {"variables": aws.variables} if aws.variables else {}
            self._answer(200, json.dumps({"pipelineExecution": execution}).encode())

        def _body(self) -> bytes:
            return self.rfile.read(int(self.headers["Content-Length"]))

        def _answer(self, status: int, body: bytes = b"") -> None:
            aws.calls.append(f"{self.command} {self.path}")
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    aws.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield aws
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
