"""Run a command that must not outlive its parent: `parent_watchdog.py GRACE COMMAND…`, with a pipe as input.

When the pipe closes, because the parent ended in whatever way, the command gets SIGTERM and, GRACE seconds
later, its whole process group is killed. A pipe works on macOS as well, which has no PR_SET_PDEATHSIG. Little
is imported, because this starts before every job.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import time


def main(arguments: list[str]) -> int:
    """Start the command, wait for it or for the pipe's end, and return its exit code."""
    grace, command = float(arguments[0]), arguments[1:]
    if os.getpgrp() != os.getpid():
        # This group will be killed, so it must not be the one of the process that started this.
        os.setpgid(0, 0)
    wakeup, alarm = os.pipe()
    os.set_blocking(alarm, False)
    signal.set_wakeup_fd(alarm, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # SIGTERM before its handler is installed would end the watchdog, and leave the command without one.
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
    child = _start(command)
    signal.signal(signal.SIGTERM, lambda *_: _send(child, signal.SIGTERM))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])
    return _watch(child, wakeup, grace)


def _start(command: list[str]) -> int:
    """Fork and execute the command with an empty standard input, and return its process id."""
    child = os.fork()
    if child:
        return child
    try:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGPIPE, signal.SIGCHLD):
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])
        signal.set_wakeup_fd(-1)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.execvp(command[0], command)  # noqa: S606 - a command is executed, not a line of a shell
    except OSError as error:
        os.write(2, f"error: {command[0]} can't be started: {error.strerror}\n".encode())
    finally:
        os._exit(127)


def _watch(child: int, wakeup: int, grace: float) -> int:
    """Wait until the child has ended, ending it when the pipe on standard input closes."""
    deadline = None
    while (code := _exit_code(child)) is None:
        sources = [wakeup] if deadline else [wakeup, 0]
        timeout = max(0.0, deadline - time.monotonic()) if deadline else None
        ready = select.select(sources, [], [], timeout)[0]
        if wakeup in ready:
            os.read(wakeup, 512)
        if 0 in ready and not os.read(0, 512):
            deadline = time.monotonic() + grace
            _send(child, signal.SIGTERM)
        if deadline and time.monotonic() >= deadline:
            os.killpg(0, signal.SIGKILL)
    if deadline:
        os.killpg(0, signal.SIGKILL)
    return code


def _exit_code(child: int) -> int | None:
    """Return the child's exit code (128 + signal when a signal ended it), or None while it runs."""
    pid, status = os.waitpid(child, os.WNOHANG)
    if not pid:
        return None
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


def _send(child: int, number: int) -> None:
    """Send a signal to the child, which may have ended."""
    try:
        os.kill(child, number)
    except ProcessLookupError:
        return


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
