"""EventBridge and Scheduler of ministack at the cloud's speed."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from localcloud.core.service import Service
from localcloud.services.events import fired, patches

if TYPE_CHECKING:
    from localcloud.core.context import CloudContext
    from localcloud.services.awslambda.executions import Executions


def service(context: CloudContext, executions: Executions) -> Service:
    """Return the service; its operations are ministack's."""
    return Service(
        name="events", install=partial(patches.install, context.timers, executions), kept=fired.kept()
    )
