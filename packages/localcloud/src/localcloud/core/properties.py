"""Properties of a template's resource, turned into the request that makes the resource."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from localcloud.core import protocol
from localcloud.core.errors import ResourceError

if TYPE_CHECKING:
    from localcloud.core.errors import ServiceError
    from localcloud.core.service import Json


def refused(service: str, error: ServiceError) -> ResourceError:
    """Return a service's refusal as a resource's failure, in CloudFormation's words."""
    return ResourceError(f"{error.message} (Service: {service}, Code: {error.code})")


def request_of(properties: Json, shape: Any) -> Json:
    """Return the properties as a request that fits its shape.

    Raises:
        ServiceError: they do not fit.
    """
    request: Json = protocol.coerced(_rename(properties, shape), shape)
    protocol.check(request, shape)
    return request


def _rename(value: Any, shape: Any) -> Any:
    """Return a template's value with the names of the API, whose members begin in lower case."""
    if shape.type_name == "structure" and isinstance(value, dict):
        names = {name.lower(): name for name in shape.members}
        renamed = ((names.get(key.lower(), key), member) for key, member in value.items())
        return {
            key: _rename(member, shape.members[key]) if key in shape.members else member
            for key, member in renamed
        }
    if shape.type_name == "list" and isinstance(value, list):
        return [_rename(member, shape.member) for member in value]
    return value
