"""Every wait that AWS imposes, in AWS's seconds, and the clock that they pass on.

At speed N an AWS minute is 60/N seconds of this machine, and the clock jumps over time in which nothing
runs (see timers.py). Timestamps are always real, and so is all that the user's own code takes, its limits
included. What computes with times of AWS - an alarm's periods, a cron, a cooldown, a state machine - converts
them to the clock's simulated time, which began with the cloud.
"""

from __future__ import annotations

import math
import threading
import time
from bisect import bisect_right
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

# Between SIGTERM and SIGKILL of a container: divided by the speed, and from 1 to 10 seconds of this machine.
# So at a speed above 120 a container has longer than on AWS.
STOP_GRACE = 120.0
# Limits of the user's code are never divided or skipped, because that code is not faster here.
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
MILLISECOND = 0.001


def now() -> float:
    """Return the present time in epoch seconds, cut to the millisecond as AWS has it."""
    return floor_millisecond(time.time())


def floor_millisecond(timestamp: float) -> float:
    """Return a time cut to its millisecond, as every timestamp is: a jump must not come between the two."""
    return math.floor(timestamp * 1000) / 1000


class Segment(NamedTuple):
    """A time span in which the clock runs at one speed: its begin, real and simulated, in epoch seconds."""

    real: float
    simulated: float
    speed: float


class Clock:
    """Map the time of this machine to the simulated time, and back: a list of segments, one a jump.

    Both times only grow. A jump skips simulated time at one moment of this machine, so each time that it
    skips is converted to that moment.
    """

    def __init__(
        self, speed: float = 1.0, began: float | None = None, read: Callable[[], float] = time.time
    ) -> None:
        """Begin with equal times; `read` gives the time of this machine."""
        self._read = read
        self._lock = threading.Lock()
        began = floor_millisecond(read()) if began is None else began
        # Replaced as a whole, so that readers need no lock.
        self._segments: tuple[list[float], list[float], list[Segment]] = ([], [], [])
        self._append(Segment(began, began, speed))

    def resume(self, segments: list[Segment], stopped: Segment) -> None:
        """Go on from another clock's segments: that ran at speed 1 since it was stopped."""
        began, speed = self.began, self.speed
        self._segments = ([], [], [])
        before = [each for each in segments if each.real <= stopped.real]
        for each in (*before, stopped._replace(speed=1.0)):
            self._append(each)
        self._append(Segment(began, self.to_simulated(began), speed))

    @property
    def segments(self) -> list[Segment]:
        """The segments, the oldest first."""
        return self._segments[2]

    @property
    def speed(self) -> float:
        """The simulated seconds that pass in a second of this machine."""
        return self._segments[2][-1].speed

    @property
    def began(self) -> float:
        """When the clock began, in epoch seconds."""
        return self._segments[2][0].real

    def real(self) -> float:
        """Return the present time of this machine."""
        return self._read()

    def simulated(self) -> float:
        """Return the present simulated time."""
        return self.to_simulated(self._read())

    def to_simulated(self, timestamp: float) -> float:
        """Return the simulated time at a time of this machine, in epoch seconds both."""
        reals, _, segments = self._segments
        segment = segments[max(0, bisect_right(reals, timestamp) - 1)]
        return segment.simulated + (timestamp - segment.real) * segment.speed

    def to_real(self, simulated: float) -> float:
        """Return when, by this machine, it is a simulated time, as far as no later jump changes that."""
        reals, simulateds, segments = self._segments
        number = max(0, bisect_right(simulateds, simulated) - 1)
        segment = segments[number]
        real = segment.real + (simulated - segment.simulated) / segment.speed
        return min(real, reals[number + 1]) if number + 1 < len(reals) else real

    def planned(self, timestamp: float, since: float) -> float:
        """Return the simulated time of a real time that was written down at `since`, then in the future.

        Who wrote it did not know of the jumps that came after.
        """
        return self.to_simulated(since) + (timestamp - since) * self._at(since).speed

    def seconds(self, aws_seconds: float) -> float:
        """Return how long a wait of `aws_seconds` on AWS takes here without a jump."""
        return aws_seconds / self.speed

    def interval(self, aws_seconds: float) -> float:
        """Return the AWS seconds between two looks, at least SHORTEST on this machine."""
        return max(SHORTEST * self.speed, aws_seconds)

    def jump(self, simulated: float, real: float | None = None) -> None:
        """Let it be a simulated time since `real`, by default now, if that is later than without the jump."""
        with self._lock:
            real = max(floor_millisecond(self._read()) if real is None else real, self._segments[0][-1])
            if simulated > self.to_simulated(real):
                self._append(Segment(real, simulated, self.speed))

    def set_speed(self, speed: float) -> None:
        """Run at another speed from now on."""
        with self._lock:
            real = max(floor_millisecond(self._read()), self._segments[0][-1])
            self._append(Segment(real, self.to_simulated(real), speed))

    def _at(self, timestamp: float) -> Segment:
        reals, _, segments = self._segments
        return segments[max(0, bisect_right(reals, timestamp) - 1)]

    def _append(self, segment: Segment) -> None:
        reals, simulateds, segments = self._segments
        self._segments = ([*reals, segment.real], [*simulateds, segment.simulated], [*segments, segment])


def iso_milliseconds(timestamp: float) -> str:
    """Return the timestamp as ISO 8601 in UTC, cut to the millisecond."""
    milliseconds = math.floor(timestamp * 1000 + 0.01) % 1000
    return f"{iso(timestamp)[:-1]}.{milliseconds:03d}Z"


def iso(timestamp: float) -> str:
    """Return the timestamp as ISO 8601 in UTC, to the second."""
    return datetime.fromtimestamp(timestamp, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
