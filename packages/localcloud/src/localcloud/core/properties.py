"""Properties of a template's resource, turned into the request that makes the resource."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from localcloud.core import protocol
from localcloud.core.errors import ResourceError, ServiceError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from localcloud.core.service import Json


@contextmanager
def as_failure(service: str) -> Iterator[None]:
    """Turn a service's error into a resource's failure, in CloudFormation's words.

    Raises:
        ResourceError: the body of the `with` statement has raised a ServiceError.
    """
    try:
        yield
    except ServiceError as error:
        raise ResourceError(f"{error.message} (Service: {service}, Code: {error.code})") from None


def request_of(properties: Json, shape: Any) -> Json:
    """Return the properties as a request that fits its shape.

    Raises:
        ServiceError: they do not fit.
    """
    request: Json = protocol.coerce(_rename(properties, shape), shape)
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
