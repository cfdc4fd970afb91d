"""Golden requests to an endpoint, and their responses."""

from __future__ import annotations

import json
import math
import time
from dataclasses import dataclass, field
from itertools import cycle, islice
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

if TYPE_CHECKING:
    from .deadline import Deadline
    from .golden_set import GoldenRequest, GoldenSet

MAX_FAILURES = 3  # a broken endpoint fails every request, so a few failures are evidence enough
LATENCY_QUANTILE = (
    0.9  # share of the requests that has to meet the threshold; the first ones meet cold caches
)


@dataclass
class Responses:
    """The answered requests with their answers and latencies in milliseconds, and one line for each failure.

    `is_late` once too many answers were late for the quantile to meet the threshold; the rest was not sent.
    """

    requests: list[GoldenRequest] = field(default_factory=list)
    answers: list[Any] = field(default_factory=list)
    latencies_ms: list[float] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    is_late: bool = False


def send_all(
    runtime: Any, endpoint: str, golden: GoldenSet, threshold_ms: float, deadline: Deadline
) -> Responses:
    """Send every request once, in order and one at a time, until too many have failed or were late.

    Raises:
        DeadlineExceededError: the time ran out before the last request.
    """
    count, late = len(golden.requests), 0
    late_allowed = count - math.ceil(LATENCY_QUANTILE * count)
    responses = Responses()
    for request in golden.requests:
        answered = len(responses.requests)
        deadline.require(f"{answered} of {count} golden requests were answered by {endpoint}.")
        began = time.perf_counter()
        try:
            answer = send(runtime, endpoint, golden.content_type, request)
        except (BotoCoreError, ClientError, ValueError, LookupError, TypeError) as error:
            responses.failures.append(f"{request.id}: {failure_reason(error)}")
            if len(responses.failures) == MAX_FAILURES:
                break
            continue
        latency_ms = (time.perf_counter() - began) * 1000
        responses.requests.append(request)
        responses.answers.append(answer)
        responses.latencies_ms.append(latency_ms)
        late += latency_ms > threshold_ms
        if late > late_allowed:
            responses.is_late = True
            break
    return responses


def send(runtime: Any, endpoint: str, content_type: str, request: GoldenRequest) -> Any:
    """Send one request and return its prediction.

    Raises:
        ClientError, BotoCoreError: the endpoint refused the request or did not answer.
        ValueError, LookupError, TypeError: the response does not hold exactly one prediction.
    """
    response = runtime.invoke_endpoint(
        EndpointName=endpoint,
        ContentType=content_type,
        Accept="application/json",
        InferenceId=request.id,
        Body=request.body.encode(),
    )
    (prediction,) = json.loads(response["Body"].read())["predictions"]
    return prediction


def send_more(runtime: Any, endpoint: str, golden: GoldenSet, count: int, deadline: Deadline) -> None:
    """Send `count` requests, from the first again after the last, and discard the answers.

    Raises:
        DeadlineExceededError: the time ran out before the last request.
    """
    for request in islice(cycle(golden.requests), count):
        deadline.require(f"{endpoint} did not take {count} golden requests.")
        send(runtime, endpoint, golden.content_type, request)


def failure_reason(error: Exception) -> str:
    """Describe a failed request in one line, by the container's own message where it gave one."""
    if isinstance(error, ClientError):
        response: Any = error.response
        if "OriginalStatusCode" in response:
            return f"status {response['OriginalStatusCode']}, {str(response.get('OriginalMessage'))[:200]}"
    if isinstance(error, BotoCoreError | ClientError):
        return str(error)
    return f"no prediction in the answer ({error!r})"
