"""Lambda's limits of a synchronous request and of any function's answer.

An asynchronous request has a limit of its own, of 1 MB; the callers that send one here have smaller limits
themselves.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from localcloud.core.patches import patch

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from localcloud.core.service import Json

LAMBDA = "ministack.services.lambda_svc"
MOST_REQUEST = 6_291_456
MOST_ANSWER = MOST_REQUEST + 100
SYNCHRONOUS = "RequestResponse"
ANSWER_TOO_LARGE = {
    "errorType": "Function.ResponseSizeTooLarge",
    "errorMessage": f"Response payload size exceeded maximum allowed payload size ({MOST_ANSWER} bytes).",
}
REFUSED = {"Content-Type": "application/json", "x-amzn-ErrorType": "RequestTooLargeException"}
REQUEST_TOO_LARGE = {
    "Type": "User",
    "message": f"Request must be smaller than {MOST_REQUEST} bytes for the InvokeFunction operation",
}


def size(value: Any) -> int:
    """Count the bytes of a value as JSON."""
    return len(json.dumps(value, ensure_ascii=False).encode(errors="surrogatepass"))


def bounded(result: Json) -> Json:
    """Return an execution's result, or the error that Lambda makes of an answer above the limit."""
    if result.get("error") or size(result.get("body")) <= MOST_ANSWER:
        return result
    return {**result, "body": ANSWER_TOO_LARGE, "error": True, "function_error": "Unhandled"}


@patch(
    LAMBDA,
    "_invoke",
    version="1.5.33",
    behaviour="Invoke takes a synchronous request of any length",
    reason="AWS refuses one above 6 MB, and the function does not run",
)
async def refuse_large_requests(
    original: Callable[..., Any],
    name: str,
    event: Any,
    headers: Mapping[str, str],
    *more: Any,
    **named: Any,
) -> Any:
    """Answer as Lambda does to a request that is too large; `apply` puts this into ministack."""
    if _is_too_large(event, {key.lower(): value for key, value in headers.items()}):
        return 413, REFUSED, json.dumps(REQUEST_TOO_LARGE).encode()
    return await original(name, event, headers, *more, **named)


def _is_too_large(event: Any, headers: Mapping[str, str]) -> bool:
    """Whether a request of Invoke is a synchronous one above the limit, with its blanks as they were sent."""
    if headers.get("x-amz-invocation-type", SYNCHRONOUS) != SYNCHRONOUS:
        return False
    length = headers.get("content-length", "")
    return (int(length) if length.isdecimal() else size(event)) > MOST_REQUEST
