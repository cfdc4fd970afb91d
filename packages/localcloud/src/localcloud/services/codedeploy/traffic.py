"""Traffic shifts from one version to another, by CodeDeploy's own configurations for Lambda."""

from __future__ import annotations

import re
from typing import NamedTuple

CONFIGURATION = re.compile(
    r"CodeDeployDefault\.Lambda(?:AllAtOnce"
    r"|Canary(?P<share>\d+)Percent(?P<after>\d+)Minutes?"
    r"|Linear(?P<step>\d+)PercentEvery(?P<every>\d+)Minutes?)"
)


class Step(NamedTuple):
    """A wait in seconds of AWS, and the share of the traffic that the new version has after the wait."""

    wait: float
    share: float


def shift_steps(configuration: str) -> tuple[Step, ...] | None:
    """Return the steps of a deployment configuration, or None if Lambda does not have the configuration."""
    match = CONFIGURATION.fullmatch(configuration)
    if match is None:
        return None
    if match["share"]:
        return Step(0.0, int(match["share"]) / 100), Step(60.0 * int(match["after"]), 1.0)
    if not match["step"]:
        return (Step(0.0, 1.0),)
    step, wait = int(match["step"]), 60.0 * int(match["every"])
    shares = [*range(step, 100, step), 100]
    return tuple(Step(wait if number else 0.0, share / 100) for number, share in enumerate(shares))
