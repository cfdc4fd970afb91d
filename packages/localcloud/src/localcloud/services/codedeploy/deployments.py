"""All deployments: begun by CloudFormation, described, stopped, and told by their hooks how these ended."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from localcloud.core.errors import ResourceError, ServiceError
from localcloud.services.codedeploy.deployment import (
    AFTER,
    BEFORE,
    DRAIN_SECONDS,
    Deployment,
    DeploymentError,
    Target,
)
from localcloud.services.codedeploy.target import Platform

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from localcloud.core.context import CloudContext
    from localcloud.core.service import Answer, Json, Operation
    from localcloud.services.awslambda.executions import Executions
    from localcloud.services.cloudformation.service import Result, Update
    from localcloud.services.codedeploy.groups import Groups

# AWS keeps no record of the shift's steps; a report reads them here.
PATH = r"/_local/deployments"
PAGE = 100
HOOKS = {"BeforeAllowTrafficHook": BEFORE, "AfterAllowTrafficHook": AFTER}
OVER = ("Succeeded", "Failed", "Stopped")


class Deployments:
    """All deployments, newest last."""

    def __init__(self, context: CloudContext, executions: Executions, groups: Groups) -> None:
        """Begin without any."""
        self._context, self._groups = context, groups
        self._platform = Platform(context.region, executions, self._keep)
        self._all: dict[str, Deployment] = {}

    def operations(self) -> dict[str, Operation]:
        """Return the operations on deployments."""
        return {
            "GetDeployment": self.get,
            "ListDeployments": self.list,
            "GetDeploymentTarget": self.get_target,
            "ListDeploymentTargets": self.list_targets,
            "StopDeployment": self.stop,
            "PutLifecycleEventHookExecutionStatus": self.put_hook_status,
        }

    def move(self, update: Update, proceed: Callable[[], Result]) -> Result:
        """Move an alias that CloudFormation changes: by a deployment when its policy says so."""
        policy = update.policy.get("CodeDeployLambdaAliasUpdate")
        left = target_of(update)
        if left.old == left.new:
            return proceed()
        # On the way back the stack's alias goes straight to where it was.
        if not policy or update.rolling_back:
            moved = proceed()
            self._platform.drain(left.function, left.old, DRAIN_SECONDS)
            return moved
        deployment = self._begin(policy, update)
        try:
            deployment.run()
        except DeploymentError as error:
            raise ResourceError(
                f"CodeDeploy deployment {deployment.identifier} ended as {error.status}: {error.message}"
            ) from None
        return proceed()

    def find(self, identifier: str) -> Deployment:
        """Return the deployment under an id."""
        if identifier not in self._all:
            raise ServiceError(
                "DeploymentDoesNotExistException", f"The deployment {identifier} could not be found"
            )
        return self._all[identifier]

    def get(self, request: Json) -> Json:
        """Describe a deployment."""
        return {"deploymentInfo": described(self.find(request["deploymentId"]))}

    def list(self, request: Json) -> Json:
        """List the ids of deployments, newest first."""
        found = [each for each in reversed(list(self._all.values())) if matches(each, request)]
        start = int(request.get("nextToken", "0"))
        more = {"nextToken": str(start + PAGE)} if len(found) > start + PAGE else {}
        return {"deployments": [each.identifier for each in found[start : start + PAGE]], **more}

    def get_target(self, request: Json) -> Json:
        """Describe what a deployment acts on."""
        deployment = self.find(request["deploymentId"])
        if request["targetId"] != target_id(deployment):
            raise ServiceError("DeploymentTargetDoesNotExistException", "The target could not be found.")
        target = {
            "deploymentTargetType": "LambdaTarget",
            "lambdaTarget": self._described_target(deployment),
        }
        return {"deploymentTarget": target}

    def list_targets(self, request: Json) -> Json:
        """List the ids of what a deployment acts on: one."""
        return {"targetIds": [target_id(self.find(request["deploymentId"]))]}

    def stop(self, request: Json) -> Json:
        """Stop a deployment, which rolls back when its group says so."""
        deployment = self.find(request["deploymentId"])
        if deployment.status in OVER:
            raise ServiceError(
                "DeploymentAlreadyCompletedException", f"The deployment {deployment.identifier} is over."
            )
        deployment.stop()
        return {"status": "Pending", "statusMessage": "The deployment is being stopped."}

    def put_hook_status(self, request: Json) -> Json:
        """Take a hook's word."""
        deployment = self.find(request["deploymentId"])
        identifier = request.get("lifecycleEventHookExecutionId", "")
        hook = deployment.waiting.get(identifier)
        if hook is None:
            raise ServiceError(
                "InvalidLifecycleEventHookExecutionIdException", f"No hook has the execution id {identifier}."
            )
        if request.get("status") not in ("Succeeded", "Failed"):
            raise ServiceError(
                "InvalidLifecycleEventHookExecutionStatusException", "The status is Succeeded or Failed."
            )
        if hook.told.is_set():
            raise ServiceError(
                "LifecycleEventAlreadyCompletedException", "The lifecycle event is already completed."
            )
        hook.status = request["status"]
        hook.told.set()
        return {"lifecycleEventHookExecutionId": identifier}

    async def shifts(self, path: str, headers: Mapping[str, str], body: bytes) -> Answer:  # noqa: ARG002
        """Tell each deployment's steps: when, in both times, which version had which share."""
        told = [shown(deployment) for deployment in self._all.values()]
        return 200, [(b"content-type", b"application/json")], json.dumps(told).encode()

    def close(self) -> None:
        """Stop what is under way."""
        for deployment in self._all.values():
            deployment.stop()

    def _begin(self, policy: Json, update: Update) -> Deployment:
        deployment = Deployment(
            self._groups.find(policy["ApplicationName"], policy["DeploymentGroupName"]),
            target_of(update),
            {event: str(policy[name]) for name, event in HOOKS.items() if policy.get(name)},
            self._platform,
            self._context.clock,
            lambda: update.cancelled,
        )
        self._keep(deployment)
        return deployment

    def _keep(self, deployment: Deployment) -> None:
        self._all[deployment.identifier] = deployment

    def _described_target(self, deployment: Deployment) -> Json:
        target = deployment.target
        function = self._context.arn("lambda", f"function:{target.function}:{target.alias}")
        return {
            "deploymentId": deployment.identifier,
            "targetId": target_id(deployment),
            "targetArn": function,
            "status": {"Created": "Pending", "Stopped": "Failed"}.get(deployment.status, deployment.status),
            "lastUpdatedAt": deployment.completed or deployment.created,
            "lifecycleEvents": list(deployment.events.values()),
            "lambdaFunctionInfo": {
                "functionName": target.function,
                "functionAlias": target.alias,
                "currentVersion": target.old,
                "targetVersion": target.new,
                "targetVersionWeight": deployment.share,
            },
        }


