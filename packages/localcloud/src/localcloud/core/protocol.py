"""AWS's JSON protocol, and requests held against botocore's own model of the service."""

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
    """Return what precedes the operation in `X-Amz-Target`."""
    return str(model(service).metadata.get("targetPrefix", ""))


def sdk_name(service: str) -> str:
    """Return the service's name in the Java SDK, which precedes an error's name in a state machine.

    The Java SDK writes an acronym as a word: `Ssm`, `DynamoDb`.
    """
    words = str(model(service).metadata["serviceId"]).replace(" ", "")
    return ACRONYM.sub(lambda found: found[0].capitalize(), words)


def sdk_error_names(service: str) -> dict[str, str]:
    """Return the names that AWS's Java SDK, and so a state machine, has for the service's error codes."""
    shapes = model(service).shape_names
    modelled = [name for name in shapes if model(service).shape_for(name).metadata.get("exception")]
    names = {name: name if name.endswith("Exception") else f"{name}Exception" for name in modelled}
    return {"ValidationException": f"{sdk_name(service)}Exception", **names}


def json_route(service: Service) -> Route:
    """Return the route that answers the service's operations."""

    async def answer(path: str, headers: Mapping[str, str], body: bytes) -> Answer:  # noqa: ARG001
        operation = headers["x-amz-target"].partition(".")[2]
        # In a thread: an operation may touch files, and must never hold up the others.
        return await asyncio.to_thread(answered, service, operation, body)

    return answer


def answered(service: Service, operation: str, body: bytes) -> Answer:
    """Parse, validate and perform one request, and encode what comes of it."""
    headers = [(b"content-type", CONTENT_TYPE), (b"x-amzn-requestid", str(uuid.uuid4()).encode())]
    try:
        return 200, headers, json.dumps(call(service, operation, parsed(body))).encode()
    except ServiceError as error:
        status, fault = error.status, {"__type": error.code, "message": error.message, **error.fields}
    except Exception as error:
        logger.exception("%s.%s failed", service.name, operation)
        status, fault = 500, {"__type": "InternalFailure", "message": f"{type(error).__name__}: {error}"}
    headers.append((b"x-amzn-errortype", str(fault["__type"]).encode()))
    return status, headers, json.dumps(fault).encode()


def parsed(body: bytes) -> Json:
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
    if operation in model(service).operation_names:
        return ServiceError("UnknownOperationException", not_part_of_cloud(operation), 501)
    return ServiceError("UnknownOperationException", f"{operation} is not an operation of the service.", 404)


def check(value: Any, shape: Shape) -> None:
    """Raise ValidationException, worded as AWS does, unless the value fits the shape."""
    problems = list(violations(value, shape, ""))
    if problems:
        plural = "s" if len(problems) > 1 else ""
        raise validation_error(f"{len(problems)} validation error{plural} detected: {'; '.join(problems)}")


def violations(value: Any, shape: Shape, path: str) -> Iterator[str]:
    """Find each way in which a value breaks its shape: required members, lengths, ranges, patterns, enums.

    A value of another type than the shape's raises SerializationException at once.
    """
    kind = shape.type_name
    expected = {"structure": dict, "map": dict, "list": list, "string": str, "boolean": bool}.get(kind)
    if kind in NUMBERS and (isinstance(value, bool) or not isinstance(value, (int, float))):
        raise ServiceError("SerializationException", f"{path or 'The request'} must be a number.")
    if expected and not isinstance(value, expected):
        raise ServiceError("SerializationException", f"{path or 'The request'} must be a {kind}.")
    yield from constraints(value, shape, path)
    for member, inner, inner_path in members(value, shape, path):
        yield from violations(member, inner, inner_path)


def members(value: Any, shape: Any, path: str) -> Iterator[tuple[Any, Shape, str]]:
    """Return the values within a value, each with its shape and its path as AWS writes it."""
    if shape.type_name == "structure":
        unknown = set(value) - set(shape.members)
        if unknown:
            where = f" in {path}" if path else ""
            raise validation_error(f"Unknown parameter{where}: {', '.join(sorted(unknown))}")
        for name, member in value.items():
            yield member, shape.members[name], joined(path, name[:1].lower() + name[1:])
    elif shape.type_name == "list":
        for number, member in enumerate(value, start=1):
            yield member, shape.member, f"{path}.{number}.member"
    elif shape.type_name == "map":
        for name, member in value.items():
            yield name, shape.key, f"{path}.{name}.key"
            yield member, shape.value, f"{path}.{name}.value"


def joined(path: str, name: str) -> str:
    """Return the path of a member."""
    return f"{path}.{name}" if path else name


def constraints(value: Any, shape: Any, path: str) -> Iterator[str]:
    """Find what is wrong with one value by itself."""
    rules = shape.metadata

    def broken(rule: str, shown: Any = value) -> str:
        return f"Value {shown!r} at '{path}' failed to satisfy constraint: Member must {rule}"

    if shape.type_name == "structure":
        for name in shape.required_members:
            if value.get(name) is None:
                where = joined(path, name[:1].lower() + name[1:])
                yield f"Value null at '{where}' failed to satisfy constraint: Member must not be null"
        return
    measured, what = (value, "value") if shape.type_name in NUMBERS else (sized(value), "length")
    if measured is not None and measured < rules.get("min", measured):
        yield broken(f"have {what} greater than or equal to {rules['min']}")
    if measured is not None and measured > rules.get("max", measured):
        yield broken(f"have {what} less than or equal to {rules['max']}")
    if isinstance(value, str):
        if value not in rules.get("enum", [value]):
            yield broken(f"satisfy enum value set: [{', '.join(rules['enum'])}]")
        if "pattern" in rules and not matches(rules["pattern"], value):
            yield broken(f"satisfy regular expression pattern: {rules['pattern']}")


def sized(value: Any) -> int | None:
    """Return the length of what has one."""
    return len(value) if isinstance(value, (str, list, dict)) else None


def matches(pattern: str, value: str) -> bool:
    """Whether a value satisfies a pattern, which is Java's; what Python can't read is let through."""
    pattern = (
        pattern.replace(r"\p{L}", "a-zA-Z\u00c0-\uffff").replace(r"\p{Z}", r"\s").replace(r"\p{N}", r"\d")
    )
    try:
        return re.fullmatch(pattern, value) is not None
    except re.error:
        return True


def coerced(value: Any, shape: Any) -> Any:
    """Return a template's value with the types of the API: templates give numbers as text too."""
    kind = shape.type_name
    if kind == "structure" and isinstance(value, dict):
        return {
            key: coerced(member, shape.members[key]) if key in shape.members else member
            for key, member in value.items()
        }
    if kind == "list" and isinstance(value, list):
        return [coerced(member, shape.member) for member in value]
    if kind == "map" and isinstance(value, dict):
        return {key: coerced(member, shape.value) for key, member in value.items()}
    return scalar(value, shape)


def scalar(value: Any, shape: Shape) -> Any:
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
