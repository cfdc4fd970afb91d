"""Target tracking: the number of instances for a load, by the alarms that AWS creates for a policy."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from localcloud.core.service import Json

# AWS scales out after 3 minutes above the target, and in after 15 minutes below 90 % of the target.
SCALE_OUT_MINUTES = 3
SCALE_IN_MINUTES = EVALUATED_MINUTES = 15
SCALE_IN_SHARE = 0.9
DEFAULT_COOLDOWN_SECONDS = 300.0


@dataclass(frozen=True)
class TargetTrackingPolicy:
    """A target value, and the seconds of AWS between two changes of the number of instances."""

    target: float
    out_cooldown: float
    in_cooldown: float
    scales_in: bool

    @classmethod
    def from_configuration(cls, config: Json) -> TargetTrackingPolicy:
        """Read a TargetTrackingScalingPolicyConfiguration."""
        return cls(
            target=float(config["TargetValue"]),
            out_cooldown=float(config.get("ScaleOutCooldown", DEFAULT_COOLDOWN_SECONDS)),
            in_cooldown=float(config.get("ScaleInCooldown", DEFAULT_COOLDOWN_SECONDS)),
            scales_in=not config.get("DisableScaleIn", False),
        )


def desired_instances(policy: TargetTrackingPolicy, minutes: Sequence[float | None], present: int) -> int:
    """Return the number of instances for the load per instance of the last minutes, the newest first.

    A minute without any invocation has no data, so that, as on AWS, an idle endpoint is not scaled in.
    """
    recent = [load for load in minutes[:SCALE_OUT_MINUTES] if load is not None]
    if len(recent) == SCALE_OUT_MINUTES and min(recent) > policy.target:
        return math.ceil(present * recent[0] / policy.target)
    past = [load for load in minutes[:SCALE_IN_MINUTES] if load is not None]
    if policy.scales_in and len(past) == SCALE_IN_MINUTES and max(past) < SCALE_IN_SHARE * policy.target:
        return max(1, min(present, math.ceil(present * max(past) / policy.target)))
    return present
