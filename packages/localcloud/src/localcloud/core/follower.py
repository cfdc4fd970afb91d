"""A command that follows the cloud: it looks, and lets the clock go on when it has seen nothing new."""

from __future__ import annotations

import os
import time
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

    from localcloud.core.process import Cloud

T = TypeVar("T")
# Of this machine: what is not an event of the cloud is looked for so often.
POLL_SECONDS = 0.5


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
    seconds: float,
    aws_seconds: float = 0.0,
    pause: float = POLL_SECONDS,
) -> T | None:
    """Look until something is seen, and return it; None when it takes too long.

    That is longer than both `seconds` of this machine and, for what AWS makes wait, `aws_seconds` of its own.
    """
    deadline = time.monotonic() + seconds
    with Follower(cloud) as follower:
        simulated = follower.state["simulated"] + aws_seconds
        while not (seen := look()):
            if time.monotonic() > deadline and follower.state["simulated"] > simulated:
                return None
            follower.pause(pause)
    return seen


def wait(cloud: Cloud, aws_seconds: float) -> None:
    """Wait for AWS's seconds on the cloud's clock."""
    with Follower(cloud) as follower:
        until = follower.state["simulated"] + aws_seconds
        while follower.state["simulated"] < until:
            follower.pause(until=until)
