"""Processes of the cloud, each under a watchdog, so that none outlives the cloud."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from localcloud.core.parent_watchdog import kill_descendants

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

WATCHDOG = Path(__file__).with_name("parent_watchdog.py")
# Within this time an orphaned process must end by itself, or its group is killed.
ORPHAN_GRACE_SECONDS = 1.5


class ManagedProcess:
    """A command under a watchdog, in a process group of its own, writing into a log file."""

    def __init__(
        self,
        command: Sequence[str],
        cwd: Path,
        environment: Mapping[str, str],
        log: Path,
        *,
        descriptors: Sequence[int] = (),
    ) -> None:
        """Start the command with some open files; its output is appended to `log` as it comes."""
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", str(WATCHDOG), str(ORPHAN_GRACE_SECONDS), *command],
                cwd=cwd,
                env=dict(environment),
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                pass_fds=descriptors,
            )
        self._ending = threading.Lock()

    @property
    def pid(self) -> int:
        """The watchdog's process id, which is the process group of the command."""
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether the command has not ended yet."""
        return self._poll() is None

    def wait(self, timeout: float | None = None) -> int | None:
        """Return the exit code (128 + signal if one ended it), or None after `timeout` seconds."""
        try:
            self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            return None
        return self._poll()

    def terminate(self) -> None:
        """Ask the command to end, as `docker stop` does: SIGTERM to its first process only."""
        if self.running:
            self._process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Kill the command and everything that it started, in whatever process group or session."""
        if self._process.returncode is None:  # until then, the id is that of no other process
            kill_descendants(self.pid)
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            return

    def end(self, grace: float) -> int:
        """Ask the command to end, kill it when `grace` seconds pass, and return its exit code."""
        self.terminate()
        code = self.wait(grace)
        if code is None:
            self.kill()
            code = self._process.wait()
        return code if code >= 0 else 128 - code

    def _poll(self) -> int | None:
        with self._ending:
            code = self._process.poll()
            if code is None:
                return None
            if self._process.stdin and not self._process.stdin.closed:
                self._process.stdin.close()
                # Processes that the command left behind in its group end with it.
                self.kill()
            return code if code >= 0 else 128 - code
