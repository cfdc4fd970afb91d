"""Run a command that must not outlive its parent: `parent_watchdog.py GRACE COMMAND…`, with a pipe as input.

When the pipe closes, because the parent ended in whatever way, the command gets SIGTERM and, GRACE seconds
later, its whole process group and all its descendants are killed, as they are when the command has ended.
A pipe works on macOS as well, which has no PR_SET_PDEATHSIG; there a process in a session of its own whose
parent has ended is not found. Little is imported, because this starts before every job.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import time

PR_SET_CHILD_SUBREAPER = 36
# A process that is killed takes a moment to end, and may have started another one before.
PATIENCE_SECONDS, POLL_SECONDS = 2.0, 0.005


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
    adopt_orphans()
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
            _end_all()
    if deadline:
        _end_all()
    if _has_children():
        kill_descendants(os.getpid())
    return code


def _end_all() -> None:
    kill_descendants(os.getpid())
    os.killpg(0, signal.SIGKILL)


def _exit_code(child: int) -> int | None:
    """Return the child's exit code (128 + signal when a signal ended it), or None while it runs."""
    while True:
        pid, status = os.waitpid(-1, os.WNOHANG)  # adopted processes end too
        if not pid:
            return None
        if pid == child:
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else 128 - code


def _has_children() -> bool:
    """Return whether the command left processes, which this one has adopted."""
    try:
        os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        return False
    return True


def _send(child: int, number: int) -> None:
    """Send a signal to the child, which may have ended."""
    try:
        os.kill(child, number)
    except ProcessLookupError:
        return


def adopt_orphans() -> None:
    """Become the parent of all descendants whose own parent ends; Linux alone knows this."""
    if sys.platform == "linux":
        import ctypes  # noqa: PLC0415 - macOS needs it not

        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def kill_descendants(root: int) -> None:
    """Kill all processes below one, which itself continues; those that they start meanwhile too."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while (found := find_descendants(root)) and time.monotonic() < deadline:
        for process in found:
            try:
                os.kill(process, signal.SIGKILL)
            except (ProcessLookupError, PermissionError):
                continue
        time.sleep(POLL_SECONDS)


def find_descendants(root: int) -> list[int]:
    """Return the ids of all processes below one, without those that have ended."""
    parents = _linux_parents() if sys.platform == "linux" else _other_parents()
    found = {root}
    while more := {process for process, parent in parents.items() if parent in found} - found:
        found |= more
    return sorted(found - {root})


def _linux_parents() -> dict[int, int]:
    parents = {}
    for name in filter(str.isdigit, os.listdir("/proc")):  # noqa: PTH208 - pathlib takes long to import
        try:
            with open(f"/proc/{name}/stat", "rb") as file:  # noqa: PTH123 - pathlib takes long to import
                # The name in parentheses may hold anything.
                state, parent = file.read().rpartition(b")")[2].split()[:2]
        except OSError:
            continue
        if state not in (b"Z", b"X"):
            parents[int(name)] = int(parent)
    return parents


def _other_parents() -> dict[int, int]:
    import subprocess  # noqa: PLC0415 - Linux needs it not

    command = ["/bin/ps", "-A", "-o", "pid=,ppid=,stat="]
    listing = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    lines = [line.split() for line in listing.communicate()[0].splitlines()]
    return {
        int(process): int(parent)
        for process, parent, state in lines
        if not state.startswith("Z") and int(process) != listing.pid
    }


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
