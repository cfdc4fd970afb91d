"""CloudFormation's view of models, endpoint configurations and endpoints."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from localcloud.core import protocol
from localcloud.core.errors import ResourceError, ServiceError
from localcloud.core.properties import refused
from localcloud.core.service import Resource

if TYPE_CHECKING:
    from collections.abc import Callable

    from localcloud.core.service import Json
    from localcloud.services.sagemaker.endpoints import Endpoints
    from localcloud.services.sagemaker.tags import Tags

NAME_MOST = 63
# Properties of AWS::SageMaker::Endpoint that govern updates in place, which the local cloud has not.
ONLY_FOR_UPDATES = ("DeploymentConfig", "ExcludeRetainedVariantProperties", "RetainAllVariantProperties")


@dataclass(frozen=True)
class Kind:
    """A resource type: the member that names it, and how it is made and deleted.

    `update` changes it in place; without one, what differs is replaced.
    """

    member: str
    create: Callable[[Json], object]
    delete: Callable[[str], None]
    tags: Tags
    arn: Callable[[str], str]
    ignored: tuple[str, ...] = ()
    update: Callable[[Json], object] | None = None

    def resource(self) -> Resource:
        """Return the handlers."""
        return Resource(self.made, self.changed, self.deleted)

    def made(self, properties: Json, default_name: str) -> tuple[str, Json]:
        """Make the resource; its physical id is its ARN."""
        name = properties.get(self.name_member) or f"{default_name[: NAME_MOST - 13]}-{uuid.uuid4().hex[:12]}"
        self._call(self.create, f"Create{self.member}", {**properties, self.name_member: name})
        return self.arn(name), {self.name_member: name}

    def changed(self, physical_id: str, old: Json, new: Json, default_name: str) -> tuple[str, Json]:
        """Change the tags, or replace the resource when anything else differs."""
        name = named(physical_id)
        if without_tags(old) == without_tags(new):
            self._retag(physical_id, old, new)
            return physical_id, {self.name_member: name}
        if self.update and new.get(self.name_member, name) == name:
            self._call(self.update, f"Update{self.member}", {**without_tags(new), self.name_member: name})
            self._retag(physical_id, old, new)
            return physical_id, {self.name_member: name}
        if new.get(self.name_member) == name:
            raise ResourceError(
                "CloudFormation cannot update a stack when a custom-named resource requires replacing. "
                f"Rename {name} and update the stack again."
            )
        return self.made(new, default_name)

    def deleted(self, physical_id: str, properties: Json) -> None:  # noqa: ARG002  # a handler's signature
        """Delete the resource; one that is gone already is no fault."""
        try:
            self.delete(named(physical_id))
        except ServiceError as error:
            if not error.message.startswith("Could not find"):
                raise ResourceError(error.message) from None

    def _retag(self, physical_id: str, old: Json, new: Json) -> None:
        for tag in old.get("Tags", []):
            self.tags.remove(physical_id, tag["Key"])
        self.tags.set(physical_id, new.get("Tags", []))

    def _call(self, act: Callable[[Json], object], operation: str, properties: Json) -> None:
        """Call an operation with the properties as its request; raise ResourceError when it refuses them."""
        shape: Any = protocol.model("sagemaker").operation_model(operation).input_shape
        given = {key: value for key, value in properties.items() if key not in self.ignored}
        try:
            request = protocol.coerced(given, shape)
            protocol.check(request, shape)
            act(request)
        except ServiceError as error:
            raise refused("SageMaker", error) from None

    @property
    def name_member(self) -> str:
        """The property that names the resource."""
        return f"{self.member}Name"


def endpoint_kind(endpoints: Endpoints) -> Kind:
    """Return the kind whose creation waits for an endpoint in service, and whose deletion for its end."""

    def create(request: Json) -> None:
        endpoints.create(request)
        endpoint = endpoints.find(request["EndpointName"])
        endpoint.settled.wait()
        if endpoint.status == "Failed":
            reason = endpoint.reason
            delete(endpoint.name)
            raise ResourceError(str(reason))

    def delete(name: str) -> None:
        endpoint = endpoints.find(name)
        endpoint.settled.wait()
        endpoints.delete({"EndpointName": name})
        endpoint.gone.wait()

    def arn(name: str) -> str:
        return endpoints.context.arn("sagemaker", f"endpoint/{name}")

    return Kind("Endpoint", create, delete, endpoints.tags, arn, ONLY_FOR_UPDATES)


def named(physical_id: str) -> str:
    """Return the name within an ARN."""
    return physical_id.rpartition("/")[2]


def without_tags(properties: Json) -> Json:
    """Return what makes a resource what it is."""
    return {key: value for key, value in properties.items() if key != "Tags"}
