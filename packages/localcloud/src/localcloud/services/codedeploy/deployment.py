"""One deployment: its hooks, the shift of the traffic under its alarms, and the rollback."""

from __future__ import annotations

import contextlib
import secrets
import threading
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

from localcloud.core import kept
from localcloud.core.clock import HOOK_TIMEOUT, now
from localcloud.services.codedeploy.models import DeploymentError, Hook
from localcloud.services.codedeploy.traffic import Step, shift_steps

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from localcloud.core.service import Json
    from localcloud.core.timers import Timers
    from localcloud.services.codedeploy.models import AliasUpdate
    from localcloud.services.codedeploy.target import LambdaTarget

POLL_SECONDS = 0.05
# The attributes that outlive the cloud, besides the update and the error.
KEPT = (
    "group",
    "hooks",
    "creator",
    "identifier",
    "status",
    "share",
    "created",
    "completed",
    "events",
    "shifts",
    "rollback",
    "skipped_seconds",
)
# The old version's running requests may end before the version is deleted: API Gateway gives up at 29 s.
DRAIN_SECONDS = 30.0
BEFORE_ALLOW_TRAFFIC, ALLOW_TRAFFIC, AFTER_ALLOW_TRAFFIC = (
    "BeforeAllowTraffic",
    "AllowTraffic",
    "AfterAllowTraffic",
)
END_EVENTS = {"Succeeded": "DeploymentSuccess", "Failed": "DeploymentFailure", "Stopped": "DeploymentStop"}


@dataclass
class Deployment:
    """A deployment of one alias by the settings of its group; times are epoch seconds."""

    group: Json
    update: AliasUpdate
    hooks: dict[str, str]
    target: LambdaTarget
    timers: Timers
    cancelled: Callable[[], bool]
    roll_back: Callable[[Deployment], None]
    creator: str = "CloudFormation"
    identifier: str = field(default_factory=lambda: f"d-{secrets.token_hex(5)[:9].upper()}")
    status: str = "Created"
    share: float = 0.0
    error: DeploymentError | None = None
    created: float = field(default_factory=now)
    completed: float | None = None
    events: dict[str, Json] = field(default_factory=dict)
    waiting_hooks: dict[str, Hook] = field(default_factory=dict)
    shifts: list[Json] = field(default_factory=list)
    rollback: Json = field(default_factory=dict)
    stopping: threading.Event = field(default_factory=threading.Event)
    skipped_seconds: float = 0.0  # of AWS, which a faster clock has left out of the waits

    def __post_init__(self) -> None:
        """Record the lifecycle events as pending."""
        self.events = {
            name: {"lifecycleEventName": name, "status": "Pending"}
            for name in (BEFORE_ALLOW_TRAFFIC, ALLOW_TRAFFIC, AFTER_ALLOW_TRAFFIC)
        }

    def saved(self) -> Json:
        """Return what of the deployment outlives the cloud."""
        error = [self.error.code, self.error.message, self.error.status] if self.error else None
        return {**kept.attributes(self, KEPT), "update": asdict(self.update), "error": error}

    def restore(self, saved: Json) -> None:
        """Take what `saved` returned in an earlier cloud, whose end has stopped the deployment if it ran."""
        kept.restore(self, KEPT, saved)
        self.error = DeploymentError(*saved["error"]) if saved["error"] else None
        if self.status in ("Created", "InProgress"):
            self.status, self.completed = (
                "Stopped",
                max(each["time"] for each in (*self.shifts, {"time": self.created})),
            )
            self.error = DeploymentError("MANUAL_STOP", kept.STOPPED, "Stopped")
            for event in self.events.values():
                if event["status"] in ("Pending", "InProgress"):
                    event["status"] = "Failed" if event["status"] == "InProgress" else "Skipped"
            if self.shifts:
                self._route(0.0)

    def run(self) -> None:
        """Shift the traffic to the target version.

        Raises:
            DeploymentError: the deployment was stopped or has failed; the group's settings decide about the
                rollback.
        """
        self.status = "InProgress"
        self.target.notify(self, "DeploymentStart")
        try:
            self._hook(BEFORE_ALLOW_TRAFFIC)
            with self._event(ALLOW_TRAFFIC):
                self._shift(shift_steps(self.group["deploymentConfigName"]) or ())
            self._hook(AFTER_ALLOW_TRAFFIC)
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
        self.waiting_hooks[hook.identifier] = hook
        with self._event(event):
            self.target.invoke_hook(self.hooks[event], self.identifier, hook.identifier)
            self._await_hook(event, hook)

    def _await_hook(self, event: str, hook: Hook) -> None:
        function = self.hooks[event]
        deadline = self.timers.clock.simulated() + HOOK_TIMEOUT
        # Anyone may report: the clock does not jump towards the end of the time for that.
        with self.timers.activities.awaited():
            while not hook.reported.wait(POLL_SECONDS):
                self._check()
                # The clock does not scale the hook's own time: the timeout counts only when it does not run.
                if self.timers.clock.simulated() > deadline and not self.target.is_running(function):
                    raise DeploymentError(
                        "TIMEOUT",
                        f"The validation function {function} ({event}) has not reported its status.",
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
        self.target.drain(self.update.function, self.update.current_version, DRAIN_SECONDS)
        self._check()

    def _wait(self, aws_seconds: float) -> None:
        clock = self.timers.clock
        real, simulated = clock.real(), clock.simulated()
        try:
            self.timers.wait(self._checked, aws_seconds, f"next step of deployment {self.identifier}")
            self._check()
        finally:
            waited = min(clock.simulated() - simulated, aws_seconds)
            self.skipped_seconds += max(0.0, waited - (clock.real() - real))

    def _checked(self) -> bool:
        self._check()
        return False

    def _check(self) -> None:
        if self.stopping.is_set() or self.cancelled():
            raise DeploymentError("MANUAL_STOP", "The deployment was stopped.", "Stopped")
        active = self.target.active_alarms(self.group)
        if active:
            raise DeploymentError(
                "ALARM_ACTIVE",
                "One or more alarms have been activated according to the Amazon CloudWatch metrics you "
                "selected, and the affected deployments have been stopped. "
                f"Activated alarms: {', '.join(active)}.",
                "Stopped",
            )

    def _route(self, share: float) -> None:
        current, new, self.share = self.update.current_version, self.update.target_version, share
        if share >= 1:
            self.target.route(self.update, new, {})
        else:
            self.target.route(self.update, current, {new: share} if share else {})
        at = now()
        weights = {current: round(1 - share, 6), new: round(share, 6)}
        self.shifts.append({"time": at, "aws_seconds": round(self.aws_seconds(at), 3), "weights": weights})

    def aws_seconds(self, at: float) -> float:
        """Return the seconds from the start to a time (epoch seconds) that AWS would have taken."""
        return at - self.created + self.skipped_seconds

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
                self.target.drain(self.update.function, self.update.target_version, DRAIN_SECONDS)
            self.roll_back(self)
        self._end(error.status)

    def _rolls_back(self, error: DeploymentError) -> bool:
        rollback = self.group.get("autoRollbackConfiguration", {})
        events = {"ALARM_ACTIVE": "DEPLOYMENT_STOP_ON_ALARM", "MANUAL_STOP": "DEPLOYMENT_STOP_ON_REQUEST"}
        event = events.get(error.code, "DEPLOYMENT_FAILURE")
        return bool(rollback.get("enabled")) and event in rollback.get("events", [])

    def _end(self, status: str) -> None:
        self.status, self.completed = status, now()
        self.target.notify(self, END_EVENTS[status])
