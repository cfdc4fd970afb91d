"""AWS's JSON protocol, and the validation of requests by botocore's model of the service."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import uuid
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import botocore.session

from localcloud.core.errors import ServiceError, validation_error

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from botocore.model import ServiceModel, Shape

    from localcloud.core.service import Answer, Json, Route, Service

logger = logging.getLogger(__name__)
CONTENT_TYPE = b"application/x-amz-json-1.1"
NUMBERS = ("integer", "long", "float", "double")
OPERATIONS_PAGE = Path(__file__).parents[1] / "OPERATIONS.md"
ACRONYM = re.compile(r"[A-Z]{2,}(?![a-z])")


@cache
def model(service: str) -> ServiceModel:
    """Return botocore's model of a service."""
    return botocore.session.get_session().get_service_model(service)


def target_prefix(service: str) -> str:
    """Return the prefix of the operation in `X-Amz-Target`."""
    return str(model(service).metadata.get("targetPrefix", ""))


def sdk_name(service: str) -> str:
    """Return the service's name in the Java SDK, which precedes an error's name in a state machine.

    The Java SDK writes an acronym as a word: `Ssm`, `DynamoDb`.
    """
    words = str(model(service).metadata["serviceId"]).replace(" ", "")
    return ACRONYM.sub(lambda acronym: acronym[0].capitalize(), words)


def sdk_error_names(service: str) -> dict[str, str]:
    """Return the names that AWS's Java SDK, and so a state machine, has for the service's error codes."""
    shapes = model(service).shape_names
    modelled = [name for name in shapes if model(service).shape_for(name).metadata.get("exception")]
    names = {name: name if name.endswith("Exception") else f"{name}Exception" for name in modelled}
    return {"ValidationException": f"{sdk_name(service)}Exception", **names}


def json_route(service: Service) -> Route:
    """Return the route that answers the service's operations."""

    async def answer(path: str, headers: Mapping[str, str], body: bytes) -> Answer:
        # Without the header it is a path of another protocol, such as that of a service's runtime.
        operation = headers.get("x-amz-target", "").partition(".")[2] or path
        # In a thread: an operation may read files, and must never make the others wait.
        return await asyncio.to_thread(_answer, service, operation, body)

    return answer


def _answer(service: Service, operation: str, body: bytes) -> Answer:
    """Parse, validate and perform one request, and encode its answer."""
    headers = [(b"content-type", CONTENT_TYPE), (b"x-amzn-requestid", str(uuid.uuid4()).encode())]
    try:
        return 200, headers, json.dumps(call(service, operation, _parse(body))).encode()
    except ServiceError as error:
        status, fault = error.status, {"__type": error.code, "message": error.message, **error.fields}
    except Exception as error:
        logger.exception("%s.%s failed", service.name, operation)
        status, fault = 500, {"__type": "InternalFailure", "message": f"{type(error).__name__}: {error}"}
    headers.append((b"x-amzn-errortype", str(fault["__type"]).encode()))
    return status, headers, json.dumps(fault).encode()


def _parse(body: bytes) -> Json:
    """Return the request that the body holds."""
    try:
        request = json.loads(body or b"{}")
    except ValueError:
        request = None
    if not isinstance(request, dict):
        raise ServiceError("SerializationException", "The request's body is not a JSON object.")
    return request


def call(service: Service, operation: str, request: Json) -> Json:
    """Validate a request against the service's model and perform it.

    Raises:
        ServiceError: the operation is not one that the local cloud has, or it refuses the request.
    """
    perform = service.operations.get(operation)
    if perform is None:
        raise _unknown_operation(service.name, operation)
    if shape := model(service.name).operation_model(operation).input_shape:
        check(request, shape)
    return perform(request)


def not_part_of_cloud(name: str) -> str:
    """Return the words that refuse an operation or a task which AWS has and the local cloud has not."""
    return f"{name} is not part of the local cloud; {OPERATIONS_PAGE} lists the operations that are."


def _unknown_operation(service: str, operation: str) -> ServiceError:
    if operation in model(service).operation_names or operation.startswith("/"):
        return ServiceError("UnknownOperationException", not_part_of_cloud(operation), 501)
    return ServiceError("UnknownOperationException", f"{operation} is not an operation of the service.", 404)


def check(value: Any, shape: Shape) -> None:
    """Check a value against its shape, in the words of AWS.

    Raises:
        ServiceError: ValidationException for a value that does not fit, SerializationException for one of
        another type.
    """
    problems = list(_violations(value, shape, ""))
    if problems:
        plural = "s" if len(problems) > 1 else ""
        raise validation_error(f"{len(problems)} validation error{plural} detected: {'; '.join(problems)}")


