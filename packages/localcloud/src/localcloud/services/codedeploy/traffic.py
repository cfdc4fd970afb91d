"""How traffic moves from one version to another, by CodeDeploy's own configurations for Lambda."""

from __future__ import annotations

import re
from typing import NamedTuple

CONFIG = re.compile(
    r"CodeDeployDefault\.Lambda(?:AllAtOnce"
    r"|Canary(?P<share>\d+)Percent(?P<after>\d+)Minutes?"
    r"|Linear(?P<step>\d+)PercentEvery(?P<every>\d+)Minutes?)"
)


class Step(NamedTuple):
    """A wait in seconds of AWS, and the share of the traffic that the new version has after it."""

    wait: float
    share: float


def steps(config: str) -> tuple[Step, ...] | None:
    """Return the steps of a deployment configuration, or None when it is none of Lambda's."""
    found = CONFIG.fullmatch(config)
    if found is None:
        return None
    if found["share"]:
        return Step(0.0, int(found["share"]) / 100), Step(60.0 * int(found["after"]), 1.0)
    if not found["step"]:
        return (Step(0.0, 1.0),)
    step, wait = int(found["step"]), 60.0 * int(found["every"])
    shares = [*range(step, 100, step), 100]
    return tuple(Step(wait if number else 0.0, share / 100) for number, share in enumerate(shares))
