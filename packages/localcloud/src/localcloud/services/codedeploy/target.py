"""What a deployment acts on: the alias, its functions, alarms, and who is told."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from localcloud.core import account, ministack
from localcloud.core.clock import iso
from localcloud.core.patches import uses
from localcloud.services.codedeploy.deployment import Deployment, DeploymentError, Target

if TYPE_CHECKING:
    from collections.abc import Callable

    from localcloud.core.service import Json
    from localcloud.services.awslambda.executions import Executions

LAMBDA = uses(
    "ministack.services.lambda_svc", "_get_func_record_for_ref", "_update_alias", "invoke_async_with_retry"
)
CLOUDWATCH = uses("ministack.services.cloudwatch", "_alarms")
STATES = {
    "DeploymentStart": ("CREATED", "START"),
    "DeploymentSuccess": ("SUCCEEDED", "SUCCESS"),
    "DeploymentFailure": ("FAILED", "FAILURE"),
    "DeploymentStop": ("STOPPED", "STOP"),
    "DeploymentRollback": ("CREATED", "START"),
}


@dataclass(frozen=True)
class Platform:
    """Lambda, CloudWatch, SNS and EventBridge, as CodeDeploy uses them."""

    region: str
    executions: Executions
    keep: Callable[[Deployment], None]

    def invoke_hook(self, function: str, deployment: str, execution: str) -> None:
        """Invoke a hook without waiting for it, as CodeDeploy does."""
        record, config, _ = LAMBDA["_get_func_record_for_ref"](function)
        if record is None:
            message = f"The validation function {function} does not exist."
            raise DeploymentError("INVALID_LAMBDA_FUNCTION", message)
        event = {"DeploymentId": deployment, "LifecycleEventHookExecutionId": execution}
        LAMBDA["invoke_async_with_retry"]({**record, "config": config}, event)

    def running(self, function: str) -> bool:
        """Whether a function is being executed."""
        return bool(
            self.executions.running(function.rpartition(":function:")[2].partition(":")[0] or function)
        )

    def drain(self, function: str, version: str, seconds: float) -> bool:
        """Wait until a version's executions have ended."""
        return self.executions.drain(function, version, seconds)

    def route(self, target: Target, version: str, more: dict[str, float]) -> None:
        """Point the alias at a version, and give others their share."""
        data = {"FunctionVersion": version, "RoutingConfig": {"AdditionalVersionWeights": more}}
        status, _, body = LAMBDA["_update_alias"](target.function, target.alias, data)
        if status >= 300:  # noqa: PLR2004
            raise DeploymentError("INVALID_LAMBDA_CONFIGURATION", json.loads(body)["message"])

    def alarming(self, group: Json) -> list[str]:
        """Name the group's alarms that are in ALARM; one that does not exist fails the deployment."""
        settings = group.get("alarmConfiguration", {})
        if not settings.get("enabled"):
            return []
        names = [alarm["name"] for alarm in settings.get("alarms", [])]
        known = CLOUDWATCH["_alarms"]
        missing = [name for name in names if name not in known]
        if missing and not settings.get("ignorePollAlarmFailure"):
            message = f"The alarms {', '.join(missing)} can't be polled: they do not exist."
            raise DeploymentError("ALARM_ACTIVE", message, "Stopped")
        return [name for name in names if name in known and known[name]["StateValue"] == "ALARM"]

    def roll_back(self, failed: Deployment) -> None:
        """Keep the deployment that has brought the old version back."""
        target = failed.target
        back = Deployment(
            failed.group,
            Target(target.function, target.alias, target.new, target.old),
            {},
            failed.platform,
            failed.clock,
            failed.cancelled,
            creator="codeDeployRollback",
            status="Succeeded",
            share=1.0,
        )
        back.completed = back.created
        for event in back.events.values():
            event["status"] = "Skipped"
        why = f"Deployment {failed.identifier} was rolled back: {failed.error}"
        back.rollback = {"rollbackTriggeringDeploymentId": failed.identifier, "rollbackMessage": why}
        failed.rollback = {"rollbackDeploymentId": back.identifier, "rollbackMessage": why}
        self.keep(back)
        self.tell(back, "DeploymentRollback")

    def tell(self, deployment: Deployment, event: str) -> None:
        """Tell the group's topics and EventBridge."""
        group, (status, state) = deployment.group, STATES[event]
        message = self._message(deployment, status)
        subject = f"{status}: AWS CodeDeploy {deployment.identifier} in {self.region}"[:100]
        for trigger in group.get("triggerConfigurations", []):
            if event in trigger.get("triggerEvents", []):
                named = {"eventTriggerName": trigger["triggerName"], **message}
                ministack.publish(trigger["triggerTargetArn"], json.dumps(named), subject)
        detail = {
            "region": self.region,
            "deploymentId": deployment.identifier,
            "deploymentGroup": group["deploymentGroupName"],
            "application": group["applicationName"],
            "state": state,
        }
        ministack.put_event("aws.codedeploy", "CodeDeploy Deployment State-change Notification", detail, [])

    def _message(self, deployment: Deployment, status: str) -> dict[str, Any]:
        error, group = deployment.error, deployment.group
        told: dict[str, Any] = {
            "region": self.region,
            "accountId": account.ACCOUNT,
            "applicationName": group["applicationName"],
            "deploymentId": deployment.identifier,
            "deploymentGroupName": group["deploymentGroupName"],
            "createTime": iso(deployment.created),
            "status": status,
        }
        if deployment.completed:
            told["completeTime"] = iso(deployment.completed)
        if error:
            told["errorInformation"] = json.dumps({"ErrorCode": error.code, "ErrorMessage": error.message})
        if deployment.rollback:
            told["rollbackInformation"] = json.dumps(deployment.rollback)
        return told
