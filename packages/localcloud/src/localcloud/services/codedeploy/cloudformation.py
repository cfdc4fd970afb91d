"""The CloudFormation resource types of CodeDeploy: applications and deployment groups."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

from localcloud.core import protocol
from localcloud.core.errors import ResourceError
from localcloud.core.properties import as_failure, request_of
from localcloud.core.service import Resource

if TYPE_CHECKING:
    from localcloud.core.service import Json
    from localcloud.services.codedeploy.groups import Groups

MAX_NAME_LENGTH = 100


def application(groups: Groups) -> Resource:
    """Return the resource type of applications."""

    def create(properties: Json, default_name: str) -> tuple[str, Json]:
        named = _named(properties, "ApplicationName", default_name)
        request = _request("CreateApplication", {"ComputePlatform": "Server", **named})
        if request["computePlatform"] != "Lambda":
            raise ResourceError("The local cloud has CodeDeploy for the compute platform Lambda only.")
        with as_failure("CodeDeploy"):
            groups.create_application(request)
        return str(request["applicationName"]), {}

    def update(physical_id: str, old: Json, new: Json, default_name: str) -> tuple[str, Json]:
        if any(old.get(key) != new.get(key) for key in ("ApplicationName", "ComputePlatform")):
            return create(new, default_name)
        return physical_id, {}

    def delete(physical_id: str, _: Json) -> None:
        groups.applications.pop(physical_id, None)

    return Resource(create, update, delete)


def deployment_group(groups: Groups) -> Resource:
    """Return the resource type of deployment groups."""

    def create(properties: Json, default_name: str) -> tuple[str, Json]:
        return put(_named(properties, "DeploymentGroupName", default_name))

    def put(properties: Json) -> tuple[str, Json]:
        request = _request("CreateDeploymentGroup", properties)
        with as_failure("CodeDeploy"):
            identifier = groups.put(request)
        return str(request["deploymentGroupName"]), {"Id": identifier}

    def update(physical_id: str, old: Json, new: Json, default_name: str) -> tuple[str, Json]:
        if any(old.get(key) != new.get(key) for key in ("ApplicationName", "DeploymentGroupName")):
            return create(new, default_name)
        return put(_named({**new, "DeploymentGroupName": physical_id}, "DeploymentGroupName", ""))

    def delete(physical_id: str, properties: Json) -> None:
        groups.groups.pop((properties["ApplicationName"], physical_id), None)

    return Resource(create, update, delete)


def _named(properties: Json, member: str, default_name: str) -> Json:
    """Return the properties without the stack's tags, under their own name or a new one."""
    name = f"{default_name[: MAX_NAME_LENGTH - 13]}-{uuid.uuid4().hex[:12].upper()}"
    return {member: name, **{key: value for key, value in properties.items() if key != "Tags"}}


def _request(operation: str, properties: Json) -> Json:
    """Return properties as a request of the API, checked against the model."""
    shape: Any = protocol.model("codedeploy").operation_model(operation).input_shape
    with as_failure("CodeDeploy"):
        return request_of(properties, shape)
