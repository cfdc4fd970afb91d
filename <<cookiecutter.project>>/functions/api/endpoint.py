"""The model's endpoint, as SageMaker's runtime offers it."""

from __future__ import annotations

import json
import sys
import time
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError, ConnectionClosedError

from .proxy import Answer

if TYPE_CHECKING:
    from .proxy import Request
    from .settings import Settings

BINARY = "application/octet-stream"
# What a caller's request can bring about. Another 4xx, such as 404, is the serving's own fault: counted.
CALLERS_OWN = frozenset({400, 406, 413, 415, 422})
SERVER_ERROR = 500


def ask(runtime: Any, settings: Settings, request: Request) -> Answer:
    """Give the model's answer, or the container's refusal (4xx) with its status and message unchanged.

    Raises for everything else (5xx, time-outs, what SageMaker itself says), so that Lambda counts an error.
    """
    arguments = _arguments(settings, request)
    try:
        found = _invoke(runtime, arguments)
    except ClientError as error:
        return _refusal(error, settings)
    return Answer(200, found["Body"].read(), found.get("ContentType") or BINARY)


def _arguments(settings: Settings, request: Request) -> dict[str, Any]:
    arguments: dict[str, Any] = {
        "EndpointName": settings.endpoint_name,
        "Body": request.body,
        "InferenceId": request.inference_id,
    }
    if request.content_type:
        arguments["ContentType"] = request.content_type
    if request.accept:
        arguments["Accept"] = request.accept
    return arguments


def _invoke(runtime: Any, arguments: dict[str, Any]) -> Any:
    try:
        return runtime.invoke_endpoint(**arguments)
    except ConnectionClosedError:  # kept alive, and closed by the other side while the function was frozen
        return runtime.invoke_endpoint(**arguments)


def _refusal(error: ClientError, settings: Settings) -> Answer:
    response: Any = error.response
    status = int(response.get("OriginalStatusCode") or SERVER_ERROR)
    if response["Error"]["Code"] != "ModelError" or not 400 <= status < SERVER_ERROR:  # noqa: PLR2004
        raise error
    message = response.get("OriginalMessage") or ""
    if status not in CALLERS_OWN:
        count_failure(settings, status)
    kind = "application/json" if message.startswith("{") else "text/plain"
    return Answer(status, message.encode(), kind)


def count_failure(settings: Settings, status: int) -> None:
    """Count a failure that no error tells of, by a line that CloudWatch makes a metric of (EMF)."""
    metric = {
        "Namespace": settings.metric_namespace,
        "Dimensions": [["EndpointName"]],
        "Metrics": [{"Name": "HandledFailures", "Unit": "Count"}],
    }
    line = {
        "_aws": {"Timestamp": int(time.time() * 1000), "CloudWatchMetrics": [metric]},
        "EndpointName": settings.endpoint_name,
        "HandledFailures": 1,
        "status": status,
    }
    sys.stdout.write(json.dumps(line) + "\n")
