"""A CodeDeploy hook, which reports its status to CodeDeploy however it ends."""

from __future__ import annotations

import json
import sys
import threading
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from .deadline import Deadline

if TYPE_CHECKING:
    from collections.abc import Callable

HookResult = dict[str, Any]
ALREADY_COMPLETED = "LifecycleEventAlreadyCompletedException"


class StatusReport:
    """Reports a hook's status to CodeDeploy once, from the thread that is first."""

    def __init__(self, codedeploy: Any, event: dict[str, Any]) -> None:
        self._codedeploy = codedeploy
        self._arguments = {
            "deploymentId": event["DeploymentId"],
            "lifecycleEventHookExecutionId": event["LifecycleEventHookExecutionId"],
        }
        self._lock = threading.Lock()
        self._sent: HookResult | None = None

    def send(self, status: str, result: HookResult) -> HookResult:
        """Report Succeeded or Failed and log the result; return the report that was sent first.

        Raises:
            ClientError: CodeDeploy did not accept the status.
        """
        with self._lock:
            if self._sent is None:
                report = {"Status": status, **result}
                log("Hook ended", report)
                self._put(status)
                self._sent = report
            return self._sent

    def _put(self, status: str) -> None:
        try:
            self._codedeploy.put_lifecycle_event_hook_execution_status(**self._arguments, status=status)
        except ClientError as error:
            if error.response["Error"]["Code"] != ALREADY_COMPLETED:
                raise


def run(
    event: dict[str, Any], context: Any, codedeploy: Any, check: Callable[[Deadline], HookResult]
) -> HookResult:
    """Run the check and report its outcome; a timer reports for a check that ignores its deadline.

    A check that fails does not raise here, or Lambda would run it again after the deployment was stopped.

    Raises:
        ClientError: CodeDeploy did not accept the status; Lambda then invokes the hook again.
    """
    report = StatusReport(codedeploy, event)
    end = Deadline.before_end(context, spare=8.0, share=0.2)
    timer = threading.Timer(end.remaining(), report.send, ("Failed", {"Reason": "The hook's time ran out."}))
    timer.daemon = True
    timer.start()
    status, result = outcome(check, Deadline.before_end(context, spare=25.0, share=0.4))
    timer.cancel()
    return report.send(status, result)


def outcome(check: Callable[[Deadline], HookResult], deadline: Deadline) -> tuple[str, HookResult]:
    """Run the check; return its result, or the error that it raised as a failure."""
    try:
        return "Succeeded", check(deadline)
    except BaseException as error:  # noqa: BLE001 - an exit or interrupt must not leave CodeDeploy waiting
        return "Failed", {"Reason": str(error) or repr(error), "Error": type(error).__name__}


def log(event: str, result: HookResult) -> None:
    """Write one line of JSON."""
    sys.stdout.write(json.dumps({"event": event, **result}, default=str) + "\n")
