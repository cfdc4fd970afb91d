"""The timers of every wait that AWS imposes, and the thread that lets the clock jump from one to the next.

The clock jumps when nothing is active (see activity.py), and somebody waits for what comes: a command that
follows the cloud, or something of the cloud itself that ends, such as a Wait state or a deployment. Nobody
waits for schedules, alarms and other timers that come again by themselves, so an idle cloud is idle.
"""

from __future__ import annotations

import heapq
import itertools
import logging
import math
import threading
import time
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from localcloud.core.activity import Activities, Activity
from localcloud.core.clock import MILLISECOND, Clock, floor_millisecond

if TYPE_CHECKING:
    from collections.abc import Callable

logger = logging.getLogger(__name__)
HOUR = 3600.0
# A longer jump, and one over the end of an hour, comes at a whole second of this machine: a time that is
# written to the second is then on the right side of it.
LONG_JUMP = 60.0
# Without a command that follows, the clock skips at most this simulated time after the last request, so that
# a state machine that never ends does not busy this machine for ever.
UNATTENDED = 7200.0
# Of this machine; a wait looks for its end as often, besides its timer.
POLL_SECONDS = 0.05
THREAD = "timers"
# Of this machine; nobody tells the thread that a recurring timer has become due.
LOOK_SECONDS = 0.25
SOON = MILLISECOND / 10
NEVER, ALWAYS = math.inf, -math.inf
TINY = 1e-6  # intervals, by which sums of floats are inexact


def _in_thread(act: Callable[[], None], name: str) -> None:
    threading.Thread(target=act, name=name, daemon=True).start()


@dataclass(order=True)
class Timer:
    """A time of the simulated clock, and what is done then; `ends` if it belongs to something that ends."""

    at: float
    number: int
    act: Callable[[], object] = field(compare=False)
    what: str = field(compare=False)
    ends: bool = field(default=False, compare=False)
    inline: bool = field(default=False, compare=False)
    recurring: Recurring | None = field(default=None, compare=False)
    cancelled: bool = field(default=False, compare=False)


@dataclass(eq=False)
class Recurring:
    """What is done at each interval of AWS's seconds at which it is due.

    `act` returns whether it has done something that others may react to.
    `due` returns the simulated time since which there is something to do, ALWAYS, or None while there is
    nothing. It is not the present time, which would never be past.
    """

    began: float
    interval: Callable[[], float]
    act: Callable[[], object]
    due: Callable[[], float | None]
    what: str
    last: float
    running: bool = False
    failed: bool = False

    def next(self) -> float:
        """Return the first time of the interval at which there is something to do."""
        due = None if self.running or self.failed else self._due()
        if due is None:
            return NEVER
        interval = self.interval()
        first = 0 if due == ALWAYS else math.ceil((due - self.began) / interval - TINY)
        following = math.floor((self.last - self.began) / interval + TINY) + 1
        return self.began + max(first, following) * interval

    def _due(self) -> float | None:
        try:
            return self.due()
        except Exception:
            logger.exception("%s ends", self.what)
            self.failed = True
            return None

    def latest(self, simulated: float) -> float:
        """Return the last time of the interval that is not after a time."""
        interval = self.interval()
        return self.began + math.floor((simulated - self.began) / interval + TINY) * interval


