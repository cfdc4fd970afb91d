"""The cloud's clock over HTTP: commands read it, wait on it, and change its speed."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from localcloud.core.timers import NEVER

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from localcloud.core.service import Answer, Json
    from localcloud.core.timers import Timers

PATH = "/_local/clock"
LOOK_SECONDS = 0.005
MAX_WAIT = 10.0


@dataclass(frozen=True)
class ClockRoute:
    """Answer requests about the clock; `changed` is called with another speed and whether the clock skips."""

    timers: Timers
    changed: Callable[[float, bool], None]

    async def __call__(self, path: str, headers: Mapping[str, str], body: bytes) -> Answer:  # noqa: ARG002 - a route's signature
        """Change the clock, wait on it, convert `times`, or only describe it, as the body says."""
        request: Json = json.loads(body or b"{}")
        if "speed" in request or "skip" in request:
            self._change(request)
        if follower := request.get("follower"):
            await self._follow(follower, request)
        shown = [self.timers.clock.to_simulated(each) for each in request.get("times", [])]
        state = json.dumps({**self.describe(), "times": shown})
        return 200, [(b"content-type", b"application/json")], state.encode()

    def describe(self) -> Json:
        """Return the times, the generation of what was done, and what comes next."""
        clock, timer = self.timers.clock, self.timers.upcoming()
        return {
            "speed": clock.speed,
            "skip": self.timers.skip,
            "simulated": clock.simulated(),
            "generation": self.timers.activities.generation,
            "next": None if timer.at == NEVER else {"what": timer.what, "at": timer.at},
        }

    def _change(self, request: Json) -> None:
        if (speed := request.get("speed")) is not None:
            self.timers.set_speed(float(speed))
        if (skip := request.get("skip")) is not None:
            self.timers.skip = bool(skip)
        self.changed(self.timers.clock.speed, self.timers.skip)

    async def _follow(self, follower: str, request: Json) -> None:
        """Wait until there is news for a command, a simulated time has come, or some seconds have passed."""
        activities, seen = self.timers.activities, request.get("seen")
        if seen is None:
            activities.leave(follower)
            return
        until = request.get("until")
        timer = (
            self.timers.at(until, _nothing, "wait of a command", ends=True, inline=True) if until else None
        )
        deadline = time.monotonic() + min(float(request.get("seconds", 0.5)), MAX_WAIT)
        activities.follow(follower, seen)
        try:
            while time.monotonic() < deadline and not activities.has_news(seen):
                if until and self.timers.clock.simulated() >= until:
                    break
                await asyncio.sleep(LOOK_SECONDS)
        finally:
            activities.look(follower)
            if timer:
                self.timers.cancel(timer)


def _nothing() -> None:
    """Do nothing."""
