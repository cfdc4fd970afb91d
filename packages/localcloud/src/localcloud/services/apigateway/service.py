"""API Gateway of ministack before functions, with AWS's answers to failures and to long requests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from localcloud.core.patches import patch
from localcloud.core.service import Service
from localcloud.services.awslambda import payloads

if TYPE_CHECKING:
    from collections.abc import Callable

    from localcloud.core.service import Json

    Call = Callable[..., Any]

MODULE = "ministack.services.apigateway_v1"
MALFORMED = "Internal server error"
TOO_LONG = {
    "statusCode": 413,
    "headers": {"content-type": "application/json", "x-amzn-errortype": "BadRequestException"},
    "body": '{"message":"Request Too Long"}',
}
# The result in place of that of a function that did not run.
NOT_CALLED = {"body": TOO_LONG}


def service() -> Service:
    """Return the service; its operations are ministack's."""
    return Service(name="apigateway", install=install)


def install() -> None:
    """Apply the patches: 413 for a request that no function takes, 502 for a function that fails."""
    _shape_answer.apply()
    _call_function.apply()


@patch(
    MODULE,
    "_lambda_proxy_response",
    version="1.5.33",
    behaviour="the caller sees a function's error, and an answer of any form becomes a 200",
    reason="AWS answers 502 without a reason",
)
def _shape_answer(original: Call, result: Json) -> tuple[Any, str | None]:
    if result.get("throttle") or _is_proxy_answer(result):
        answer: tuple[Any, str | None] = original(result)
        return answer
    return None, MALFORMED


@patch(
    MODULE,
    "_call_lambda_raw",
    version="1.5.33",
    behaviour="a function gets a request of any length",
    reason="AWS answers 413 above Lambda's limit",
)
async def _call_function(original: Call, function: str, event: Json, **scope: Any) -> tuple[Json, str | None]:
    if payloads.size(event) > payloads.MOST_REQUEST:
        return NOT_CALLED, None
    answer: tuple[Json, str | None] = await original(function, event, **scope)
    return answer


def _is_proxy_answer(result: Json) -> bool:
    """Whether a function's result is an answer that a proxy integration understands."""
    body = result.get("body")
    return not result.get("error") and isinstance(body, dict) and "statusCode" in body
