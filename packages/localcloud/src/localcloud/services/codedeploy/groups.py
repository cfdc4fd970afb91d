"""Applications and deployment groups: who is told, which alarms stop a deployment, how traffic moves."""

from __future__ import annotations

import threading
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from localcloud.core import protocol
from localcloud.core.clock import now
from localcloud.core.errors import ResourceError, ServiceError
from localcloud.core.service import Resource
from localcloud.services.codedeploy.traffic import steps

if TYPE_CHECKING:
    from collections.abc import Callable

    from localcloud.core.service import Json

NAME_MOST = 100
ALL_AT_ONCE = "CodeDeployDefault.LambdaAllAtOnce"


@dataclass
class Groups:
    """All applications with their deployment groups."""

    applications: dict[str, Json] = field(default_factory=dict)
    groups: dict[tuple[str, str], Json] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def find_application(self, name: str) -> Json:
        """Return an application's description."""
        if name not in self.applications:
            raise ServiceError("ApplicationDoesNotExistException", f"No application found for name: {name}")
        return self.applications[name]

    def find(self, application: str, name: str) -> Json:
        """Return a deployment group's description."""
        self.find_application(application)
        if (application, name) not in self.groups:
            raise ServiceError(
                "DeploymentGroupDoesNotExistException", f"No Deployment Group found for name: {name}"
            )
        return self.groups[application, name]

    def get_application(self, request: Json) -> Json:
        """Describe an application."""
        return {"application": self.find_application(request["applicationName"])}

    def list_applications(self, _: Json) -> Json:
        """List the applications' names."""
        return {"applications": sorted(self.applications)}

    def get(self, request: Json) -> Json:
        """Describe a deployment group."""
        return {"deploymentGroupInfo": self.find(request["applicationName"], request["deploymentGroupName"])}

    def list(self, request: Json) -> Json:
        """List the names of an application's deployment groups."""
        application = request["applicationName"]
        self.find_application(application)
        names = sorted(name for owner, name in self.groups if owner == application)
        return {"applicationName": application, "deploymentGroups": names}

    def create_application(self, request: Json) -> str:
        """Make an application and return its id."""
        name, identifier = request["applicationName"], str(uuid.uuid4())
        with self.lock:
            if name in self.applications:
                raise ServiceError("ApplicationAlreadyExistsException", f"Application already exists: {name}")
            self.applications[name] = {
                "applicationId": identifier,
                "applicationName": name,
                "createTime": now(),
                "linkedToGitHub": False,
                "computePlatform": request["computePlatform"],
            }
        return identifier

    def put(self, request: Json) -> str:
        """Make a deployment group, or change the one under the name, and return its id."""
        application, name = request["applicationName"], request["deploymentGroupName"]
        self.find_application(application)
        config = request.get("deploymentConfigName", ALL_AT_ONCE)
        if steps(config) is None:
            raise ServiceError(
                "DeploymentConfigDoesNotExistException",
                f"No Deployment Configuration found for name: {config}",
            )
        with self.lock:
            known = self.groups.get((application, name), {})
            identifier = str(known.get("deploymentGroupId", uuid.uuid4()))
            self.groups[application, name] = {
                **request,
                "deploymentGroupId": identifier,
                "deploymentConfigName": config,
                "computePlatform": "Lambda",
            }
        return identifier


def application_resource(groups: Groups) -> Resource:
    """Return how CloudFormation makes an application."""

    def create(properties: Json, default_name: str) -> tuple[str, Json]:
        platform = {"computePlatform": "Server"}
        request = checked("CreateApplication", platform | named(properties, "ApplicationName", default_name))
        if request["computePlatform"] != "Lambda":
            raise ResourceError("The local cloud has CodeDeploy for the compute platform Lambda only.")
        refused_as_reason(lambda: groups.create_application(request))
        return str(request["applicationName"]), {}

    def update(physical_id: str, old: Json, new: Json, default_name: str) -> tuple[str, Json]:
        if any(old.get(key) != new.get(key) for key in ("ApplicationName", "ComputePlatform")):
            return create(new, default_name)
        return physical_id, {}

    def delete(physical_id: str, _: Json) -> None:
        groups.applications.pop(physical_id, None)

    return Resource(create, update, delete)


def group_resource(groups: Groups) -> Resource:
    """Return how CloudFormation makes a deployment group."""

    def create(properties: Json, default_name: str) -> tuple[str, Json]:
        return put(named(properties, "DeploymentGroupName", default_name))

    def put(given: Json) -> tuple[str, Json]:
        request = checked("CreateDeploymentGroup", given)
        identifier = refused_as_reason(lambda: groups.put(request))
        return str(request["deploymentGroupName"]), {"Id": identifier}

    def update(physical_id: str, old: Json, new: Json, default_name: str) -> tuple[str, Json]:
        if any(old.get(key) != new.get(key) for key in ("ApplicationName", "DeploymentGroupName")):
            return create(new, default_name)
        return put(named({**new, "DeploymentGroupName": physical_id}, "DeploymentGroupName", ""))

    def delete(physical_id: str, properties: Json) -> None:
        groups.groups.pop((properties["ApplicationName"], physical_id), None)

    return Resource(create, update, delete)


def named(properties: Json, member: str, default_name: str) -> Json:
    """Return the properties as the API takes them, under the name given or one that is new."""
    default = f"{default_name[: NAME_MOST - 13]}-{uuid.uuid4().hex[:12].upper()}"
    given = {key: value for key, value in properties.items() if key != "Tags"}
    converted: Json = lowered({member: default, **given})
    return converted


def lowered(value: Any) -> Any:
    """Return a template's value with members as the API writes them: the first letter small."""
    if isinstance(value, dict):
        return {key[:1].lower() + key[1:]: lowered(member) for key, member in value.items()}
    return [lowered(member) for member in value] if isinstance(value, list) else value


def checked(operation: str, given: Json) -> Json:
    """Return the request with the API's types, held against its model."""
    shape: Any = protocol.model("codedeploy").operation_model(operation).input_shape
    request: Json = protocol.coerced(given, shape)
    refused_as_reason(lambda: protocol.check(request, shape))
    return request


def refused_as_reason(act: Callable[[], Any]) -> Any:
    """Perform an operation, and turn its refusal into the reason of a stack's event."""
    try:
        return act()
    except ServiceError as error:
        raise ResourceError(f"{error.message} (Service: CodeDeploy, Code: {error.code})") from None
