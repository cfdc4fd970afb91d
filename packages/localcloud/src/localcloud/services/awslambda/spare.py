"""A process that has imported boto3 before its function is known: a cold start need not wait for that."""

from __future__ import annotations

import contextlib
import json
import subprocess
import threading
from typing import TYPE_CHECKING, Any

from localcloud.services.awslambda import spare_program

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    Process = subprocess.Popen[str]


class Spare:
    """One process that waits; each that is taken is replaced."""

    def __init__(self) -> None:
        """Begin without one."""
        self._lock = threading.Lock()
        self._process: Process | None = None
        self._python = ""
        self._over = False

    def start(self, command: Sequence[str], *, cwd: str, env: Mapping[str, str], **pipes: Any) -> Process:
        """Start a function's process as `subprocess.Popen` does, from the spare one where there is one."""
        python, program = command
        taken = self._take(python)
        if taken is None or not _become(taken, program, cwd, env):
            taken = subprocess.Popen(command, cwd=cwd, env=env, **pipes)
        self._prepare(python, pipes)
        return taken

    def end(self) -> None:
        """End the process that waits; none is started any more."""
        with self._lock:
            self._over = True
            process, self._process = self._process, None
        if process:
            _kill(process)

    def _take(self, python: str) -> Process | None:
        with self._lock:
            process, self._process = self._process, None
        if process and python != self._python:
            _kill(process)
            return None
        return process

    def _prepare(self, python: str, pipes: Mapping[str, Any]) -> None:
        with self._lock:
            if self._over or self._process is not None:
                return
            with contextlib.suppress(OSError):  # the next function gets a process of its own
                self._python = python
                self._process = subprocess.Popen([python, spare_program.__file__], **pipes)


def _become(process: Process, program: str, cwd: str, env: Mapping[str, str]) -> bool:
    """Tell the process which function it is; return whether it was there to listen."""
    if process.poll() is None and process.stdin is not None:
        with contextlib.suppress(OSError):
            process.stdin.write(json.dumps({"program": program, "cwd": cwd, "env": dict(env)}) + "\n")
            process.stdin.flush()
            return True
    _kill(process)
    return False


def _kill(process: Process) -> None:
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout, process.stderr):
        if pipe is not None:
            with contextlib.suppress(OSError):  # what was not read any more
                pipe.close()
