"""The times at which schedules came last: without them, a schedule that has come would come again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from localcloud.core.patches import uses
from localcloud.core.service import Kept

if TYPE_CHECKING:
    from collections.abc import Callable

_RULES = uses("ministack.services.eventbridge", "_rule_last_fired")
_SCHEDULES = uses("ministack.services.scheduler", "_schedule_last_fired")


def kept() -> dict[str, Kept]:
    """Return how the times outlive the cloud; ministack keeps the rules and the schedules alone."""
    return {
        "fired rules": _part(lambda: _RULES["_rule_last_fired"]),
        "fired schedules": _part(lambda: _SCHEDULES["_schedule_last_fired"]),
    }


def _part(table: Callable[[], dict[Any, float]]) -> Kept:
    def load(saved: list[Any]) -> None:
        table().update({_key(key): at for key, at in saved})

    return Kept(lambda: list(table().items()), load)


def _key(saved: Any) -> Any:
    """Return a key of ministack's, whose tuples JSON has as lists."""
    return tuple(map(_key, saved)) if isinstance(saved, list) else saved
