"""The signals that end a command: Ctrl-C, SIGTERM, and SIGHUP, which a terminal that is closed sends."""

from __future__ import annotations

import os
import signal
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
OF_SHELLS = 128  # the exit code of a command that a signal ended is this and the signal's number
TYPER_CODE = OF_SHELLS + signal.SIGINT  # of typer, for every KeyboardInterrupt


class Terminated(KeyboardInterrupt):
    """The command was ended by SIGTERM or SIGHUP."""


@dataclass
class _Delays:
    """The bodies of `delayed` that run, and what the signals meanwhile will raise."""

    depth: int = 0
    raised: list[KeyboardInterrupt] = field(default_factory=list)


_DELAYS = _Delays()  # of the process, as its signals are


@contextmanager
def delayed() -> Iterator[None]:
    """Delay a signal until the body, such as a request that creates something, has ended.

    The answer to the request is known then, so that what it created can be ended. Main thread only.
    """
    _DELAYS.depth += 1
    try:
        yield
    finally:
        _DELAYS.depth -= 1
        if _DELAYS.raised and not _DELAYS.depth:
            first, _DELAYS.raised = _DELAYS.raised[0], []
            raise first


class Interrupts:
    """The signals that the command has received; each raises KeyboardInterrupt in the main thread.

    A command under nohup, which ignores SIGHUP, continues to.
    """

    def __init__(self) -> None:
        """Handle the signals from now on."""
        self.received: list[int] = []
        self._terminals = [number for number in (0, 1, 2) if os.isatty(number)]
        for number in SIGNALS:
            if number != signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, self._interrupt)

    def exit_code(self, code: str | int | None) -> str | int | None:
        """Return the exit code of a command that typer ends with `code`."""
        return OF_SHELLS + self.received[0] if code == TYPER_CODE and self.received else code

    @staticmethod
    def ignore() -> None:
        """Ignore the signals from now on, while Python ends."""
        for number in SIGNALS:
            signal.signal(number, signal.SIG_IGN)

    def _interrupt(self, number: int, _: FrameType | None) -> None:
        self.received.append(number)
        # A shell that ends sends it once more, which would interrupt what ends the command's jobs.
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        self._leave_closed_terminals()
        error = KeyboardInterrupt() if number == signal.SIGINT else Terminated()
        if not _DELAYS.depth:
            raise error
        _DELAYS.raised.append(error)

    def _leave_closed_terminals(self) -> None:
        """Send what is still printed nowhere: an error of a closed terminal would end the command instead."""
        closed = [number for number in self._terminals if not os.isatty(number)]
        if not closed:
            return
        nowhere = os.open(os.devnull, os.O_RDWR)
        for number in closed:
            os.dup2(nowhere, number)
        os.close(nowhere)
