"""POST /invocations: requests of the API, forwarded to the model's endpoint."""

from __future__ import annotations

import os
from typing import Any

import boto3
from botocore.config import Config

from .endpoint import invoke
from .proxy import RequestError, parse_event, proxy_result
from .settings import Settings

# API Gateway times out after 29 s. A failed call is not retried: the canary's alarms have to count it.
CONFIG = Config(connect_timeout=2, read_timeout=25, retries={"total_max_attempts": 1}, tcp_keepalive=True)

SETTINGS = Settings.read(os.environ)
RUNTIME = boto3.client("sagemaker-runtime", config=CONFIG)


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Answer a proxy event; the headers name the model's version and the id of the captured request."""
    headers = {"x-model-version": SETTINGS.execution_id}
    try:
        request = parse_event(event, context.aws_request_id)
    except RequestError as error:
        return proxy_result(error.response(), headers)
    headers["x-inference-id"] = request.inference_id
    return proxy_result(invoke(RUNTIME, SETTINGS, request), headers)
