"""POST /invocations: the API's requests, sent on to the model's endpoint."""

from __future__ import annotations

import os
from typing import Any

import boto3
from botocore.config import Config

from .endpoint import ask
from .proxy import RefusalError, read, write
from .settings import Settings

# API Gateway gives up at 29 s. What SageMaker refused is not asked again: the canary has to see it.
CONFIG = Config(connect_timeout=2, read_timeout=25, retries={"total_max_attempts": 1}, tcp_keepalive=True)

SETTINGS = Settings.read(os.environ)
RUNTIME = boto3.client("sagemaker-runtime", config=CONFIG)


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Answer a proxy event; the headers name the version and the id under which the request was captured."""
    headers = {"x-model-version": SETTINGS.execution_id}
    try:
        request = read(event, context.aws_request_id)
    except RefusalError as refusal:
        return write(refusal.answer(), headers)
    headers["x-inference-id"] = request.inference_id
    return write(ask(RUNTIME, SETTINGS, request), headers)
