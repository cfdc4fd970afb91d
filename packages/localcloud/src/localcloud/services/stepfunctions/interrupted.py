"""Executions of state machines that the end of a cloud has interrupted."""

from __future__ import annotations

from localcloud.core.kept import STOPPED
from localcloud.core.patches import uses
from localcloud.core.service import Kept

_STATES = uses("ministack.services.stepfunctions", "_executions")
# ministack's error of an execution that ran when its process ended.
RESTARTED = "States.ServiceRestart"


def kept() -> Kept:
    """Return the part that says why those executions have failed; the executions are ministack's."""
    return Kept(lambda: True, lambda _: _explain())


def _explain() -> None:
    for execution in _STATES["_executions"].values():
        if execution.get("error") == RESTARTED:
            execution["cause"] = STOPPED
