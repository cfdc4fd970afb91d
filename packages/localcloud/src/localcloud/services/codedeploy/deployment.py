"""One deployment: hooks, the shift of the traffic with its alarms, and the way back."""

from __future__ import annotations

import contextlib
import secrets
import threading
import time
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from localcloud.core.clock import HOOK_TIMEOUT, now
from localcloud.services.codedeploy.traffic import Step, steps

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from localcloud.core.clock import Clock
    from localcloud.core.service import Json
    from localcloud.services.codedeploy.target import Platform

LOOK_EVERY = 0.05
# The old version's requests under way may end before anything of it is deleted; API Gateway gives up at 29 s.
DRAIN_SECONDS = 30.0
BEFORE, DURING, AFTER = "BeforeAllowTraffic", "AllowTraffic", "AfterAllowTraffic"
ENDINGS = {"Succeeded": "DeploymentSuccess", "Failed": "DeploymentFailure", "Stopped": "DeploymentStop"}


class DeploymentError(Exception):
    """A deployment has not come to its end; the code is one of CodeDeploy's."""

    def __init__(self, code: str, message: str, status: str = "Failed") -> None:
        """Keep what GetDeployment tells."""
        super().__init__(message)
        self.code, self.message, self.status = code, message, status


@dataclass(frozen=True)
class Target:
    """The alias that moves, and from where to where."""

    function: str
    alias: str
    old: str
    new: str


@dataclass
class Hook:
    """A function that has to say whether the deployment goes on."""

    identifier: str = field(default_factory=lambda: str(uuid.uuid4()))
    status: str = ""
    told: threading.Event = field(default_factory=threading.Event)


@dataclass
class Deployment:
    """A deployment of one alias, by the settings of its group."""

    group: Json
    target: Target
    hooks: dict[str, str]
    platform: Platform
    clock: Clock
    cancelled: Callable[[], bool]
    creator: str = "CloudFormation"
    identifier: str = field(default_factory=lambda: f"d-{secrets.token_hex(5)[:9].upper()}")
    status: str = "Created"
    share: float = 0.0
    error: DeploymentError | None = None
    created: float = field(default_factory=now)
    completed: float | None = None
    events: dict[str, Json] = field(default_factory=dict)
    waiting: dict[str, Hook] = field(default_factory=dict)
    shifts: list[Json] = field(default_factory=list)
    rollback: Json = field(default_factory=dict)
    stopping: threading.Event = field(default_factory=threading.Event)
    imposed: float = 0.0

    def __post_init__(self) -> None:
        """Name the events that are to come."""
        self.events = {
            name: {"lifecycleEventName": name, "status": "Pending"} for name in (BEFORE, DURING, AFTER)
        }

    def run(self) -> None:
        """Move the traffic; DeploymentError when that was stopped or failed, with the alias moved back."""
        self.status = "InProgress"
        self.platform.tell(self, "DeploymentStart")
        try:
            self._hook(BEFORE)
            with self._event(DURING):
                self._shift(steps(self.group["deploymentConfigName"]) or ())
            self._hook(AFTER)
        except DeploymentError as error:
            self._fail(error)
            raise
        self._end("Succeeded")

    def stop(self) -> None:
        """Ask the deployment to end."""
        self.stopping.set()

    def _hook(self, event: str) -> None:
        if event not in self.hooks:
            self.events[event]["status"] = "Skipped"
            return
        hook = Hook()
        self.waiting[hook.identifier] = hook
        with self._event(event):
            self.platform.invoke_hook(self.hooks[event], self.identifier, hook.identifier)
            self._await_hook(event, hook)

    def _await_hook(self, event: str, hook: Hook) -> None:
        function = self.hooks[event]
        deadline = time.monotonic() + self.clock.seconds(HOOK_TIMEOUT)
        while not hook.told.wait(LOOK_EVERY):
            self._watch()
            # Its own time is not divided: the hour counts when it runs no more.
            if time.monotonic() > deadline and not self.platform.running(function):
                raise DeploymentError(
                    "TIMEOUT", f"The validation function {function} ({event}) has not told how it ended."
                )
        if hook.status != "Succeeded":
            raise DeploymentError(
                "HOOK_EXECUTION_FAILURE",
                "The deployment failed because one or more of the lifecycle event validation functions "
                f"failed: {function} ({event}) reported {hook.status}.",
            )

    def _shift(self, plan: tuple[Step, ...]) -> None:
        for step in plan:
            self._wait(step.wait)
            self._route(step.share)
        self.platform.drain(self.target.function, self.target.old, DRAIN_SECONDS)
        self._watch()

    def _wait(self, aws_seconds: float) -> None:
        started = time.monotonic()
        deadline = started + self.clock.seconds(aws_seconds)
        try:
            while (left := deadline - time.monotonic()) > 0:
                self._watch()
                self.stopping.wait(min(LOOK_EVERY, left))
            self._watch()
        finally:
            real = min(time.monotonic(), deadline) - started
            self.imposed += max(0.0, real) * (self.clock.speed - 1)

    def _watch(self) -> None:
        if self.stopping.is_set() or self.cancelled():
            raise DeploymentError("MANUAL_STOP", "The deployment was stopped.", "Stopped")
        active = self.platform.alarming(self.group)
        if active:
            raise DeploymentError(
                "ALARM_ACTIVE",
                "One or more alarms have been activated according to the Amazon CloudWatch metrics you "
                "selected, and the affected deployments have been stopped. "
                f"Activated alarms: {', '.join(active)}.",
                "Stopped",
            )

    def _route(self, share: float) -> None:
        target, self.share = self.target, share
        if share >= 1:
            self.platform.route(target, target.new, {})
        else:
            self.platform.route(target, target.old, {target.new: share} if share else {})
        at = now()
        weights = {target.old: round(1 - share, 6), target.new: round(share, 6)}
        self.shifts.append({"time": at, "aws_seconds": round(self.aws_seconds(at), 3), "weights": weights})

    def aws_seconds(self, at: float) -> float:
        """Return how long after its start AWS would have been where this was at a time."""
        return at - self.created + self.imposed

    @contextlib.contextmanager
    def _event(self, name: str) -> Iterator[None]:
        event = self.events[name]
        event.update(status="InProgress", startTime=now())
        try:
            yield
        except DeploymentError as error:
            event.update(status="Failed", endTime=now())
            event["diagnostics"] = {"errorCode": "UnknownError", "message": error.message}
            raise
        event.update(status="Succeeded", endTime=now())

    def _fail(self, error: DeploymentError) -> None:
        self.error = error
        for event in self.events.values():
            if event["status"] == "Pending":
                event["status"] = "Skipped"
        if self._rolls_back(error):
            if self.shifts:
                self._route(0.0)
                self.platform.drain(self.target.function, self.target.new, DRAIN_SECONDS)
            self.platform.roll_back(self)
        self._end(error.status)

    def _rolls_back(self, error: DeploymentError) -> bool:
        rollback = self.group.get("autoRollbackConfiguration", {})
        event = {"ALARM_ACTIVE": "DEPLOYMENT_STOP_ON_ALARM", "MANUAL_STOP": "DEPLOYMENT_STOP_ON_REQUEST"}
        wanted = event.get(error.code, "DEPLOYMENT_FAILURE")
        return bool(rollback.get("enabled")) and wanted in rollback.get("events", [])

    def _end(self, status: str) -> None:
        self.status, self.completed = status, now()
        self.platform.tell(self, ENDINGS[status])
