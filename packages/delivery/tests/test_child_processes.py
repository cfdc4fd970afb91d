"""A process that an interrupted command ends: it ends what it has started first, and gets one signal."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from delivery import child_processes
from delivery.cloud import DeliveryError

if TYPE_CHECKING:
    from pathlib import Path

# A process that ends its jobs at an interrupt, and one that runs it, at a terminal of its own.
CHILD = """
import os, time
from pathlib import Path
from delivery.interrupts import Interrupts
received = Interrupts().received
try:
    os.write(1, b"ready")
    while True:
        time.sleep(0.01)
except KeyboardInterrupt:
    time.sleep(0.4)  # longer than subprocess.run waits
    Path("stopped").write_text(str(len(received)))
"""
PARENT = f"""
import fcntl, sys, termios
from delivery import child_processes
from delivery.interrupts import Interrupts
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
received = Interrupts().received
try:
    child_processes.run([sys.executable, "-c", {CHILD!r}])
except KeyboardInterrupt:
    sys.exit(*received)
"""


def test_a_child_ends_what_it_has_started_after_one_signal(tmp_path: Path) -> None:
    """A second signal, from the terminal or a closed one, would interrupt that."""
    parents = {}
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        folder = tmp_path / str(number)
        folder.mkdir()
        ours, theirs = os.openpty()
        parents[number] = (
            ours,
            subprocess.Popen(
                [sys.executable, "-c", PARENT],
                cwd=folder,
                stdin=theirs,
                stdout=theirs,
                stderr=theirs,
                start_new_session=True,
            ),
        )
        os.close(theirs)
    assert [os.read(ours, 5) for ours, _ in parents.values()] == [b"ready"] * 3
    os.write(parents[signal.SIGINT][0], b"\x03")  # the terminal sends it
    parents[signal.SIGTERM][1].send_signal(signal.SIGTERM)
    os.close(parents[signal.SIGHUP][0])
    assert [parent.wait(10) for _, parent in parents.values()] == list(parents)
    assert {(tmp_path / str(number) / "stopped").read_text() for number in parents} == {"1"}
    for number in (signal.SIGINT, signal.SIGTERM):
        os.close(parents[number][0])


def test_a_child_that_does_not_end_is_killed_with_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    """Protects a person from a command that does not end, and from jobs that nobody mentions."""
    monkeypatch.setattr(child_processes, "END_SECONDS", 0.1)
    program = (
        "import os, signal, time; signal.signal(15, signal.SIG_IGN); os.kill(os.getppid(), 2); time.sleep(60)"
    )
    began = time.monotonic()
    with pytest.raises(DeliveryError, match=r"was killed\. What it has started may run on") as caught:
        child_processes.run([sys.executable, "-c", program])
    assert time.monotonic() - began < 10
    (pid,) = re.findall(r"Process (\d+)", str(caught.value))
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid), 0)
