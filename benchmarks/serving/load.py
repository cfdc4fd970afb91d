"""The requests to the servers, which wrk sends over 127.0.0.1 for a limited time."""

from __future__ import annotations

import http.client
import json
import statistics
import subprocess
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from benchmarks.serving import subjects
from benchmarks.serving.servers import HERE, MLSERVER, Started

if TYPE_CHECKING:
    from pathlib import Path

CONNECTIONS = 8
BODIES = 4000  # requests at most; their rows differ, so that no cache holds the path of a row
BATCH, BATCHES = 10_000, 3


@dataclass(frozen=True)
class Case:
    """The requests of one measurement: a model, a format, and the number of rows in a request."""

    model: str
    form: str
    size: int

    @property
    def name(self) -> str:
        """The name in tables."""
        plural = "row" if self.size == 1 else "rows"
        return f"{self.model.replace('_', ' ')}, {self.form}, {self.size:,} {plural}"


def ask(
    started: Started, case: Case, folder: Path, seconds: float, connections: int = CONNECTIONS
) -> dict[str, float]:
    """Return requests a second, latencies in ms, and the processor time of a request in us.

    Raises:
        RuntimeError: a request fails.
    """
    kind = "text/csv" if case.form == "csv" else "application/json"
    file = folder / f"{case.form}-{case.size}-{started.server == MLSERVER}.bodies"
    if not file.exists():
        file.write_bytes(b"".join(body + b"\0" for body in _bodies(started, case)))
    url = f"http://127.0.0.1:{started.port}"
    options = [
        "-t1",
        f"-c{connections}",
        "--latency",
        "--timeout",
        "20s",
        "-s",
        str(HERE / "requests.lua"),
        url,
    ]
    given = ["--", str(file), started.server.path, kind]
    for duration in (0.5, seconds):
        command = ["wrk", f"-d{max(1, round(duration))}s", *options, *given]
        before = started.processor()
        printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    found: dict[str, float] = json.loads(printed.splitlines()[-1])
    if found["failed"]:
        raise RuntimeError(f"{started.server.name} failed {found['failed']:.0f} times at {case.name}")
    answered = max(found["requests"], 1)  # one that outlasts the run counts as answered at its end
    processor = (started.processor() - before) / answered * 1e6
    rate = answered / found["seconds"]
    return {"rate": rate, "p50": found["p50"], "p99": found["p99"], "processor": processor}


def batch(started: Started) -> float:
    """Return the seconds from sending 10,000 rows of CSV to the end of the response.

    Raises:
        RuntimeError: the response is an error or incomplete.
    """
    body = _csv(subjects.rows(BATCH, seed=4).tolist())
    connection = http.client.HTTPConnection("127.0.0.1", started.port, timeout=120)
    taken = []
    for _ in range(BATCHES + 1):
        began = time.perf_counter()
        connection.request("POST", started.server.path, body, {"content-type": "text/csv"})
        answer = connection.getresponse()
        lines = answer.read().split()
        taken.append(time.perf_counter() - began)
        if answer.status != http.HTTPStatus.OK or len(lines) != BATCH:
            raise RuntimeError(f"{started.server.name} answered a batch with {answer.status}")
    connection.close()
    return statistics.median(taken[1:])


def _bodies(started: Started, case: Case) -> list[bytes]:
    rows = subjects.rows(subjects.ASKED, seed=3).tolist()
    starts = range(0, min(len(rows), BODIES * case.size) - case.size + 1, case.size)
    parts = [rows[start : start + case.size] for start in starts]
    if case.form == "csv":
        return [_csv(part) for part in parts]
    if started.server == MLSERVER:
        return [json.dumps({"inputs": [_tensor(part)]}).encode() for part in parts]
    return [json.dumps({"instances": part}).encode() for part in parts]


def _tensor(part: list[list[float]]) -> dict[str, Any]:
    data = [cell for row in part for cell in row]
    return {"name": "rows", "shape": [len(part), len(part[0])], "datatype": "FP64", "data": data}


def _csv(part: list[list[float]]) -> bytes:
    return "\n".join(",".join(map(repr, row)) for row in part).encode()
