"""The schedules of EventBridge's rules and of Scheduler, on the simulated time of the cloud's clock.

ministack looks for due schedules at a fixed interval, by this machine's time. Here it looks when one is due,
and sees the simulated time meanwhile: a rate, a cron and an `at()` are then as long as on AWS.
"""

from __future__ import annotations

import contextlib
import threading
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any

from localcloud.core.clock import SCHEDULER_TICK
from localcloud.core.ministack import in_context
from localcloud.core.patches import uses

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from localcloud.core.service import Json
    from localcloud.core.timers import Recurring, Timers

EVENTS = "ministack.services.eventbridge"
SCHEDULER = "ministack.services.scheduler"
_RULES = uses(
    EVENTS,
    "_cron_next_fire",
    "_parse_cron_fields",
    "_parse_rate_seconds",
    "_rule_last_fired",
    "_rules",
    "_tick_scheduled_rules",
)
_SCHEDULES = uses(
    SCHEDULER, "_at_time_epoch", "_schedule_last_fired", "_schedules", "_tick_schedules", "_to_epoch"
)
# `at()` names a second, and comes when that has passed; AWS's Scheduler is exact to the minute.
WHOLE_SECOND = 1.0
# A look sees a time so much later than is due: what sums of floats lose would else make it due at the next.
LATER = 0.001


@dataclass(frozen=True)
class Store:
    """The schedules of one of the two services: where they are, when they began, and what looks at them."""

    what: str
    schedules: Callable[[], Mapping[Any, Json]]
    fired: Callable[[], dict[Any, float]]
    created: str
    tick: Callable[[], None]


RULES = Store(
    "schedules of rules",
    lambda: _RULES["_rules"]._data,  # noqa: SLF001 - of all accounts, as ministack's own tick has it
    lambda: _RULES["_rule_last_fired"],
    "CreationTime",
    lambda: _RULES["_tick_scheduled_rules"](),  # noqa: PLW0108 - the name may be patched later
)
SCHEDULES = Store(
    "schedules of Scheduler",
    lambda: _SCHEDULES["_schedules"]._data,  # noqa: SLF001 - as above
    lambda: _SCHEDULES["_schedule_last_fired"],
    "CreationDate",
    lambda: _SCHEDULES["_tick_schedules"](),  # noqa: PLW0108 - as above
)


@dataclass
class Schedules:
    """What ministack sees when it looks: the simulated time, and the times that schedules name on it."""

    timers: Timers
    _planned: dict[Any, float] = field(default_factory=dict)
    _seen: dict[Any, float] = field(default_factory=dict)
    _looking: threading.local = field(default_factory=threading.local)
    _recurring: dict[str, Recurring] = field(default_factory=dict)

    def begin(self, store: Store) -> None:
        """Look at a store's schedules whenever one is due."""
        act = in_context(partial(self._look, store))
        self._recurring[store.what] = self.timers.every(
            SCHEDULER_TICK, act, store.what, partial(self.due, store)
        )

    @property
    def simulated(self) -> float | None:
        """The simulated time at which this thread looks at schedules; None if it does not."""
        return getattr(self._looking, "at", None)

    def planned(self, named: Any) -> float | None:
        """Return the simulated time of what a schedule names, an `at()` or a date, if a look has found it."""
        return self._planned.get(named)

    @contextlib.contextmanager
    def real(self) -> Iterator[float]:
        """Let this thread see this machine's time again, which the context yields."""
        looking, self._looking.at = self.simulated, None
        try:
            yield self.timers.clock.real()
        finally:
            self._looking.at = looking

    def due(self, store: Store) -> float | None:
        """Return the simulated time at which the first of a store's schedules is due."""
        dues = (self._due(store, key, schedule) for key, schedule in list(store.schedules().items()))
        return min((due for due in dues if due is not None), default=None)

    def _due(self, store: Store, key: Any, schedule: Json) -> float | None:
        expression = schedule.get("ScheduleExpression") or ""
        if schedule.get("State") != "ENABLED" or not expression:
            return None
        # What a template makes has no time of creation: it is seen at once.
        clock = self.timers.clock
        since = float(schedule.get(store.created) or self._seen.setdefault((store.what, key), clock.real()))
        for name in ("StartDate", "EndDate"):
            if schedule.get(name) is not None:
                self._planned[schedule[name]] = clock.planned(_SCHEDULES["_to_epoch"](schedule[name]), since)
        fired = store.fired()
        if (at := _SCHEDULES["_at_time_epoch"](expression)) is not None:
            self._planned[expression] = clock.planned(at + WHOLE_SECOND, since)
            return None if key in fired else self._planned[expression]
        return _next(expression, fired.setdefault(key, clock.to_simulated(since)))

    def _look(self, store: Store) -> bool:
        """Look at the schedules; each that is due does something."""
        at = self._recurring[store.what].latest(self.timers.clock.simulated())
        self._looking.at = at + LATER
        try:
            store.tick()
        finally:
            self._looking.at = None
        fired = store.fired()
        fired.update({key: at for key, last in list(fired.items()) if last == at + LATER})
        return True


@lru_cache(maxsize=1024)
def _next(expression: str, last: float) -> float | None:
    """Return when a rate or a cron comes after `last`, both on the simulated clock; None if never."""
    if (rate := _RULES["_parse_rate_seconds"](expression)) is not None:
        return last + float(rate)
    if (fields := _RULES["_parse_cron_fields"](expression)) is None:
        return None
    fires = _RULES["_cron_next_fire"](fields, datetime.fromtimestamp(last, UTC))
    return fires.timestamp() if fires else None
