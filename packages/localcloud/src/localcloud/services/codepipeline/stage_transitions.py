"""Who may enter a stage: one execution at a time, and of those that wait the newest only, or each in turn.

A stage that is closed is entered by nobody until it is opened again.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence


class Waiting(Protocol):
    """What waits before a stage."""

    superseded: bool

    @property
    def stopping(self) -> bool:
        """Whether it is to end instead."""


@dataclass(frozen=True)
class Closing:
    """Why, by whom and since when nobody enters."""

    reason: str
    by: str
    since: float


class Gate:
    """The entrance of a stage."""

    def __init__(self, mode: str) -> None:
        """Admit by an execution mode."""
        self._mode = mode
        self._changed = threading.Condition()
        self._inside: Waiting | None = None
        self._waiting: list[Waiting] = []
        self._closed: Closing | None = None

    @property
    def waiting(self) -> Sequence[Waiting]:
        """What waits now."""
        return tuple(self._waiting)

    @property
    def closed(self) -> Closing | None:
        """Why nobody enters now, if so."""
        return self._closed

    def close(self, closing: Closing) -> None:
        """Let nobody in any more; what is inside goes on."""
        self._closed = closing

    def open(self) -> None:
        """Let in who waits."""
        with self._changed:
            self._closed = None
            self._changed.notify_all()

    def enter(self, one: Waiting) -> bool:
        """Wait until the stage is free; False when something newer took the place, or it was stopped."""
        with self._changed:
            if self._mode == "PARALLEL":
                self._changed.wait_for(lambda: one.stopping or self._closed is None)
                return not one.stopping
            if self._mode == "SUPERSEDED":
                self._give_way()
            self._waiting.append(one)
            self._changed.wait_for(lambda: one.superseded or one.stopping or self._free_for(one))
            if one in self._waiting:
                self._waiting.remove(one)
            self._changed.notify_all()
            if one.superseded or one.stopping:
                return False
            self._inside = one
            return True

    def leave(self, one: Waiting) -> None:
        """Free the stage."""
        with self._changed:
            if self._inside is one:
                self._inside = None
            self._changed.notify_all()

    def look_again(self) -> None:
        """Let those that wait see that they were stopped."""
        with self._changed:
            self._changed.notify_all()

    def _free_for(self, one: Waiting) -> bool:
        return self._closed is None and self._inside is None and self._waiting[0] is one

    def _give_way(self) -> None:
        for older in self._waiting:
            older.superseded = True
        self._waiting.clear()
        self._changed.notify_all()
