"""Target tracking: how many instances a load wants, by the alarms that AWS makes for it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from localcloud.core.service import Json

# AWS scales out after three minutes above the target, in after fifteen below nine tenths of it.
OUT_MINUTES = 3
IN_MINUTES = LOOKED_AT = 15
IN_SHARE = 0.9
COOLDOWN = 300.0


@dataclass(frozen=True)
class Rule:
    """A target value, and the seconds of AWS between two changes."""

    target: float
    out_cooldown: float
    in_cooldown: float
    scales_in: bool

    @classmethod
    def of(cls, config: Json) -> Rule:
        """Read a policy's configuration."""
        return cls(
            target=float(config["TargetValue"]),
            out_cooldown=float(config.get("ScaleOutCooldown", COOLDOWN)),
            in_cooldown=float(config.get("ScaleInCooldown", COOLDOWN)),
            scales_in=not config.get("DisableScaleIn", False),
        )


def wanted(rule: Rule, minutes: Sequence[float | None], present: int) -> int:
    """Return the number of instances for the load per instance of the last minutes, newest first.

    A minute without any invocation has no data, so that, as on AWS, an idle endpoint is not scaled in.
    """
    recent = [load for load in minutes[:OUT_MINUTES] if load is not None]
    if len(recent) == OUT_MINUTES and min(recent) > rule.target:
        return math.ceil(present * recent[0] / rule.target)
    past = [load for load in minutes[:IN_MINUTES] if load is not None]
    if rule.scales_in and len(past) == IN_MINUTES and max(past) < IN_SHARE * rule.target:
        return max(1, min(present, math.ceil(present * max(past) / rule.target)))
    return present
