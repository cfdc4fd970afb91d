"""The captured requests of a directory, profiled by this process and its crew."""

import contextlib
from collections.abc import Iterable
from pathlib import Path

from container.monitor import capture, worker
from container.monitor.capture import Share
from container.monitor.partial import Partial, restored
from container.monitor.worker import Task
from container.monitor.worker_pool import Crew, Process
from container.runtime.errors import UserError


def profile(source: Path, task: Task, crew: Crew) -> Partial:
    """Profile the captured requests of a directory, each process some of its parts."""
    shares = capture.shares(capture.find(source))
    count = 1 + len(crew)
    for place, process in enumerate(crew, 1):
        _send(process, shares[place::count], task)
    found = worker.profile(shares[::count], task)
    for process in crew:
        found.merge(_finish(process, task))
    return found


def _send(process: Process, shares: Iterable[Share], task: Task) -> None:
    if process.stdin:
        with contextlib.suppress(BrokenPipeError):  # one that has ended is found when its result is read
            process.stdin.write(f"{task.to_json(shares)}\n".encode())
            process.stdin.flush()


def _finish(process: Process, task: Task) -> Partial:
    stored = process.stdout.read() if process.stdout else b""
    if process.wait():
        raise UserError(
            f"a process of the monitor ended with {process.returncode}: when memory is short, take a larger "
            "instance, or several"
        )
    return restored(stored, task.known, "the result of a process")
