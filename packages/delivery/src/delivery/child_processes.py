"""A process that a command runs, and ends with itself."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

from delivery.cloud import DeliveryError
from delivery.interrupts import delayed

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

END_SECONDS = 30.0  # of a process that ends what it has started


def run(
    command: Sequence[str | Path],
    *,
    folder: Path | None = None,
    variables: Mapping[str, str] | None = None,
    errors: int | None = None,
    before_end: Callable[[], None] = lambda: None,
) -> tuple[int, str]:
    """Run a process in a session of its own; return its exit code, and its errors where they are a pipe.

    An interrupt calls `before_end`, sends SIGTERM and waits for the end. The session keeps the signals of a
    terminal from the process: a second one would interrupt what ends its jobs.

    Raises:
        DeliveryError: The process did not end in time after an interrupt, and was killed.

    """
    process: subprocess.Popen[str] | None = None
    try:
        with delayed():
            process = subprocess.Popen(
                command,
                cwd=folder,
                env=variables,
                stdin=subprocess.DEVNULL,
                stderr=errors,
                text=True,
                start_new_session=True,
            )
        said = process.communicate()[1]
    except KeyboardInterrupt:
        if process:
            before_end()
            _end(process)
        raise
    return process.returncode, said or ""


def _end(process: subprocess.Popen[str]) -> None:
    process.terminate()
    try:
        process.communicate(timeout=END_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        raise DeliveryError(
            f"Process {process.pid} did not end in {END_SECONDS:.0f} s after SIGTERM and was killed. What it "
            "has started may run on: 'python -m local jobs' lists it, and 'stop' ends it."
        ) from None
