"""Properties of templates as requests of the API that makes the resource, and its errors as reasons."""

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
    """Turn a service's error into the reason of a failed resource, in CloudFormation's words.

    Raises:
        ResourceError: the body of the `with` statement has raised a ServiceError.
    """
    try:
        yield
    except ServiceError as error:
        raise ResourceError(f"{error.message} (Service: {service}, Code: {error.code})") from None


def request_of(properties: Json, shape: Any) -> Json:
    """Return the properties as a request of the API, checked against its shape.

    Raises:
        ServiceError: the request does not have the shape.
    """
    request: Json = protocol.coerced(_renamed(properties, shape), shape)
    protocol.check(request, shape)
    return request


def _renamed(value: Any, shape: Any) -> Any:
    """Return a template's value with the API's names of the members, which begin in lower case."""
    if shape.type_name == "structure" and isinstance(value, dict):
        names = {name.lower(): name for name in shape.members}
        known = {key: names.get(key.lower(), key) for key in value}
        return {
            known[key]: _renamed(member, shape.members[known[key]]) if known[key] in shape.members else member
            for key, member in value.items()
        }
    if shape.type_name == "list" and isinstance(value, list):
        return [_renamed(member, shape.member) for member in value]
    return value
