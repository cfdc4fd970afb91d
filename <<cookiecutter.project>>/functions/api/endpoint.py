"""The model's endpoint, called through SageMaker's runtime."""

from __future__ import annotations

import json
import sys
import time
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError, ConnectionClosedError

from .proxy import Response

if TYPE_CHECKING:
    from .proxy import Request
    from .settings import Settings

DEFAULT_CONTENT_TYPE = "application/octet-stream"
# Statuses that a client's request may cause. Another 4xx, such as 404, is a fault of the serving: counted.
CLIENT_ERRORS = frozenset({400, 406, 413, 415, 422})
CLIENT_ERRORS_FROM, SERVER_ERRORS_FROM = 400, 500


def invoke(runtime: Any, settings: Settings, request: Request) -> Response:
    """Return the model's answer, or the container's 4xx with its status and message unchanged.

    Raises:
        ClientError: the container answered 5xx, or SageMaker itself refused the call.
        BotoCoreError: the endpoint did not answer in time. Lambda counts each of these as an error.
    """
    arguments = _arguments(settings, request)
    try:
        answer = _invoke(runtime, arguments)
    except ClientError as error:
        return _client_error(error, settings)
    return Response(200, answer["Body"].read(), answer.get("ContentType") or DEFAULT_CONTENT_TYPE)


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


def _client_error(error: ClientError, settings: Settings) -> Response:
    answer: Any = error.response
    status = int(answer.get("OriginalStatusCode") or SERVER_ERRORS_FROM)
    is_client_error = CLIENT_ERRORS_FROM <= status < SERVER_ERRORS_FROM
    if answer["Error"]["Code"] != "ModelError" or not is_client_error:
        raise error
    message = answer.get("OriginalMessage") or ""
    if status not in CLIENT_ERRORS:
        count_failure(settings, status)
    content_type = "application/json" if message.startswith("{") else "text/plain"
    return Response(status, message.encode(), content_type)


def count_failure(settings: Settings, status: int) -> None:
    """Count a failure that does not raise, by a line in CloudWatch's embedded metric format (EMF)."""
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
