"""Deployments in the answers of GetDeployment, GetDeploymentTarget and of this cloud's own reports."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from localcloud.core.service import Json
    from localcloud.services.codedeploy.deployment import Deployment

OVER = ("Succeeded", "Failed", "Stopped")
# A deployment and its target have different names of these states.
TARGET_STATUS = {"Created": "Pending", "Stopped": "Failed"}


def target_id(deployment: Deployment) -> str:
    """Return the id of a deployment's only target."""
    return f"{deployment.update.function}:{deployment.update.alias}"


def describe_deployment(deployment: Deployment) -> Json:
    """Return the answer of GetDeployment."""
    group = deployment.group
    target_status = TARGET_STATUS.get(deployment.status, deployment.status)
    info: Json = {
        "applicationName": group["applicationName"],
        "deploymentGroupName": group["deploymentGroupName"],
        "deploymentConfigName": group["deploymentConfigName"],
        "deploymentId": deployment.identifier,
        "revision": {"revisionType": "AppSpecContent", "appSpecContent": {"content": _app_spec(deployment)}},
        "status": deployment.status,
        "createTime": deployment.created,
        "startTime": deployment.created,
        "deploymentOverview": {
            name: int(name == target_status)
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
    if deployment.status in OVER:
        info["completeTime"] = deployment.completed
    if deployment.error:
        info["errorInformation"] = {"code": deployment.error.code, "message": deployment.error.message}
    return info


def _app_spec(deployment: Deployment) -> str:
    """Return the AppSpec that CloudFormation writes for the deployment on AWS."""
    update = deployment.update
    properties = {
        "Name": update.function,
        "Alias": update.alias,
        "CurrentVersion": update.current_version,
        "TargetVersion": update.target_version,
    }
    resource = {update.function: {"Type": "AWS::Lambda::Function", "Properties": properties}}
    hooks = [{event: function} for event, function in deployment.hooks.items()]
    return json.dumps({"version": "0.0", "Resources": [resource], "Hooks": hooks})


def describe_shifts(deployment: Deployment) -> Json:
    """Return a deployment with its traffic shifts; times in epoch seconds."""
    completed = deployment.completed
    return {
        "deploymentId": deployment.identifier,
        "applicationName": deployment.group["applicationName"],
        "creator": deployment.creator,
        "function": deployment.update.function,
        "alias": deployment.update.alias,
        "config": deployment.group["deploymentConfigName"],
        "from": deployment.update.current_version,
        "to": deployment.update.target_version,
        "status": deployment.status,
        "error": deployment.error.message if deployment.error else None,
        "created": deployment.created,
        "completed": completed,
        "seconds": round(completed - deployment.created, 3) if completed else None,
        "aws_seconds": round(deployment.aws_seconds(completed), 3) if completed else None,
        "events": list(deployment.events.values()),
        "shifts": deployment.shifts,
    }


def describe_target(deployment: Deployment, function_arn: str) -> Json:
    """Return the Lambda target in the answer of GetDeploymentTarget."""
    update = deployment.update
    return {
        "deploymentId": deployment.identifier,
        "targetId": target_id(deployment),
        "targetArn": function_arn,
        "status": TARGET_STATUS.get(deployment.status, deployment.status),
        "lastUpdatedAt": deployment.completed or deployment.created,
        "lifecycleEvents": list(deployment.events.values()),
        "lambdaFunctionInfo": {
            "functionName": update.function,
            "functionAlias": update.alias,
            "currentVersion": update.current_version,
            "targetVersion": update.target_version,
            "targetVersionWeight": deployment.share,
        },
    }
