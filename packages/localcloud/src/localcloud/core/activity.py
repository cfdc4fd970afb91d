"""What runs in the cloud now: the clock jumps over none of it, nor over who has yet to look at it."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# Of this machine. Events travel between threads for milliseconds, so the clock stays for so long after each,
# and longer while the machine is busy: by a multiple of how late a thread wakes there, up to a limit.
QUIET, LATENESS_FACTOR, MAX_QUIET = 0.01, 4, 0.3
# A client of AWS's SDK or CLI sends its next request within this time, or has nothing to say for now.
LOAD_PAUSE = 2.0
# A command that was killed is waited for no longer than this.
ABSENCE = 5.0
# More than this share of a processor is the work of threads that have not said that they are active.
BUSY_SHARE = 0.5


@dataclass(eq=False)
class Activity:
    """A job, a function, a request: the cloud is active until `end`, which may be called again."""

    owner: Activities
    silent: bool = False
    code: bool = False
    ended: bool = False

    def end(self) -> None:
        """End the activity."""
        self.owner.end(self)


@dataclass
class Follower:
    """A command that waits: the generation of the cloud that it has seen, and when it went to look."""

    seen: int
    left: float | None = None


@dataclass
class Activities:
    """All that is active, and all that wait for the others by looking again and again.

    `changed` is notified when the last one ends and nobody would see that soon: `awake` is the moment at
    which the thread of the timers looks again by itself. `generation` counts what was done, so that a
    follower knows whether it has seen everything. `monotonic` and `processor` are those of `time`.
    """

    monotonic: Callable[[], float] = time.monotonic
    processor: Callable[[], float] = time.process_time
    changed: threading.Condition = field(default_factory=threading.Condition)
    generation: int = 0
    awake: float = float("inf")
    _running: set[Activity] = field(default_factory=set)
    _looked: dict[object, float] = field(default_factory=dict)
    _followers: dict[str, Follower] = field(default_factory=dict)
    _awaited: int = 0
    _settled: bool = False
    _asked: bool = False
    _last: float = float("-inf")
    _last_processor: float = 0.0
    _lateness: float = 0.0
    _load: float = float("-inf")
    _own: threading.local = field(default_factory=threading.local)

    def begin(self, *, silent: bool = False, code: bool = False) -> Activity:
        """Begin an activity; `code` is the user's own, and nothing waits for what a silent one does."""
        activity = Activity(self, silent, code)
        with self.changed:
            self._running.add(activity)
        return activity

    def end(self, activity: Activity) -> None:
        """End an activity, once."""
        with self.changed:
            if activity.ended:
                return
            activity.ended = True
            self._running.discard(activity)
            if not activity.silent:
                self.touch()
            if not self._running and self._last + self.quiet < self.awake:
                self.changed.notify_all()

    def touch(self) -> None:
        """Note that something was done which a follower may wait for."""
        with self.changed:
            self.generation += 1
            self._last, self._last_processor, self._settled = self.monotonic(), self.processor(), False
            self._asked = False

    @property
    def _mine(self) -> list[Activity]:
        """The activities of this thread."""
        if not hasattr(self._own, "activities"):
            self._own.activities = []
        activities: list[Activity] = self._own.activities
        return activities

    @contextmanager
    def active(self, *, silent: bool = False, code: bool = False) -> Iterator[None]:
        """Be active in this thread, but for the time that the thread is `idle`."""
        mine, depth = self._mine, len(self._mine)
        mine.append(self.begin(silent=silent, code=code))
        try:
            yield
        finally:
            for activity in mine[depth:]:
                activity.end()
            del mine[depth:]

    @contextmanager
    def idle(self) -> Iterator[Callable[[], None]]:
        """Be not active while this thread waits; yields what makes it active again, for who ends the wait."""
        mine, lock = self._mine, threading.Lock()
        waiting = mine.copy()
        mine.clear()

        def resume() -> None:
            with lock:
                if waiting:
                    mine[:] = [self.begin(silent=each.silent, code=each.code) for each in waiting]
                    waiting.clear()

        for activity in waiting:
            activity.end()
        try:
            yield resume
        finally:
            resume()

    def poll(self, look: Callable[[], bool], seconds: float) -> None:
        """Wait until `look` sees something, with a pause of some seconds between, and look before a jump."""
        token = object()
        self._note_look(token, float("-inf"))
        try:
            with self.idle():
                while True:
                    began = self.monotonic()
                    if look():
                        return
                    self._note_look(token, began)
                    with self.changed:
                        self.changed.wait_for(
                            lambda: self._asked and self._looked[token] <= self._last, seconds
                        )
        finally:
            with self.changed:
                del self._looked[token]

    def _note_look(self, token: object, at: float) -> None:
        with self.changed:
            self._looked[token] = at
            self.changed.notify_all()

    @contextmanager
    def awaited(self) -> Iterator[None]:
        """Keep the clock at its speed while a person, or anything else outside of the cloud, may answer."""
        with self.changed:
            self._awaited += 1
        try:
            with self.idle():
                yield
        finally:
            with self.changed:
                self._awaited -= 1

    def note_load(self) -> None:
        """Keep the clock at its speed for a while: a request has come that no code in the cloud has sent."""
        with self.changed:
            if not self.runs_code:
                self._load = self.monotonic()

    @property
    def runs_code(self) -> bool:
        """Whether a job, a build or a function runs, which may send requests itself."""
        with self.changed:
            return any(activity.code for activity in self._running)

    def follow(self, name: str, seen: int) -> None:
        """Let a command wait which has looked at all that was done up to generation `seen`."""
        with self.changed:
            self._followers[name] = Follower(seen)
            self.changed.notify_all()

    def look(self, name: str) -> None:
        """Let a command look: the clock stays until the command waits again, or is gone."""
        with self.changed:
            if follower := self._followers.get(name):
                follower.left = self.monotonic()

    def leave(self, name: str) -> None:
        """Forget a command, which waits no more."""
        with self.changed:
            self._followers.pop(name, None)
            self.changed.notify_all()

    def has_news(self, seen: int) -> bool:
        """Whether something was done since generation `seen`, and all is quiet now."""
        with self.changed:
            present = self.monotonic()
            return seen != self.generation and not self._running and self._rest(present) <= 0

    @property
    def followed(self) -> bool:
        """Whether a command waits."""
        return bool(self._followers)

    def note_lateness(self, seconds: float) -> None:
        """Note how late a thread has woken; what was noted before counts for half as much each time."""
        with self.changed:
            self._lateness = max(seconds, self._lateness / 2)

    @property
    def quiet(self) -> float:
        """The seconds of this machine for which the clock stays after what was done."""
        return min(MAX_QUIET, QUIET + LATENESS_FACTOR * self._lateness)

    @property
    def idle_seconds(self) -> float:
        """The seconds of this machine since something was done."""
        return self.monotonic() - self._last

    def delay(self) -> float | None:
        """Return the seconds until the clock may jump if nothing happens; None if something must end."""
        with self.changed:
            present = self.monotonic()
            gone = [
                name
                for name, each in self._followers.items()
                if each.left is not None and present - each.left > ABSENCE
            ]
            for name in gone:
                del self._followers[name]
            if self._running or self._awaited:
                return None
            if rest := self._rest(present):
                return rest
            if any(looked <= self._last for looked in self._looked.values()):
                self._asked = True
                self.changed.notify_all()
                return None
            followers = self._followers.values()
            if any(each.left is not None or each.seen != self.generation for each in followers):
                return None
            return 0.0

    def _rest(self, present: float) -> float:
        return max(0.0, self._quiet_in(present), self._load + LOAD_PAUSE - present)

    def _quiet_in(self, present: float) -> float:
        left = self._last + self.quiet - present
        if left > 0 or self._settled:
            return left
        worked, self._last_processor = self.processor() - self._last_processor, self.processor()
        self._settled = worked <= (present - self._last) * BUSY_SHARE
        if self._settled:
            return 0.0
        self._last = present
        return self.quiet