def target_of(update: Update) -> Target:
    """Return what an alias' update moves; a function is given by its name or ARN."""
    given = str(update.new["FunctionName"])
    old, new = (str(each.get("FunctionVersion")) for each in (update.old, update.new))
    return Target(given.rpartition(":function:")[2] or given, str(update.new["Name"]), old, new)


def target_id(deployment: Deployment) -> str:
    """Return the id of a deployment's only target."""
    return f"{deployment.target.function}:{deployment.target.alias}"


def matches(deployment: Deployment, request: Json) -> bool:
    """Whether a deployment is among those asked for."""
    span = request.get("createTimeRange", {})
    return (
        request.get("applicationName") in (None, deployment.group["applicationName"])
        and request.get("deploymentGroupName") in (None, deployment.group["deploymentGroupName"])
        and deployment.status in (request.get("includeOnlyStatuses") or [deployment.status])
        and span.get("start", 0) <= deployment.created <= span.get("end", float("inf"))
    )


def described(deployment: Deployment) -> Json:
    """Return what GetDeployment answers."""
    group, ended = deployment.group, deployment.status in OVER
    counted = {"Created": "Pending", "Stopped": "Failed"}.get(deployment.status, deployment.status)
    info: Json = {
        "applicationName": group["applicationName"],
        "deploymentGroupName": group["deploymentGroupName"],
        "deploymentConfigName": group["deploymentConfigName"],
        "deploymentId": deployment.identifier,
        "revision": {"revisionType": "AppSpecContent", "appSpecContent": {"content": app_spec(deployment)}},
        "status": deployment.status,
        "createTime": deployment.created,
        "startTime": deployment.created,
        "deploymentOverview": {
            name: int(name == counted)
            for name in ("Pending", "InProgress", "Succeeded", "Failed", "Skipped", "Ready")
        },
        "creator": deployment.creator,
        "ignoreApplicationStopFailures": False,
        "updateOutdatedInstancesOnly": False,
        "deploymentStyle": {"deploymentType": "BLUE_GREEN", "deploymentOption": "WITH_TRAFFIC_CONTROL"},
        "instanceTerminationWaitTimeStarted": False,
        "fileExistsBehavior": "DISALLOW",
        "deploymentStatusMessages": [],
        "computePlatform": "Lambda",
    }
    if "autoRollbackConfiguration" in group:
        info["autoRollbackConfiguration"] = group["autoRollbackConfiguration"]
    if deployment.rollback:
        info["rollbackInfo"] = deployment.rollback
    if ended:
        info["completeTime"] = deployment.completed
    if deployment.error:
        info["errorInformation"] = {"code": deployment.error.code, "message": deployment.error.message}
    return info


def app_spec(deployment: Deployment) -> str:
    """Return the deployment as an AppSpec, which CloudFormation writes for it on AWS."""
    target = deployment.target
    properties = {
        "Name": target.function,
        "Alias": target.alias,
        "CurrentVersion": target.old,
        "TargetVersion": target.new,
    }
    resource = {target.function: {"Type": "AWS::Lambda::Function", "Properties": properties}}
    hooks = [{event: function} for event, function in deployment.hooks.items()]
    return json.dumps({"version": "0.0", "Resources": [resource], "Hooks": hooks})


def shown(deployment: Deployment) -> Json:
    """Return a deployment as the report has it, times in seconds."""
    at = deployment.completed
    return {
        "deploymentId": deployment.identifier,
        "applicationName": deployment.group["applicationName"],
        "creator": deployment.creator,
        "function": deployment.target.function,
        "alias": deployment.target.alias,
        "config": deployment.group["deploymentConfigName"],
        "from": deployment.target.old,
        "to": deployment.target.new,
        "status": deployment.status,
        "error": deployment.error.message if deployment.error else None,
        "created": deployment.created,
        "completed": at,
        "seconds": round(at - deployment.created, 3) if at else None,
        "aws_seconds": round(deployment.aws_seconds(at), 3) if at else None,
        "events": list(deployment.events.values()),
        "shifts": deployment.shifts,
    }
