"""Every wait that AWS imposes, in AWS's seconds; the rest of the local cloud has no such numbers.

At speed N an AWS minute is 60/N seconds of this machine: periods of alarms, intervals of deployments and
schedules are that much shorter, and an alarm sees what happened within. Timestamps are always real, and so is
all that the user's own code takes, its limits included. What computes with times, a cron or a state machine,
does so on a clock that began with the cloud and has run N times as fast since.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import threading

STOP_GRACE = 120.0  # seconds, between SIGTERM and SIGKILL of a container
# Limits of the user's code are never divided, because that code is not faster here.
INVOCATION_TIMEOUT = 60.0  # seconds, of a request to an endpoint
# Observed on AWS as "minutes"; files hold about a minute each.
CAPTURE_FLUSH = 60.0
METRICS_FLUSH = 1.0
# A hook of a deployment must report its result within an hour.
HOOK_TIMEOUT = 3600.0
# Alarms are evaluated at least at this interval.
ALARM_EVALUATION = 10.0
SCHEDULER_TICK = 1.0
SCALING_EVALUATION = 60.0
# Model Monitor begins within twenty minutes of the hour, which late capture has as well.
MONITORING_DELAY = 1200.0
# Of this machine: polling at a shorter interval would cost more than it is worth.
SHORTEST = 0.1


def now() -> float:
    """Return the present time in epoch seconds, to the millisecond as AWS has it."""
    return round(time.time(), 3)


@dataclass(frozen=True)
class Clock:
    """Scale the waits that AWS imposes by `speed`; what the user's own code takes is never scaled."""

    speed: float = 1.0
    began: float = field(default_factory=now)

    def to_simulated(self, timestamp: float) -> float:
        """Return what the clock that runs faster shows at a time of this machine, in epoch seconds both."""
        return self.began + (timestamp - self.began) * self.speed

    def to_real(self, shown: float) -> float:
        """Return when, by this machine, the clock that runs faster shows a time."""
        return self.began + (shown - self.began) / self.speed

    def seconds(self, aws_seconds: float) -> float:
        """Return how long a wait of `aws_seconds` on AWS takes here."""
        return aws_seconds / self.speed

    def interval(self, aws_seconds: float) -> float:
        """Return the seconds between two polls, at least SHORTEST."""
        return max(SHORTEST, self.seconds(aws_seconds))

    def wait(self, event: threading.Event, aws_seconds: float) -> bool:
        """Wait for the event, at most `aws_seconds` of AWS time; True when it was set."""
        return event.wait(self.seconds(aws_seconds))


def iso(timestamp: float) -> str:
    """Return the timestamp as ISO 8601 in UTC, to the second."""
    return datetime.fromtimestamp(timestamp, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
