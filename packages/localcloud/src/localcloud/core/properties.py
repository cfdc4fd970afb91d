"""What templates say, turned into requests of the API that makes the resource."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from localcloud.core import protocol
from localcloud.core.errors import ResourceError

if TYPE_CHECKING:
    from localcloud.core.errors import ServiceError
    from localcloud.core.service import Json


def refused(service: str, error: ServiceError) -> ResourceError:
    """Return the reason, in CloudFormation's words, of what a service refuses."""
    return ResourceError(f"{error.message} (Service: {service}, Code: {error.code})")


def request_of(properties: Json, shape: Any) -> Json:
    """Return the properties as a request that was checked against its shape; raise ServiceError."""
    request: Json = protocol.coerced(renamed(properties, shape), shape)
    protocol.check(request, shape)
    return request


def renamed(value: Any, shape: Any) -> Any:
    """Return a template's value with the names of the API, whose members begin in lower case."""
    if shape.type_name == "structure" and isinstance(value, dict):
        names = {name.lower(): name for name in shape.members}
        known = {key: names.get(key.lower(), key) for key in value}
        return {
            known[key]: renamed(member, shape.members[known[key]]) if known[key] in shape.members else member
            for key, member in value.items()
        }
    if shape.type_name == "list" and isinstance(value, list):
        return [renamed(member, shape.member) for member in value]
    return value
