"""Golden requests to an endpoint, and what came back."""

from __future__ import annotations

import json
import math
import time
from dataclasses import dataclass
from itertools import cycle, islice
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .deadline import Deadline
    from .golden_file import Golden, Row

MOST_PROBLEMS = 3  # an endpoint that is broken needs no hundred witnesses
LATENCY_SHARE = 0.9  # of the golden requests keep the threshold; the first ones find caches cold


@dataclass(frozen=True)
class Replies:
    """The rows that were answered, their answers and times in milliseconds; and what went wrong.

    They are `late` when so many answers were that no others could make up for it, and none was waited for.
    """

    rows: Sequence[Row]
    answers: Sequence[Any]
    milliseconds: Sequence[float]
    problems: Sequence[str]
    late: bool


def ask_all(runtime: Any, endpoint: str, golden: Golden, threshold_ms: float, deadline: Deadline) -> Replies:
    """Send every request once, in order, one at a time; stop after a few that went wrong or too many late."""
    rows: list[Row] = []
    answers: list[Any] = []
    times: list[float] = []
    problems: list[str] = []
    late, tolerated = 0, len(golden.rows) - math.ceil(LATENCY_SHARE * len(golden.rows))
    for row in golden.rows:
        deadline.require(f"{len(rows)} of {len(golden.rows)} golden requests were answered by {endpoint}.")
        began = time.perf_counter()
        try:
            answer = ask(runtime, endpoint, golden.content_type, row)
        except (BotoCoreError, ClientError, ValueError, LookupError, TypeError) as error:
            problems.append(f"{row.id}: {reason(error)}")
            if len(problems) == MOST_PROBLEMS:
                break
            continue
        times.append((time.perf_counter() - began) * 1000)
        rows.append(row)
        answers.append(answer)
        late += times[-1] > threshold_ms
        if late > tolerated:
            break
    return Replies(rows, answers, times, problems, late > tolerated)


def ask(runtime: Any, endpoint: str, content_type: str, row: Row) -> Any:
    """Send one request and give its prediction."""
    found = runtime.invoke_endpoint(
        EndpointName=endpoint,
        ContentType=content_type,
        Accept="application/json",
        InferenceId=row.id,
        Body=row.body.encode(),
    )
    (prediction,) = json.loads(found["Body"].read())["predictions"]
    return prediction


def repeat(runtime: Any, endpoint: str, golden: Golden, times: int, deadline: Deadline) -> None:
    """Send so many requests, beginning again after the last one, and look at no answer."""
    for row in islice(cycle(golden.rows), times):
        deadline.require(f"{endpoint} did not take {times} golden requests.")
        ask(runtime, endpoint, golden.content_type, row)


def reason(error: Exception) -> str:
    """Say in one line what went wrong; the container's own words where it gave any."""
    if isinstance(error, ClientError):
        response: Any = error.response
        if "OriginalStatusCode" in response:
            return f"status {response['OriginalStatusCode']}, {str(response.get('OriginalMessage'))[:200]}"
    if isinstance(error, BotoCoreError | ClientError):
        return str(error)
    return f"no prediction in the answer ({error!r})"
