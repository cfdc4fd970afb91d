"""The execution that a task of a state machine belongs to, and the role that the machine acts in."""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from localcloud.core import account
from localcloud.core.patches import uses

if TYPE_CHECKING:
    import threading
    from collections.abc import Mapping

STATES = uses("ministack.services.stepfunctions", "_state_machines")
EXECUTION: ContextVar[Execution] = ContextVar("execution")
# The role that an operation is called in, where a state machine calls it.
CALLER: ContextVar[str] = ContextVar("caller")
# One event for each Parallel state around the present state; it is set when a branch of that state fails.
FAILURES: ContextVar[tuple[threading.Event, ...]] = ContextVar("failures", default=())


class Execution:
    """The execution that a task belongs to, as the task sees it."""

    def __init__(self, record: Mapping[str, Any], failures: tuple[threading.Event, ...] = ()) -> None:
        """Keep ministack's record, and the events of failures in parallel branches."""
        self._record, self._failures = record, failures
        self.timed_out = False

    @property
    def caller(self) -> str:
        """The role of the state machine, as it is assumed for this execution; empty when that is gone."""
        machine = STATES["_state_machines"].get(self._record.get("stateMachineArn")) or {}
        role = machine.get("roleArn", "").rpartition("/")[2]
        session = f"assumed-role/{role}/{self._record.get('name')}"
        return f"arn:aws:sts::{account.ACCOUNT}:{session}" if role else ""

    def abandoned(self) -> bool:
        """Whether the execution was stopped, the state timed out, or a parallel branch failed."""
        stopped = self._record.get("status", "RUNNING") != "RUNNING"
        return self.timed_out or stopped or any(failure.is_set() for failure in self._failures)


def caller() -> str:
    """Return the role that calls the present operation; empty unless a state machine calls it."""
    return CALLER.get("")


def ended() -> SystemExit:
    """Return the exception that ends the thread of a stopped execution; no state may catch it."""
    return SystemExit()
