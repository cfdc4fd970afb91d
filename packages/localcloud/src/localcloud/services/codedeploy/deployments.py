"""All deployments: CloudFormation begins them, hooks report to them, and the API describes and stops them."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import TYPE_CHECKING

from localcloud.core import kept
from localcloud.core.errors import ResourceError
from localcloud.core.service import Kept
from localcloud.services.codedeploy import errors
from localcloud.services.codedeploy.deployment import (
    AFTER_ALLOW_TRAFFIC,
    BEFORE_ALLOW_TRAFFIC,
    DRAIN_SECONDS,
    Deployment,
)
from localcloud.services.codedeploy.descriptions import (
    OVER,
    describe_deployment,
    describe_shifts,
    describe_target,
    target_id,
)
from localcloud.services.codedeploy.models import AliasUpdate, DeploymentError
from localcloud.services.codedeploy.target import LambdaTarget

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from localcloud.core.context import CloudContext
    from localcloud.core.service import Answer, Json, Operation
    from localcloud.services.awslambda.executions import Executions
    from localcloud.services.cloudformation.service import Result, Update
    from localcloud.services.codedeploy.groups import Groups

# AWS keeps no record of the shift's steps; this cloud's reports read them at this path.
PATH = r"/_local/deployments"
PAGE_SIZE = 100
HOOKS = {"BeforeAllowTrafficHook": BEFORE_ALLOW_TRAFFIC, "AfterAllowTrafficHook": AFTER_ALLOW_TRAFFIC}


class Deployments:
    """All deployments, the newest last."""

    def __init__(self, context: CloudContext, executions: Executions, groups: Groups) -> None:
        """Begin without deployments."""
        self._context, self._groups = context, groups
        self._target = LambdaTarget(context.region, executions)
        self._all: dict[str, Deployment] = {}

    def kept(self) -> dict[str, Kept]:
        """Return how the deployments outlive the cloud, after the groups."""
        return {"deployments": Kept(self._save, self._load, noun="deployments")}

    def _save(self) -> list[Json]:
        return [each.saved() for each in kept.newest(self._all.values())]

    def _load(self, saved: list[Json]) -> None:
        for each in saved:
            deployment = Deployment(
                each["group"],
                AliasUpdate(**each["update"]),
                each["hooks"],
                self._target,
                self._context.timers,
                lambda: True,
                self._roll_back,
            )
            deployment.restore(each)
            self._all[deployment.identifier] = deployment

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
        """Update an alias for CloudFormation, by a deployment if the resource's update policy says so.

        Raises:
            ResourceError: the deployment was stopped or has failed.
        """
        policy = update.policy.get("CodeDeployLambdaAliasUpdate")
        alias_update = _alias_update(update)
        if alias_update.current_version == alias_update.target_version:
            return proceed()
        # A rollback of the stack moves the alias at once, without a deployment.
        if not policy or update.rolling_back:
            result = proceed()
            self._target.drain(alias_update.function, alias_update.current_version, DRAIN_SECONDS)
            return result
        deployment = self._begin(policy, update)
        try:
            with self._context.activities.active():
                deployment.run()
        except DeploymentError as error:
            raise ResourceError(
                f"CodeDeploy deployment {deployment.identifier} ended as {error.status}: {error.message}"
            ) from None
        return proceed()

    def find(self, identifier: str) -> Deployment:
        """Return the deployment of an id.

        Raises:
            ServiceError: the deployment does not exist.
        """
        if identifier not in self._all:
            raise errors.deployment_not_found(identifier)
        return self._all[identifier]

    def get(self, request: Json) -> Json:
        """Describe a deployment."""
        return {"deploymentInfo": describe_deployment(self.find(request["deploymentId"]))}

    def list(self, request: Json) -> Json:
        """List the ids of deployments, newest first."""
        deployments = [each for each in reversed(list(self._all.values())) if _matches(each, request)]
        start = int(request.get("nextToken", "0"))
        end = start + PAGE_SIZE
        token = {"nextToken": str(end)} if len(deployments) > end else {}
        return {"deployments": [each.identifier for each in deployments[start:end]], **token}

    def get_target(self, request: Json) -> Json:
        """Describe the target of a deployment.

        Raises:
            ServiceError: the deployment does not exist, or has another target.
        """
        deployment = self.find(request["deploymentId"])
        if request["targetId"] != target_id(deployment):
            raise errors.target_not_found()
        update = deployment.update
        function_arn = self._context.arn("lambda", f"function:{update.function}:{update.alias}")
        description = describe_target(deployment, function_arn)
        return {"deploymentTarget": {"deploymentTargetType": "LambdaTarget", "lambdaTarget": description}}

    def list_targets(self, request: Json) -> Json:
        """List the id of a deployment's only target."""
        return {"targetIds": [target_id(self.find(request["deploymentId"]))]}

    def stop(self, request: Json) -> Json:
        """Stop a deployment, which rolls back if its group says so.

        Raises:
            ServiceError: the deployment does not exist, or has ended.
        """
        deployment = self.find(request["deploymentId"])
        if deployment.status in OVER:
            raise errors.deployment_already_completed(deployment.identifier)
        deployment.stop()
        return {"status": "Pending", "statusMessage": "The deployment is being stopped."}

    def put_hook_status(self, request: Json) -> Json:
        """Record the status that a hook reports.

        Raises:
            ServiceError: the hook does not exist or has reported already, or the status is unknown.
        """
        deployment = self.find(request["deploymentId"])
        identifier = request.get("lifecycleEventHookExecutionId", "")
        hook = deployment.waiting_hooks.get(identifier)
        if hook is None:
            raise errors.hook_not_found(identifier)
        if request.get("status") not in ("Succeeded", "Failed"):
            raise errors.invalid_hook_status()
        if hook.reported.is_set():
            raise errors.event_already_completed()
        hook.status = request["status"]
        hook.reported.set()
        return {"lifecycleEventHookExecutionId": identifier}

    async def shifts(
        self,
        path: str,  # noqa: ARG002 - a route's signature
        headers: Mapping[str, str],  # noqa: ARG002 - a route's signature
        body: bytes,  # noqa: ARG002 - a route's signature
    ) -> Answer:
        """Answer with each deployment's traffic shifts, their times and the versions' weights."""
        content = [describe_shifts(deployment) for deployment in self._all.values()]
        return HTTPStatus.OK, [(b"content-type", b"application/json")], json.dumps(content).encode()

    def close(self) -> None:
        """Stop every deployment that runs."""
        for deployment in self._all.values():
            deployment.stop()

    def _begin(self, policy: Json, update: Update) -> Deployment:
        deployment = Deployment(
            self._groups.find(policy["ApplicationName"], policy["DeploymentGroupName"]),
            _alias_update(update),
            {event: str(policy[name]) for name, event in HOOKS.items() if policy.get(name)},
            self._target,
            self._context.timers,
            lambda: update.cancelled,
            self._roll_back,
        )
        self._all[deployment.identifier] = deployment
        return deployment

    def _roll_back(self, failed: Deployment) -> None:
        """Keep the deployment that has brought the current version of a failed deployment back."""
        update = failed.update
        rollback = Deployment(
            failed.group,
            AliasUpdate(update.function, update.alias, update.target_version, update.current_version),
            {},
            failed.target,
            failed.timers,
            failed.cancelled,
            failed.roll_back,
            creator="codeDeployRollback",
            status="Succeeded",
            share=1.0,
        )
        rollback.completed = rollback.created
        for event in rollback.events.values():
            event["status"] = "Skipped"
        message = f"Deployment {failed.identifier} was rolled back: {failed.error}"
        rollback.rollback = {
            "rollbackTriggeringDeploymentId": failed.identifier,
            "rollbackMessage": message,
        }
        failed.rollback = {"rollbackDeploymentId": rollback.identifier, "rollbackMessage": message}
        self._all[rollback.identifier] = rollback
        self._target.notify(rollback, "DeploymentRollback")


def _alias_update(update: Update) -> AliasUpdate:
    """Return the alias and versions of a resource's update; the function is given by its name or ARN."""
    function = str(update.new["FunctionName"])
    current, new = (str(each.get("FunctionVersion")) for each in (update.old, update.new))
    return AliasUpdate(
        function.rpartition(":function:")[2] or function, str(update.new["Name"]), current, new
    )


def _matches(deployment: Deployment, request: Json) -> bool:
    """Return whether a deployment passes the filters of a list's request."""
    span = request.get("createTimeRange", {})
    return (
        request.get("applicationName") in (None, deployment.group["applicationName"])
        and request.get("deploymentGroupName") in (None, deployment.group["deploymentGroupName"])
        and deployment.status in (request.get("includeOnlyStatuses") or [deployment.status])
        and span.get("start", 0) <= deployment.created <= span.get("end", float("inf"))
    )
