"""Processes that share the captured requests among this machine's processors, since Python uses one of them.

The processes start before this one imports its libraries, because they import the same libraries meanwhile.
"""

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from container.monitor import capture

_BYTES_PER_WORKER = 33_554_432  # reading them takes as long as the start of a process
_GZIP_RATIO = 10  # of the bytes of JSON lines to those of their gzip file
_WORKER_MODULE = "container.monitor.worker"
_ROOT = Path(__file__).resolve().parents[2]

Process = subprocess.Popen[bytes]
WorkerPool = list[Process]


@contextlib.contextmanager
def start(source: Path) -> Iterator[WorkerPool]:
    """Start processes by the size of a directory's captured requests; kill them at the end."""
    useful = sum(map(_size, capture.find(source))) // _BYTES_PER_WORKER
    pool: WorkerPool = []
    try:
        for _ in range(min(_processors(), useful) - 1):
            pool.append(_start())
        yield pool
    finally:
        for process in pool:
            process.kill()
            process.communicate()


def _processors() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _size(path: Path) -> int:
    """Return about how many bytes a file has once it is decompressed."""
    return path.stat().st_size * (_GZIP_RATIO if path.suffix == ".gz" else 1)


def _start() -> Process:
    path = os.pathsep.join(filter(None, [str(_ROOT), os.environ.get("PYTHONPATH")]))
    return subprocess.Popen(
        [sys.executable, "-m", _WORKER_MODULE],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=os.environ | {"POLARS_MAX_THREADS": "1", "PYTHONPATH": path},
    )
