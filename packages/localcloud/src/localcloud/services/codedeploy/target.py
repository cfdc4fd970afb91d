"""The target of a deployment: an alias of a Lambda function, with its hooks, alarms and notifications."""

from __future__ import annotations

import json
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from localcloud.core import account, ministack
from localcloud.core.clock import iso
from localcloud.core.patches import uses
from localcloud.services.codedeploy.models import DeploymentError

if TYPE_CHECKING:
    from localcloud.core.service import Json
    from localcloud.services.awslambda.executions import Executions
    from localcloud.services.codedeploy.models import AliasUpdate, DeploymentState

LAMBDA = uses(
    "ministack.services.lambda_svc", "_get_func_record_for_ref", "_update_alias", "invoke_async_with_retry"
)
CLOUDWATCH = uses("ministack.services.cloudwatch", "_alarms")
# The statuses in SNS messages and in events of EventBridge, by the trigger's event type.
STATES = {
    "DeploymentStart": ("CREATED", "START"),
    "DeploymentSuccess": ("SUCCEEDED", "SUCCESS"),
    "DeploymentFailure": ("FAILED", "FAILURE"),
    "DeploymentStop": ("STOPPED", "STOP"),
    "DeploymentRollback": ("CREATED", "START"),
}


@dataclass(frozen=True)
class LambdaTarget:
    """Lambda, CloudWatch, SNS and EventBridge, as CodeDeploy uses them."""

    region: str
    executions: Executions

    def invoke_hook(self, function: str, deployment: str, execution: str) -> None:
        """Invoke a hook without waiting for it, as CodeDeploy does.

        Raises:
            DeploymentError: the function does not exist.
        """
        record, config, _ = LAMBDA["_get_func_record_for_ref"](function)
        if record is None:
            message = f"The validation function {function} does not exist."
            raise DeploymentError("INVALID_LAMBDA_FUNCTION", message)
        event = {"DeploymentId": deployment, "LifecycleEventHookExecutionId": execution}
        LAMBDA["invoke_async_with_retry"]({**record, "config": config}, event)

    def is_running(self, function: str) -> bool:
        """Whether a function, given by its name or ARN, is being executed."""
        name = function.rpartition(":function:")[2].partition(":")[0] or function
        return bool(self.executions.running(name))

    def drain(self, function: str, version: str, seconds: float) -> bool:
        """Wait until a version's executions have ended, at most some seconds; return whether they have."""
        return self.executions.drain(function, version, seconds)

    def route(self, update: AliasUpdate, version: str, weights: dict[str, float]) -> None:
        """Point the alias at a version, and give other versions their weights.

        Raises:
            DeploymentError: Lambda does not update the alias.
        """
        data = {"FunctionVersion": version, "RoutingConfig": {"AdditionalVersionWeights": weights}}
        status, _, body = LAMBDA["_update_alias"](update.function, update.alias, data)
        if status >= HTTPStatus.MULTIPLE_CHOICES:
            raise DeploymentError("INVALID_LAMBDA_CONFIGURATION", json.loads(body)["message"])

    def active_alarms(self, group: Json) -> list[str]:
        """Return the names of the group's alarms that are in state ALARM.

        Raises:
            DeploymentError: an alarm does not exist.
        """
        settings = group.get("alarmConfiguration", {})
        if not settings.get("enabled"):
            return []
        names = [alarm["name"] for alarm in settings.get("alarms", [])]
        alarms = CLOUDWATCH["_alarms"]
        missing = [name for name in names if name not in alarms]
        if missing and not settings.get("ignorePollAlarmFailure"):
            message = f"The alarms {', '.join(missing)} can't be polled: they do not exist."
            raise DeploymentError("ALARM_ACTIVE", message, "Stopped")
        return [name for name in names if name in alarms and alarms[name]["StateValue"] == "ALARM"]

    def notify(self, deployment: DeploymentState, event: str) -> None:
        """Publish an event to the topics of the group's triggers, and send it to EventBridge."""
        group, (status, state) = deployment.group, STATES[event]
        message = self._message(deployment, status)
        subject = f"{status}: AWS CodeDeploy {deployment.identifier} in {self.region}"[:100]
        for trigger in group.get("triggerConfigurations", []):
            if event in trigger.get("triggerEvents", []):
                content = {"eventTriggerName": trigger["triggerName"], **message}
                ministack.publish(trigger["triggerTargetArn"], json.dumps(content), subject)
        detail = {
            "region": self.region,
            "deploymentId": deployment.identifier,
            "deploymentGroup": group["deploymentGroupName"],
            "application": group["applicationName"],
            "state": state,
        }
        ministack.put_event("aws.codedeploy", "CodeDeploy Deployment State-change Notification", detail, [])

    def _message(self, deployment: DeploymentState, status: str) -> dict[str, Any]:
        error, group = deployment.error, deployment.group
        message: dict[str, Any] = {
            "region": self.region,
            "accountId": account.ACCOUNT,
            "applicationName": group["applicationName"],
            "deploymentId": deployment.identifier,
            "deploymentGroupName": group["deploymentGroupName"],
            "createTime": iso(deployment.created),
            "status": status,
        }
        if deployment.completed:
            message["completeTime"] = iso(deployment.completed)
        if error:
            message["errorInformation"] = json.dumps({"ErrorCode": error.code, "ErrorMessage": error.message})
        if deployment.rollback:
            message["rollbackInformation"] = json.dumps(deployment.rollback)
        return message
