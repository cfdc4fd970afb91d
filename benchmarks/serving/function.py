"""The cost of the API's function: its cold start beside that of a boto3 client, and its time for a call."""

from __future__ import annotations

import contextlib
import http.server
import json
import os
import statistics
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

from benchmarks.serving.servers import PRODUCT

if TYPE_CHECKING:
    from collections.abc import Iterator

BODY = b'{"predictions":[1.5]}'
CALLS = 300
BARE = "import boto3; boto3.client('sagemaker-runtime')"
OURS = "import api.handler"
# Direct calls and calls of the handler alternate in one process, over persistent connections.
CALLING = f"""
import json, sys, time, types
from api import handler
event = {{"body": '{{"instances": [[1, 2, 3]]}}', "headers": {{"Content-Type": "application/json"}},
          "requestContext": {{}}}}
context = types.SimpleNamespace(aws_request_id="1")
call = dict(EndpointName="bench", Body=event["body"].encode(), ContentType="application/json")
bare, ours = [], []
for _ in range({CALLS}):
    began = time.perf_counter()
    handler.RUNTIME.invoke_endpoint(**call)["Body"].read()
    middle = time.perf_counter()
    assert handler.handler(event, context)["statusCode"] == 200
    ours.append(time.perf_counter() - middle)
    bare.append(middle - began)
print(json.dumps({{"bare": bare, "ours": ours}}))
"""


class Endpoint(http.server.BaseHTTPRequestHandler):
    """A stand-in for SageMaker's runtime."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1

    def do_POST(self) -> None:
        """Return a constant response."""
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(BODY)))
        self.end_headers()
        self.wfile.write(BODY)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name is the base class's
        """Write nothing."""


def measure(rounds: int) -> dict[str, Any]:
    """Return the seconds of cold starts in each round, and the seconds that the function adds to a call."""
    with _endpoint() as address:
        environment = _environment(address)
        pairs = [(_seconds(BARE, environment), _seconds(OURS, environment)) for _ in range(rounds + 1)][1:]
        command = [sys.executable, "-c", CALLING]
        output = subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout
    calls = json.loads(output)
    added = statistics.median(ours - bare for bare, ours in zip(calls["bare"], calls["ours"], strict=True))
    ratios = [ours / bare for bare, ours in pairs]
    bare, ours = ([pair[place] for pair in pairs] for place in (0, 1))
    return {"boto3": bare, "function": ours, "cold_ratio": statistics.median(ratios), "added_seconds": added}


def _seconds(code: str, environment: dict[str, str]) -> float:
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], env=environment, check=True)
    return time.perf_counter() - began


def _environment(address: str) -> dict[str, str]:
    own = {
        "ENDPOINT_NAME": "bench",
        "EXECUTION_ID": "bench",
        "DEPLOYMENT_HASH": "0",
        "METRIC_NAMESPACE": "bench",
    }
    own |= {"AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME": address, "AWS_DEFAULT_REGION": "eu-central-1"}
    own |= {
        "AWS_ACCESS_KEY_ID": "local",
        "AWS_SECRET_ACCESS_KEY": "local",
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    return {"PATH": os.environ["PATH"], "PYTHONPATH": str(PRODUCT / "functions"), **own}


@contextlib.contextmanager
def _endpoint() -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Endpoint)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
