"""Step Functions of ministack with the cloud's clock and with what its state machines lack.

The clock's milliseconds run at the cloud's speed, and every text shows the real time. So the time that a
machine measures between two moments is that of AWS, which is how long its Wait states are meant to be, and a
time that it gives to another service is one of this machine.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from localcloud.core.service import Service
from localcloud.services.stepfunctions import interrupted, patches

if TYPE_CHECKING:
    from localcloud.core.context import CloudContext


def service(context: CloudContext) -> Service:
    """Return the service; its operations are ministack's."""
    return Service(
        name="stepfunctions",
        install=partial(patches.install, context.timers),
        kept={"executions": interrupted.kept()},
    )
