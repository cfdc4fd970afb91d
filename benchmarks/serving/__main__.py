"""Alternate our server with other servers, model by model: `python -m benchmarks.serving`.

(a) is nginx, gunicorn and flask, which most examples ship. Each round starts every server anew with two
workers, and sends requests with different rows for a limited time. Writes build/bench.json.
"""

from __future__ import annotations

import argparse
import datetime as dt
import os
import platform
import shutil
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from benchmarks import results
from benchmarks.serving import function, load, report, subjects
from benchmarks.serving.load import Case
from benchmarks.serving.servers import (
    CONSTANT,
    GTHREAD,
    KERNEL,
    MLSERVER,
    NGINX,
    OURS,
    PRODUCT,
    ROOT,
    Server,
    running,
)

if TYPE_CHECKING:
    from benchmarks.serving.subjects import Subject

FOLDER = ROOT / "build" / "bench"
LINEAR, FOREST, BOOSTING = subjects.NAMES
CASES = (
    Case(LINEAR, "json", 1),
    Case(LINEAR, "csv", 1),
    Case(FOREST, "json", 1),
    Case(FOREST, "json", 100),
    Case(BOOSTING, "json", 1),
)
# Targets of the ratios to (a), to the strongest server and to the limit; 0 for none.
TARGETS: dict[str, tuple[float, float, float]] = dict(
    zip(
        (case.name for case in CASES),
        ((25, 12, 0.6), (25, 12, 0.6), (80, 70, 0.5), (6, 6, 0), (50, 40, 0.5)),
        strict=True,
    )
)
SERVERS = (NGINX, GTHREAD, MLSERVER, OURS, CONSTANT, KERNEL)
WIDE = (8, 64, 256)  # connections


@dataclass
class Found:
    """The figures of each round by case or model, then by server."""

    rates: dict[str, report.Rounds] = field(default_factory=dict)
    processor: dict[str, report.Rounds] = field(default_factory=dict)
    starts: dict[str, report.Rounds] = field(default_factory=dict)
    memory: dict[str, report.Rounds] = field(default_factory=dict)
    batches: dict[str, report.Rounds] = field(default_factory=dict)
    wide: dict[str, report.Rounds] = field(default_factory=dict)


def put(rounds: dict[str, report.Rounds], key: str, number: int, name: str, value: float) -> None:
    """Store a figure of a round."""
    kept = rounds.setdefault(key, [])
    while len(kept) <= number:
        kept.append({})
    kept[number][name] = value


def measure(found: Found, number: int, server: Server, subject: Subject, seconds: float) -> None:
    """Start a server, and measure the cases of a model that the server supports."""
    cases = [
        case for case in CASES if case.model == subject.name and (case.form != "csv" or server != MLSERVER)
    ]
    # The server that predicts alone has a fixed number of rows, so it starts once for each case.
    groups = [[case] for case in cases] if server == KERNEL else [cases]
    for group in groups:
        with running(server, subject, FOLDER, group[0].size) as started:
            for case in group:
                asked = load.ask(started, case, FOLDER, seconds)
                put(found.rates, case.name, number, server.name, asked["rate"])
                put(found.processor, case.name, number, server.name, asked["processor"])
            if server not in {CONSTANT, KERNEL}:
                put(found.starts, subject.name, number, server.name, started.seconds)
                put(found.memory, subject.name, number, server.name, started.memory())


def measure_batches(found: Found, number: int, subject: Subject) -> None:
    """Measure requests of 10,000 rows, with each server on one core."""
    for server in _turned((NGINX, GTHREAD, OURS), number):
        with running(server, subject, FOLDER, 1, cores="0") as started:
            put(found.batches, subject.name, number, server.name, load.batch(started) * 1000)


def measure_wide(found: Found, number: int, subject: Subject, seconds: float) -> None:
    """Measure our server with increasing numbers of connections."""
    with running(OURS, subject, FOLDER, 1) as started:
        for connections in WIDE:
            asked = load.ask(started, CASES[0], FOLDER, seconds, connections)
            for name in ("rate", "p50", "p99"):
                put(found.wide, f"{connections} connections", number, name, asked[name])


def _turned(servers: tuple[Server, ...], number: int) -> tuple[Server, ...]:
    """Return the servers in a different order for each round."""
    at = number % len(servers)
    return servers[at:] + servers[:at]


def main() -> None:
    """Measure, print and write the results."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=results.ROUNDS)
    parser.add_argument("--seconds", type=float, default=3)
    arguments = parser.parse_args()
    missing = [name for name in ("nginx", "wrk", "taskset") if shutil.which(name) is None]
    if missing:
        way_out = "`make bench-serving` installs them on Debian and Ubuntu"
        sys.exit(f"error: {' and '.join(missing)} must be installed; {way_out}")
    console, found = Console(width=200), Found()
    api = function.measure(arguments.rounds)
    made = subjects.prepare(FOLDER / "models", sys.executable, PRODUCT)
    for number in range(arguments.rounds):
        for subject in made:
            for server in _turned(SERVERS, number):
                console.print(f"round {number + 1}: {subject.name}, {server.name}", style="dim")
                measure(found, number, server, subject, arguments.seconds)
            if subject.name != BOOSTING:
                measure_batches(found, number, subject)
        measure_wide(found, number, made[0], arguments.seconds)
    _show(console, found)
    cold, added = api["cold_ratio"], api["added_seconds"] * 1000
    console.print(
        f"API function: {cold:.2f} times boto3's cold start (at most 1.2), {added:.3f} ms a call (below 1)"
    )
    results.record(serving=_content(found, api, arguments.rounds))


def _show(console: Console, found: Found) -> None:
    report.show(console, found.rates, "requests/s")
    report.show_ratios(console, found.rates, TARGETS)
    report.show(console, found.processor, "us of processor time a request", 1)
    report.show(console, found.starts, "seconds to the first good /ping", 2)
    report.show(console, found.memory, "MB of two workers")
    report.show(console, found.batches, "ms for 10,000 rows of CSV on one core", 1)
    report.show_shares(console, found.processor, "processor time a request")
    report.show_shares(console, found.starts, "start, at most 0.2 of (a)")
    report.show_shares(console, found.memory, "memory, at most 0.25 of (a)")
    report.show_shares(console, found.batches, "batch, 3 times as fast for linear, 2 for the forest")
    report.show(console, found.wide, "ours, linear, by connections", 2)


def _content(found: Found, api: dict[str, Any], rounds: int) -> dict[str, Any]:
    return {
        "date": dt.datetime.now(tz=dt.UTC).date().isoformat(),
        "machine": f"{_processor()}, {os.cpu_count()} cores, Python {platform.python_version()}",
        "rounds": rounds,
        "summary": report.summary(found.rates),
        "targets": TARGETS,
        **{
            name: getattr(found, name)
            for name in ("rates", "processor", "starts", "memory", "batches", "wide")
        },
        "function": api,
    }


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    return next(
        (line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.machine()
    )


if __name__ == "__main__":
    main()
