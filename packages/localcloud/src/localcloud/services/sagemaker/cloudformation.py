"""The CloudFormation resource types of SageMaker."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from localcloud.core import protocol
from localcloud.core.errors import ResourceError, ServiceError
from localcloud.core.properties import as_failure, request_of
from localcloud.core.service import Resource

if TYPE_CHECKING:
    from collections.abc import Callable

    from localcloud.core.service import Json
    from localcloud.services.sagemaker.endpoints import Endpoints
    from localcloud.services.sagemaker.resource_store import ResourceStore
    from localcloud.services.sagemaker.tags import Tags

MAX_NAME_LENGTH = 63
# Properties of AWS::SageMaker::Endpoint for updates in place, which the local cloud does not have.
UPDATE_ONLY = ("DeploymentConfig", "ExcludeRetainedVariantProperties", "RetainAllVariantProperties")


@dataclass(frozen=True)
class ResourceType:
    """A resource type by the operations of the API; `member` begins the members of their requests.

    `update_operation` changes a resource in place; without one, a resource that differs is replaced.
    """

    member: str
    create_operation: Callable[[Json], object]
    delete_by_name: Callable[[str], None]
    tags: Tags
    arn: Callable[[str], str]
    ignored: tuple[str, ...] = ()
    update_operation: Callable[[Json], object] | None = None

    def resource(self) -> Resource:
        """Return the handlers."""
        return Resource(self.create, self.update, self.delete)

    def create(self, properties: Json, default_name: str) -> tuple[str, Json]:
        """Create the resource; its physical id is its ARN."""
        name = (
            properties.get(self.name_member)
            or f"{default_name[: MAX_NAME_LENGTH - 13]}-{uuid.uuid4().hex[:12]}"
        )
        self._call(self.create_operation, f"Create{self.member}", {**properties, self.name_member: name})
        return self.arn(name), {self.name_member: name}

    def update(self, physical_id: str, old: Json, new: Json, default_name: str) -> tuple[str, Json]:
        """Change the tags, and the resource in place or by a replacement if another property differs.

        Raises:
            ResourceError: a resource with a name of its own needs a replacement, or an operation has failed.
        """
        name = _name(physical_id)
        if _without_tags(old) == _without_tags(new):
            self._retag(physical_id, old, new)
            return physical_id, {self.name_member: name}
        if self.update_operation and new.get(self.name_member, name) == name:
            self._call(
                self.update_operation, f"Update{self.member}", {**_without_tags(new), self.name_member: name}
            )
            self._retag(physical_id, old, new)
            return physical_id, {self.name_member: name}
        if new.get(self.name_member) == name:
            raise ResourceError(
                "CloudFormation cannot update a stack when a custom-named resource requires replacing. "
                f"Rename {name} and update the stack again."
            )
        return self.create(new, default_name)

    def delete(self, physical_id: str, _: Json) -> None:
        """Delete the resource, if it still exists.

        Raises:
            ResourceError: the operation has failed.
        """
        try:
            self.delete_by_name(_name(physical_id))
        except ServiceError as error:
            if not error.message.startswith("Could not find"):
                raise ResourceError(error.message) from None

    def _retag(self, physical_id: str, old: Json, new: Json) -> None:
        for tag in old.get("Tags", []):
            self.tags.remove(physical_id, tag["Key"])
        self.tags.set(physical_id, new.get("Tags", []))

    def _call(self, act: Callable[[Json], object], operation: str, properties: Json) -> None:
        """Call an operation with the properties as its request."""
        shape: Any = protocol.model("sagemaker").operation_model(operation).input_shape
        with as_failure("SageMaker"):
            act(request_of({key: properties[key] for key in properties if key not in self.ignored}, shape))

    @property
    def name_member(self) -> str:
        """The property that names the resource."""
        return f"{self.member}Name"


def store_type(store: ResourceStore, update: Callable[[Json], object] | None = None) -> ResourceType:
    """Return the type of a store's resources; without an update operation they are replaced."""

    def delete(name: str) -> None:
        store.delete({f"{store.member}Name": name})

    return ResourceType(store.member, store.create, delete, store.tags, store.arn, update_operation=update)


def endpoint_type(endpoints: Endpoints) -> ResourceType:
    """Return the type of endpoints: a creation waits for the endpoint in service, a deletion for its end."""

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

    return ResourceType("Endpoint", create, delete, endpoints.tags, arn, UPDATE_ONLY)


def _name(physical_id: str) -> str:
    """Return the name in an ARN."""
    return physical_id.rpartition("/")[2]


def _without_tags(properties: Json) -> Json:
    """Return the properties that a resource is compared by."""
    return {key: value for key, value in properties.items() if key != "Tags"}