def _violations(value: Any, shape: Shape, path: str) -> Iterator[str]:
    """Find each violation of a shape: required members, lengths, ranges, patterns, enums.

    A value of another type than the shape's raises SerializationException at once.
    """
    kind = shape.type_name
    expected = {"structure": dict, "map": dict, "list": list, "string": str, "boolean": bool}.get(kind)
    if kind in NUMBERS and (isinstance(value, bool) or not isinstance(value, (int, float))):
        raise ServiceError("SerializationException", f"{path or 'The request'} must be a number.")
    if expected and not isinstance(value, expected):
        raise ServiceError("SerializationException", f"{path or 'The request'} must be a {kind}.")
    yield from _constraints(value, shape, path)
    for member, inner, inner_path in _members(value, shape, path):
        yield from _violations(member, inner, inner_path)


def _members(value: Any, shape: Any, path: str) -> Iterator[tuple[Any, Shape, str]]:
    """Return the values within a value, each with its shape and its path (`tags.1.member.key`)."""
    if shape.type_name == "structure":
        unknown = set(value) - set(shape.members)
        if unknown:
            where = f" in {path}" if path else ""
            raise validation_error(f"Unknown parameter{where}: {', '.join(sorted(unknown))}")
        for name, member in value.items():
            yield member, shape.members[name], _member_path(path, name[:1].lower() + name[1:])
    elif shape.type_name == "list":
        for number, member in enumerate(value, start=1):
            yield member, shape.member, f"{path}.{number}.member"
    elif shape.type_name == "map":
        for name, member in value.items():
            yield name, shape.key, f"{path}.{name}.key"
            yield member, shape.value, f"{path}.{name}.value"


def _member_path(path: str, name: str) -> str:
    """Return the path of a member."""
    return f"{path}.{name}" if path else name


def _constraints(value: Any, shape: Any, path: str) -> Iterator[str]:
    """Find the violations of one value, without those of the values within it."""
    rules = shape.metadata

    def broken(rule: str, shown: Any = value) -> str:
        return f"Value {shown!r} at '{path}' failed to satisfy constraint: Member must {rule}"

    if shape.type_name == "structure":
        for name in shape.required_members:
            if value.get(name) is None:
                where = _member_path(path, name[:1].lower() + name[1:])
                yield f"Value null at '{where}' failed to satisfy constraint: Member must not be null"
        return
    measured, measure = (value, "value") if shape.type_name in NUMBERS else (_length(value), "length")
    if measured is not None and measured < rules.get("min", measured):
        yield broken(f"have {measure} greater than or equal to {rules['min']}")
    if measured is not None and measured > rules.get("max", measured):
        yield broken(f"have {measure} less than or equal to {rules['max']}")
    if isinstance(value, str):
        if value not in rules.get("enum", [value]):
            yield broken(f"satisfy enum value set: [{', '.join(rules['enum'])}]")
        if "pattern" in rules and not _matches(rules["pattern"], value):
            yield broken(f"satisfy regular expression pattern: {rules['pattern']}")


def _length(value: Any) -> int | None:
    """Return the length of a text, list or map; other values have none."""
    return len(value) if isinstance(value, (str, list, dict)) else None


def _matches(pattern: str, value: str) -> bool:
    """Whether a value satisfies a pattern, which is Java's; one that Python can't read is satisfied."""
    pattern = (
        pattern.replace(r"\p{L}", "a-zA-Z\u00c0-\uffff").replace(r"\p{Z}", r"\s").replace(r"\p{N}", r"\d")
    )
    try:
        return re.fullmatch(pattern, value) is not None
    except re.error:
        return True


def coerce(value: Any, shape: Any) -> Any:
    """Return a template's value with the types of the API: templates give numbers as text too."""
    kind = shape.type_name
    if kind == "structure" and isinstance(value, dict):
        return {
            key: coerce(member, shape.members[key]) if key in shape.members else member
            for key, member in value.items()
        }
    if kind == "list" and isinstance(value, list):
        return [coerce(member, shape.member) for member in value]
    if kind == "map" and isinstance(value, dict):
        return {key: coerce(member, shape.value) for key, member in value.items()}
    return _scalar(value, shape)


def _scalar(value: Any, shape: Shape) -> Any:
    """Return one value with the type of the API, or as it is when it has no such value."""
    try:
        match shape.type_name:
            case "integer" | "long":
                return int(value)
            case "float" | "double":
                return float(value)
            case "boolean" if str(value).lower() in ("true", "false"):
                return str(value).lower() == "true"
            case "string" if isinstance(value, (int, float)):
                return str(value).lower() if isinstance(value, bool) else str(value)
    except (TypeError, ValueError):
        pass
    return value