class Timers:
    """The timers of a cloud; `clock` is the clock of all, and `activities` say when it may jump."""

    def __init__(
        self,
        clock: Clock | None = None,
        activities: Activities | None = None,
        *,
        skip: bool = True,
        spawn: Callable[[Callable[[], None], str], None] = _in_thread,
    ) -> None:
        """Begin without timers; the first one starts the thread, by `spawn` as what is done at each timer."""
        self.clock, self.skip, self._spawn = clock or Clock(), skip, spawn
        self.activities = activities or Activities()
        self._changed = self.activities.changed
        self._heap: list[Timer] = []
        self._recurring: list[Recurring] = []
        self._numbers = itertools.count()
        self._stamped = 0.0
        self._attended = self.clock.simulated() + UNATTENDED
        self._closed = False
        self._started = False

    def _start(self) -> None:
        with self._changed:
            if not self._started:
                self._started = True
                self._spawn(self._run, THREAD)

    def close(self) -> None:
        """Fire no timer any more."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def at(
        self,
        simulated: float,
        act: Callable[[], object],
        what: str,
        *,
        ends: bool = False,
        inline: bool = False,
    ) -> Timer:
        """Do something at a simulated time, in a thread of its own unless it is `inline`."""
        timer = Timer(simulated, next(self._numbers), act, what, ends, inline)
        with self._changed:
            heapq.heappush(self._heap, timer)
            self._changed.notify_all()
        self._start()
        return timer

    def cancel(self, timer: Timer) -> None:
        """Do not fire a timer any more."""
        with self._changed:
            timer.cancelled = True
            self._changed.notify_all()

    def every(
        self, seconds: float, act: Callable[[], object], what: str, due: Callable[[], float | None]
    ) -> Recurring:
        """Do something at each interval of AWS's `seconds` at which it is `due` (see `Recurring`)."""
        began = self.clock.simulated()
        recurring = Recurring(began, lambda: self.clock.interval(seconds), act, due, what, began)
        with self._changed:
            self._recurring.append(recurring)
        self._start()
        return recurring

    def sleep(self, aws_seconds: float, what: str) -> None:
        """Wait in this thread for AWS's seconds."""
        over = threading.Event()
        with self.activities.idle() as resume:
            self._after(aws_seconds, what, resume, over)
            over.wait()

    def wait(self, look: Callable[[], bool], aws_seconds: float, what: str) -> bool:
        """Wait for AWS's seconds, or until `look` sees something; return whether it has."""
        over, seen = threading.Event(), threading.Event()

        def look_or_end() -> bool:
            if look():
                seen.set()
            return seen.is_set() or over.is_set()

        with self.activities.idle() as resume:
            timer = self._after(aws_seconds, what, resume, over)
            try:
                self.activities.poll(look_or_end, POLL_SECONDS)
            finally:
                self.cancel(timer)
        return seen.is_set()

    def _after(
        self, aws_seconds: float, what: str, resume: Callable[[], None], over: threading.Event
    ) -> Timer:
        """Plan the end of a wait: the thread is active again before the clock can jump on."""

        def act() -> None:
            resume()
            over.set()

        return self.at(self.clock.simulated() + aws_seconds, act, what, ends=True, inline=True)

    def attend(self) -> None:
        """Note a request: somebody is there, unless it is the user's own code in the cloud that asks."""
        if not self.activities.runs_code:
            self._attended = self.clock.simulated() + UNATTENDED

    def set_speed(self, speed: float) -> None:
        """Run at another speed from now on."""
        with self._changed:
            self.clock.set_speed(speed)
            self._changed.notify_all()

    def upcoming(self) -> Timer:
        """Return the next timer, whose time is NEVER when there is none."""
        with self._changed:
            return self._next()

    def step(self) -> float:
        """Fire the timer that is due, or let the clock jump to the next; return the seconds to wait then."""
        with self._changed:
            simulated = self.clock.simulated()
            timer = self._next()
            if timer.at <= simulated:
                self._fire(timer)
                return 0.0
            left = max(SOON, min(LOOK_SECONDS, self.clock.seconds(timer.at - simulated)))
            delay = self._delay(timer, simulated)
            if delay is None or delay > 0:
                return left if delay is None else min(left, delay)
            self.clock.jump(timer.at, self._moment(timer, simulated))
            return 0.0

    def _run(self) -> None:
        with self._changed:
            while not self._closed:
                if seconds := self.step():
                    self._pause(seconds)

    def _pause(self, seconds: float) -> None:
        self.activities.awake = time.monotonic() + seconds
        if not self._changed.wait(seconds):
            self.activities.note_lateness(time.monotonic() - self.activities.awake)

    def _next(self) -> Timer:
        while self._heap and self._heap[0].cancelled:
            heapq.heappop(self._heap)
        timers = self._heap[:1] + [
            Timer(each.next(), -1, each.act, each.what, recurring=each) for each in self._recurring
        ]
        return min(timers, key=lambda timer: timer.at, default=Timer(NEVER, 0, _nothing, "nothing"))

    def _delay(self, timer: Timer, simulated: float) -> float | None:
        """Return the seconds until the clock may jump to a timer; None while it may not."""
        delay = self.activities.delay() if self.skip and self._is_awaited(timer) else None
        # Meanwhile a command that was gone may be forgotten.
        if delay is None or delay > 0 or timer.at == NEVER or not self._is_awaited(timer):
            return delay or None
        # What was stamped until now must lie before the jump, in the millisecond or second that stamps have.
        real, unit = self.clock.real(), 1.0 if _is_long(simulated, timer.at) else MILLISECOND
        since = max(self._stamped, real - self.activities.idle_seconds)
        is_past = self._moment(timer, simulated) > since
        return 0.0 if is_past else unit - real % unit + SOON

    def _moment(self, timer: Timer, simulated: float) -> float:
        """Return the moment of this machine at which the clock jumps to a timer."""
        real = self.clock.real()
        return math.floor(real) if _is_long(simulated, timer.at) else floor_millisecond(real)

    def _is_awaited(self, timer: Timer) -> bool:
        if self.activities.followed:
            return True
        return timer.at <= self._attended and any(each.ends and not each.cancelled for each in self._heap)

    def _fire(self, timer: Timer) -> None:
        if timer.recurring:
            timer.recurring.running, timer.recurring.last = True, self.clock.simulated()
        else:
            heapq.heappop(self._heap)
        if timer.inline:
            timer.act()
            return
        activity = self.activities.begin(silent=timer.recurring is not None)
        self._spawn(partial(self._act, timer, activity), timer.what)

    def _act(self, timer: Timer, activity: Activity) -> None:
        try:
            done = timer.act()
        except Exception:
            logger.exception("%s failed", timer.what)
            done = True
        with self._changed:
            if timer.recurring:
                timer.recurring.running = False
                self._stamped = self.clock.real()
            if done:
                self.activities.touch()
            activity.end()


def _is_long(simulated: float, later: float) -> bool:
    return later - simulated > LONG_JUMP or later // HOUR > simulated // HOUR


def _nothing() -> None:
    """Do nothing."""
