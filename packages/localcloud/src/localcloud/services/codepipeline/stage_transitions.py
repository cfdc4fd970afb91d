"""Transitions into stages: one execution at a time is in a stage, and the execution mode orders the others.

In mode SUPERSEDED the newest of them enters, in mode QUEUED each in turn; no execution enters a stage whose
transition is disabled.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence


class WaitingExecution(Protocol):
    """An execution that waits before a stage."""

    superseded: bool

    @property
    def stopping(self) -> bool:
        """Whether the execution was asked to stop."""


@dataclass(frozen=True)
class DisabledTransition:
    """The reason why a transition is disabled, who disabled it, and when (epoch seconds)."""

    reason: str
    changed_by: str
    changed_at: float


class StageTransition:
    """The inbound transition of a stage."""

    def __init__(self, mode: str) -> None:
        """Let executions in by an execution mode."""
        self._mode = mode
        self._changed = threading.Condition()
        self._inside: WaitingExecution | None = None
        self._waiting: list[WaitingExecution] = []
        self._disabled: DisabledTransition | None = None

    @property
    def waiting(self) -> Sequence[WaitingExecution]:
        """The executions that wait now, the oldest first."""
        return tuple(self._waiting)

    @property
    def disabled(self) -> DisabledTransition | None:
        """The reason why the transition is disabled; None if it is enabled."""
        return self._disabled

    def disable(self, reason: DisabledTransition) -> None:
        """Let no execution in any more; an execution in the stage continues."""
        self._disabled = reason

    def enable(self) -> None:
        """Let executions in again."""
        with self._changed:
            self._disabled = None
            self._changed.notify_all()

    def enter(self, execution: WaitingExecution) -> bool:
        """Wait until the stage is free; return False if the execution was superseded or stopped meanwhile."""
        with self._changed:
            if self._mode == "PARALLEL":
                self._changed.wait_for(lambda: execution.stopping or self._disabled is None)
                return not execution.stopping
            if self._mode == "SUPERSEDED":
                self._supersede_waiting()
            self._waiting.append(execution)
            self._changed.wait_for(
                lambda: execution.superseded or execution.stopping or self._is_next(execution)
            )
            if execution in self._waiting:
                self._waiting.remove(execution)
            self._changed.notify_all()
            if execution.superseded or execution.stopping:
                return False
            self._inside = execution
            return True

    def leave(self, execution: WaitingExecution) -> None:
        """Free the stage."""
        with self._changed:
            if self._inside is execution:
                self._inside = None
            self._changed.notify_all()

    def wake(self) -> None:
        """Let the executions that wait notice that they were stopped."""
        with self._changed:
            self._changed.notify_all()

    def _is_next(self, execution: WaitingExecution) -> bool:
        return self._disabled is None and self._inside is None and self._waiting[0] is execution

    def _supersede_waiting(self) -> None:
        for older in self._waiting:
            older.superseded = True
        self._waiting.clear()
        self._changed.notify_all()
