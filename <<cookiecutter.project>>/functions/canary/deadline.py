"""The time that a function has for its work."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any


class DeadlineExceededError(Exception):
    """The time ran out; the message says what was not done."""


@dataclass(frozen=True)
class Deadline:
    """A moment of the monotonic clock, in seconds."""

    at: float

    @classmethod
    def before_end(cls, context: Any, spare: float, share: float) -> Deadline:
        """Create a deadline before Lambda's own: `spare` seconds earlier, or `share` of a short time."""
        remaining = context.get_remaining_time_in_millis() / 1000
        return cls(time.monotonic() + remaining - min(spare, remaining * share))

    def remaining(self) -> float:
        """Return the remaining seconds, at least 0."""
        return max(0.0, self.at - time.monotonic())

    def require(self, unfinished: str) -> None:
        """Check that time remains; the text describes what is unfinished.

        Raises:
            DeadlineExceededError: the time ran out.
        """
        if not self.remaining():
            raise DeadlineExceededError(f"Time ran out: {unfinished}")

    def pause(self, seconds: float, unfinished: str) -> None:
        """Wait, at most until the deadline.

        Raises:
            DeadlineExceededError: the deadline was reached.
        """
        time.sleep(min(seconds, self.remaining()))
        self.require(unfinished)
