"""Scheduled requests through the API's alias, so that a canary's share of little traffic is not nothing.

While one version has all the traffic no alarm decides anything by them, and one tells that the API answers.
"""

from __future__ import annotations

import json
import os
from itertools import cycle, islice
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from . import clients, golden_file, hook
from .deadline import Deadline
from .settings import Synthetic, read

if TYPE_CHECKING:
    from .golden_file import Golden, Row

SUCCESS = 200


def handler(_event: dict[str, Any], context: Any) -> hook.Facts:
    """Send the requests; failures are counted by the alarms on the API's function, so none is raised here."""
    settings = read(Synthetic, os.environ)
    golden = golden_file.load(clients.control("s3"), settings.golden_url)
    lambda_ = clients.control("lambda")
    deadline = Deadline.before_end(context, spare=10.0, share=0.2)
    facts = send(lambda_, settings, golden, requests(lambda_, settings), deadline)
    hook.log("Sent", facts)
    return facts


def requests(lambda_: Any, settings: Synthetic) -> int:
    """Give how many requests to send: all of the rate while two versions share the traffic, else one."""
    alias = lambda_.get_alias(FunctionName=settings.api_function, Name=settings.api_alias)
    shared = alias.get("RoutingConfig", {}).get("AdditionalVersionWeights")
    return settings.synthetic_rate if shared else 1


def send(lambda_: Any, settings: Synthetic, golden: Golden, number: int, deadline: Deadline) -> hook.Facts:
    """Send so many of the golden bodies, one after another, and count what came back by version."""
    counts: dict[str, int] = {}
    for row in islice(cycle(golden.rows), number):
        if not deadline.left():
            break
        version = send_one(lambda_, settings, golden.content_type, row)
        counts[version] = counts.get(version, 0) + 1
    return {"sent": sum(counts.values()), "answered": counts}


def send_one(lambda_: Any, settings: Synthetic, content_type: str, row: Row) -> str:
    """Send one request; give the version that answered, or what went wrong."""
    headers = {"content-type": content_type, "x-inference-id": f"synthetic-{row.id}"}
    event = {"headers": headers, "body": row.body, "isBase64Encoded": False}
    try:
        found = lambda_.invoke(
            FunctionName=settings.api_function, Qualifier=settings.api_alias, Payload=json.dumps(event)
        )
        answer = json.loads(found["Payload"].read())
    except (BotoCoreError, ClientError) as error:
        return type(error).__name__
    if "FunctionError" in found:
        return str(answer.get("errorType", "FunctionError"))
    status = answer["statusCode"]
    return str(answer["headers"]["x-model-version"]) if status == SUCCESS else f"status {status}"
