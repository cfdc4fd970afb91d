"""The captured requests of a directory, profiled by this process and its worker pool in shards."""

import contextlib
from collections.abc import Iterable
from pathlib import Path

from container.monitor import capture, worker
from container.monitor.capture import Counts, Shard
from container.monitor.partial_profile import PartialProfile, deserialize
from container.monitor.worker import Task
from container.monitor.worker_pool import Process, WorkerPool
from container.runtime.errors import UserError


def profile(source: Path, task: Task, pool: WorkerPool) -> PartialProfile:
    """Profile the captured requests of a directory, with an equal number of shards for each process."""
    counts = Counts()
    shards = capture.shards(capture.find(source, counts))
    count = 1 + len(pool)
    for number, process in enumerate(pool, 1):
        _send(process, shards[number::count], task)
    merged = worker.profile(shards[::count], task)
    merged.counts += counts
    for process in pool:
        merged.merge(_result(process, task))
    return merged


def _send(process: Process, shards: Iterable[Shard], task: Task) -> None:
    if process.stdin:
        with contextlib.suppress(BrokenPipeError):  # the process has ended, which reading its result reports
            process.stdin.write(f"{task.to_json(shards)}\n".encode())
            process.stdin.flush()


def _result(process: Process, task: Task) -> PartialProfile:
    serialized = process.stdout.read() if process.stdout else b""
    if process.wait():
        raise UserError(
            f"a process of the monitor ended with {process.returncode}: when memory is short, take a larger "
            "instance, or several"
        )
    return deserialize(serialized, task.known_texts, "the result of a process")
