"""CodeDeploy's side of a hook: whatever happens, it is told how the hook ended."""

from __future__ import annotations

import json
import sys
import threading
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from .deadline import Deadline

if TYPE_CHECKING:
    from collections.abc import Callable

Facts = dict[str, Any]
ALREADY_TOLD = "LifecycleEventAlreadyCompletedException"


class Report:
    """Tells CodeDeploy once how the hook ended, from whichever thread is first."""

    def __init__(self, codedeploy: Any, event: dict[str, Any]) -> None:
        self._codedeploy = codedeploy
        self._arguments = {
            "deploymentId": event["DeploymentId"],
            "lifecycleEventHookExecutionId": event["LifecycleEventHookExecutionId"],
        }
        self._lock = threading.Lock()
        self._told: Facts | None = None

    def tell(self, status: str, facts: Facts) -> Facts:
        """Report Succeeded or Failed, and log why; a later call changes nothing. Give what was told."""
        with self._lock:
            if self._told is None:
                told = {"Status": status, **facts}
                log("Hook ended", told)
                self._put(status)
                self._told = told
            return self._told

    def _put(self, status: str) -> None:
        try:
            self._codedeploy.put_lifecycle_event_hook_execution_status(**self._arguments, status=status)
        except ClientError as error:
            if error.response["Error"]["Code"] != ALREADY_TOLD:
                raise


def run(event: dict[str, Any], context: Any, codedeploy: Any, check: Callable[[Deadline], Facts]) -> Facts:
    """Run the check and report; the check stops by its deadline, and a timer reports for one that hangs.

    Raises only when CodeDeploy could not be told: Lambda then invokes the hook again. A check that fails does
    not raise, or it would run again after the deployment has been stopped.
    """
    report = Report(codedeploy, event)
    end = Deadline.before_end(context, spare=8.0, share=0.2)
    timer = threading.Timer(end.left(), report.tell, ("Failed", {"Reason": "The hook's time ran out."}))
    timer.daemon = True
    timer.start()
    status, facts = outcome(check, Deadline.before_end(context, spare=25.0, share=0.4))
    timer.cancel()
    return report.tell(status, facts)


def outcome(check: Callable[[Deadline], Facts], deadline: Deadline) -> tuple[str, Facts]:
    """Run the check; anything that it raises is a failure."""
    try:
        return "Succeeded", check(deadline)
    except BaseException as error:  # noqa: BLE001  an exit or interrupt must not leave CodeDeploy waiting
        return "Failed", {"Reason": str(error) or repr(error), "Error": type(error).__name__}


def log(event: str, facts: Facts) -> None:
    """Write one line of JSON."""
    sys.stdout.write(json.dumps({"event": event, **facts}, default=str) + "\n")
