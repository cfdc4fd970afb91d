"""The time that a function may take."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any


class OutOfTimeError(Exception):
    """Something was not done when the function's time ran out."""


@dataclass(frozen=True)
class Deadline:
    """A moment of the monotonic clock, in seconds."""

    at: float

    @classmethod
    def before_end(cls, context: Any, spare: float, share: float) -> Deadline:
        """Stop so many seconds before Lambda does, or that share of the time when it is short."""
        remaining = context.get_remaining_time_in_millis() / 1000
        return cls(time.monotonic() + remaining - min(spare, remaining * share))

    def left(self) -> float:
        """Give the seconds that are left, not below zero."""
        return max(0.0, self.at - time.monotonic())

    def require(self, what: str) -> None:
        """Raise OutOfTimeError when no time is left."""
        if not self.left():
            raise OutOfTimeError(f"Time ran out: {what}")

    def pause(self, seconds: float, what: str) -> None:
        """Wait, but not past the deadline, at which OutOfTimeError is raised."""
        time.sleep(min(seconds, self.left()))
        self.require(what)
