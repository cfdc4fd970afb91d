"""A command that follows the cloud: it looks, and lets the clock go on when it has seen nothing new."""

from __future__ import annotations

import os
import time
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Self, TypeVar

from localcloud.core.errors import CloudError

if TYPE_CHECKING:
    from collections.abc import Callable

    from localcloud.core.process import Cloud

T = TypeVar("T")
# Of this machine: what is not an event of the cloud is looked for so often.
POLL_SECONDS, LOOK_SECONDS = 0.5, 0.2
START_SECONDS = 30.0


@dataclass
class Follower:
    """One command: while it waits, the cloud's clock may skip time, but nothing that it has not seen."""

    cloud: Cloud
    name: str = field(default_factory=lambda: f"{os.getpid()}-{uuid.uuid4().hex}")
    state: dict[str, Any] = field(default_factory=dict)

    def __enter__(self) -> Self:
        """Read the clock, before the first look."""
        self.state = self.cloud.clock()
        return self

    def __exit__(self, *_: object) -> None:
        """Wait no more."""
        self.cloud.leave(self.name)

    def pause(self, seconds: float = POLL_SECONDS, until: float | None = None) -> None:
        """Let the cloud go on until there is news, or some seconds of this machine, or a simulated time."""
        self.state = self.cloud.clock(
            follower=self.name, seen=self.state["generation"], seconds=seconds, until=until
        )


def wait_until(
    cloud: Cloud,
    look: Callable[[], T | None],
    otherwise: str,
    seconds: float = START_SECONDS,
    aws_seconds: float = 0.0,
) -> T:
    """Look until something is seen, and return it.

    Raises:
        CloudError: `otherwise`; it has taken longer than both `seconds` of this machine and, for what AWS
            makes wait, `aws_seconds` of the cloud's clock.
    """
    deadline = time.monotonic() + seconds
    with Follower(cloud) as follower:
        simulated = follower.state["simulated"] + aws_seconds
        while not (seen := look()):
            if time.monotonic() > deadline and follower.state["simulated"] > simulated:
                raise CloudError(f"{otherwise} See {cloud.project.log.relative_to(cloud.root)}.")
            follower.pause(LOOK_SECONDS)
    return seen


def period_end(cloud: Cloud, period: float) -> str:
    """Return when an alarm's period in AWS's seconds ends, which an alarm waits for, in words."""
    state = cloud.clock()
    left = period - state["simulated"] % period
    at = datetime.fromtimestamp(state["simulated"] + left, UTC)
    skipping = "; time in which nothing runs is skipped" if state["skip"] else ""
    return (
        f"waits for the end of the alarm's period at {at:%H:%M} (UTC) by the cloud's clock, in "
        f"{left / 60:.0f} minutes of AWS, which take {left / state['speed']:.0f} s here{skipping}"
    )


def wait(cloud: Cloud, aws_seconds: float) -> None:
    """Wait for AWS's seconds on the cloud's clock."""
    with Follower(cloud) as follower:
        until = follower.state["simulated"] + aws_seconds
        while follower.state["simulated"] < until:
            follower.pause(until=until)
