"""Processes that share the captured requests among this machine's processors: Python does one thing in each.

They start before this process imports what it works with, since they import the same meanwhile.
"""

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from container.monitor import capture

# Bytes that are worth another process, whose start takes as long as reading them; gzip holds ten times as
# many.
_WORTH = 33_554_432
_COMPRESSION = 10
_WORKER = "container.monitor.worker"
_ROOT = Path(__file__).resolve().parents[2]

Process = subprocess.Popen[bytes]
Crew = list[Process]


@contextlib.contextmanager
def start(source: Path) -> Iterator[Crew]:
    """Start as many processes besides this one as the requests of a directory are worth; end them at last."""
    worth = sum(map(_weight, capture.find(source))) // _WORTH
    crew: Crew = []
    try:
        for _ in range(min(_processors(), worth) - 1):
            crew.append(_start())
        yield crew
    finally:
        for process in crew:
            process.kill()
            process.communicate()


def _processors() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _weight(path: Path) -> int:
    return path.stat().st_size * (_COMPRESSION if path.suffix == ".gz" else 1)


def _start() -> Process:
    path = os.pathsep.join(filter(None, [str(_ROOT), os.environ.get("PYTHONPATH")]))
    return subprocess.Popen(
        [sys.executable, "-m", _WORKER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=os.environ | {"POLARS_MAX_THREADS": "1", "PYTHONPATH": path},
    )
