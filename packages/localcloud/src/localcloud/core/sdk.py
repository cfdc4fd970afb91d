"""`aws-sdk:` tasks of state machines, performed by botocore, which has each member's type and location."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from botocore import xform_name
from botocore.exceptions import BotoCoreError, ClientError
from botocore.response import StreamingBody

from localcloud.core import protocol
from localcloud.core.errors import TaskError

if TYPE_CHECKING:
    from collections.abc import Callable

    from localcloud.core.service import Json, Task


def tasks(service: str, connect: Callable[[], Any]) -> Callable[[str], Task]:
    """Return a service's tasks by the operation's name as state machines write it (`listObjectsV2`)."""

    def task(operation: str) -> Task:
        # Only in the task: the client calls the cloud, which does not answer yet when tasks are registered.
        return lambda request, _: _call(connect(), service, operation, request)

    return task


def _call(client: Any, service: str, operation: str, request: Json) -> Json:
    """Call an operation and return its answer with the names and values that a state machine sees."""
    try:
        model = client.meta.service_model.operation_model(operation[:1].upper() + operation[1:])
        perform = getattr(client, xform_name(model.name))
        answer = perform(**_request(request, model.input_shape))
    except ClientError as error:
        prefix, code = protocol.sdk_name(service), str(error.response["Error"]["Code"])
        name = protocol.sdk_error_names(service).get(code, f"{prefix}Exception")
        raise TaskError(f"{prefix}.{name}", str(error)) from None
    except BotoCoreError as error:
        raise TaskError("States.Runtime", f"aws-sdk:{service}:{operation}: {error}") from None
    answer.pop("ResponseMetadata", None)
    return {key: _to_json(value) for key, value in answer.items()}


def _request(request: Json, shape: Any) -> Json:
    """Return a request with botocore's names: the Java SDK, and so a state machine, writes SsekmsKeyId."""
    names = {name.lower(): name for name in shape.members}
    unknown = sorted(set(map(str.lower, request)) - set(names))
    if unknown:
        raise TaskError(
            "States.Runtime", f"The field {', '.join(unknown)} is not supported by Step Functions"
        )
    return {
        names[key.lower()]: _to_botocore(value, shape.members[names[key.lower()]])
        for key, value in request.items()
    }


def _to_botocore(value: Any, shape: Any) -> Any:
    """Return a value as botocore takes it; a body that is not a text is sent as JSON."""
    if shape.type_name == "blob":
        return (value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))).encode()
    return value


def _to_json(value: Any) -> Any:
    """Return a value as JSON: times in ISO 8601, bodies as text."""
    if isinstance(value, datetime):
        return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    if isinstance(value, StreamingBody):
        return value.read().decode(errors="replace")
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    if isinstance(value, Mapping):
        return {str(key): _to_json(member) for key, member in value.items()}
    return [_to_json(member) for member in value] if isinstance(value, list) else value
