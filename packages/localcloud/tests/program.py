"""The stand-in for a project's container: a program that keeps SageMaker's contract and does what it is told.

Tests copy it to container/__main__.py. Hyperparameters (processing: the environment) tell a job what to do, a
request's body tells the server.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

BASE = Path(os.environ["SAGEMAKER_BASE_DIR"])


class Handler(BaseHTTPRequestHandler):
    """Echoes a body, or does what it says: `status=500`, `sleep=2`, `die`, `who`."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def answer(self, status: int, body: bytes, kind: str = "text/csv; charset=utf-8") -> None:
        """Write head and body at once."""
        head = (
            f"HTTP/1.1 {status} X\r\ncontent-type: {kind}\r\ncontent-length: {len(body)}\r\nx-own: 1\r\n\r\n"
        )
        self.wfile.write(head.encode() + body)

    def do_GET(self) -> None:
        """Answer the health check."""
        self.answer(200 if self.path == "/ping" else 404, b"")

    def do_POST(self) -> None:
        """Answer an invocation."""
        body = self.rfile.read(int(self.headers["content-length"]))
        order, _, value = body.decode("latin-1")[:20].partition("=")
        if order == "status":
            self.answer(int(value), b'{"error":"as asked"}', "application/json")
        elif order == "die":
            os._exit(3)
        elif order == "who":
            self.answer(200, str(os.getpid()).encode())
        else:
            time.sleep(float(value) if order == "sleep" else 0)
            self.answer(200, body, self.headers.get("accept") or "text/csv; charset=utf-8")


def serve() -> None:
    """Serve until SIGTERM."""
    if os.environ.get("BROKEN"):
        sys.exit("the model is broken")
    server = ThreadingHTTPServer(("127.0.0.1", int(os.environ["SAGEMAKER_BIND_TO_PORT"])), Handler)
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    server.serve_forever()


def train() -> None:
    """Write a model, its tree and environment in it, and end as the hyperparameters say."""
    told = json.loads((BASE / "input/config/hyperparameters.json").read_text())
    sys.stdout.write("validation_rmse=0.75;\nvalidation_rmse=0.5;\n")
    host = current_host("input/config")
    tree = {path.relative_to(BASE).as_posix(): path.read_text() for path in BASE.rglob("*") if path.is_file()}
    (BASE / "model/seen.json").write_text(json.dumps({"tree": tree, "environment": dict(os.environ)}))
    (BASE / f"model/{host}").touch()
    if host in told.get("fails", ""):
        (BASE / "output/failure").write_text(f"{host} has no memory left")
        sys.exit(1)
    if "stubborn" in told:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    time.sleep(float(told.get("sleep", "0")))
    if "fail" in told:
        (BASE / "output/failure").write_text(told["fail"])
        sys.exit(1)


def prepare() -> None:
    """Copy the input to the output, and leave a message; say which of several instances did."""
    source = BASE / "processing/input/data"
    for path in (path for path in source.rglob("*") if path.is_file()):
        target = BASE / "processing/output/copy" / path.relative_to(source)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(path.read_bytes())
    if "TELL" in os.environ:
        host = current_host("config")
        names = sorted(path.name for path in source.iterdir())
        (BASE / f"processing/output/copy/{host}").write_text("\n".join(names))
        (BASE / "processing/output/copy/last").write_text(host)
    (BASE / "output/message").write_text(os.environ.get("MESSAGE", ""))
    time.sleep(float(os.environ.get("SLEEP", "0")))
    sys.exit(int(os.environ.get("EXIT", "0")))


def monitor() -> None:
    """Leave what Model Monitor takes from a container (files, a metric, a message), and what it was given."""
    given = {name: value for name, value in os.environ.items() if name.islower()}
    source, output = moved(given["dataset_source"]), moved(given["output_path"])
    captured = [line for path in sorted(source.rglob("*.jsonl")) for line in path.read_text().splitlines()]
    baseline = {name: moved(given[f"baseline_{name}"]).read_text() for name in ("statistics", "constraints")}
    seen = {"environment": given, "lines": captured, "baseline": baseline}
    (output / "seen.json").write_text(json.dumps(seen))
    violation = {"feature_name": "x", "constraint_check_type": "data_type_check", "description": "as told"}
    (output / "constraint_violations.json").write_text(json.dumps({"violations": [violation]}))
    names = {
        "Endpoint": "sagemaker_endpoint_name",
        "MonitoringSchedule": "sagemaker_monitoring_schedule_name",
    }
    metric = {
        "MetricName": "feature_baseline_drift_x",
        "Value": 0.5,
        "Dimensions": [{"Name": name, "Value": given[variable]} for name, variable in names.items()],
        "Timestamp": given["end_time"],
    }
    target = BASE / "output/metrics/cloudwatch/cloudwatch_metrics.jsonl"
    target.parent.mkdir(parents=True)
    target.write_text(json.dumps(metric) + "\n")
    (BASE / "output/message").write_text("CompletedWithViolations: 1 violation")


def current_host(folder: str) -> str:
    """Return the name of this instance."""
    return str(json.loads((BASE / folder / "resourceconfig.json").read_text())["current_host"])


def moved(path: str) -> Path:
    """Return where a path of the container stands here."""
    return BASE / Path(path).relative_to("/opt/ml")


if __name__ == "__main__":
    {"serve": serve, "train": train, "prepare": prepare, "monitor": monitor}[sys.argv[1]]()
