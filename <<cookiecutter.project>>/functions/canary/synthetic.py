"""Synthetic requests through the API's alias, so that a canary with little traffic has data for its alarms.

While traffic is shifting they are many, for the alarms that may roll back. Otherwise there is one for each
invocation, which shows that the API answers.
"""

from __future__ import annotations

import json
import os
from http import HTTPStatus
from itertools import cycle, islice
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from . import clients, golden_set, hook
from .deadline import Deadline
from .settings import SyntheticSettings, read

if TYPE_CHECKING:
    from .golden_set import GoldenRequest, GoldenSet


def handler(_event: dict[str, Any], context: Any) -> hook.HookResult:
    """Send the requests; a failed one does not raise, because the alarms of the API's function count it."""
    settings = read(SyntheticSettings, os.environ)
    golden = golden_set.load(clients.control("s3"), settings.golden_url)
    lambda_ = clients.control("lambda")
    deadline = Deadline.before_end(context, spare=10.0, share=0.2)
    result = send(lambda_, settings, golden, request_count(lambda_, settings), deadline)
    hook.log("Sent", result)
    return result


def request_count(lambda_: Any, settings: SyntheticSettings) -> int:
    """Return how many requests to send: the full rate while two versions share the traffic, else one."""
    alias = lambda_.get_alias(FunctionName=settings.api_function, Name=settings.api_alias)
    is_shifting = alias.get("RoutingConfig", {}).get("AdditionalVersionWeights")
    return settings.synthetic_rate if is_shifting else 1


def send(
    lambda_: Any, settings: SyntheticSettings, golden: GoldenSet, count: int, deadline: Deadline
) -> hook.HookResult:
    """Send `count` golden bodies, one after another until the deadline, and count the outcomes by version."""
    outcomes: dict[str, int] = {}
    for request in islice(cycle(golden.requests), count):
        if not deadline.remaining():
            break
        outcome = send_one(lambda_, settings, golden.content_type, request)
        outcomes[outcome] = outcomes.get(outcome, 0) + 1
    return {"sent": sum(outcomes.values()), "answered": outcomes}


def send_one(lambda_: Any, settings: SyntheticSettings, content_type: str, request: GoldenRequest) -> str:
    """Send one request; return the version that answered, or the name of the failure."""
    headers = {"content-type": content_type, "x-inference-id": f"synthetic-{request.id}"}
    event = {"headers": headers, "body": request.body, "isBase64Encoded": False}
    try:
        response = lambda_.invoke(
            FunctionName=settings.api_function, Qualifier=settings.api_alias, Payload=json.dumps(event)
        )
        answer = json.loads(response["Payload"].read())
    except (BotoCoreError, ClientError) as error:
        return type(error).__name__
    if "FunctionError" in response:
        return str(answer.get("errorType", "FunctionError"))
    status = answer["statusCode"]
    return str(answer["headers"]["x-model-version"]) if status == HTTPStatus.OK else f"status {status}"
