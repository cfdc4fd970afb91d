"""API Gateway before functions, where ministack tells callers more than AWS does, and lets more through."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from localcloud.core import ministack
from localcloud.core.service import Service
from localcloud.services.awslambda import payloads

if TYPE_CHECKING:
    from localcloud.core.service import Json

GATEWAY = "ministack.services.apigateway_v1"
MALFORMED = "Internal server error"
TOO_LONG = {
    "statusCode": 413,
    "headers": {"content-type": "application/json", "x-amzn-errortype": "BadRequestException"},
    "body": '{"message":"Request Too Long"}',
}
# What stands in for the result of a function that did not run.
NOT_CALLED = {"body": TOO_LONG}


def service() -> Service:
    """Return the service; its operations are ministack's."""
    return Service(name="apigateway", install=install)


def install() -> None:
    """Answer in AWS's words: 413 for a request that no function takes, 502 for a function that fails."""
    shape, call = (
        ministack.name(GATEWAY, "_lambda_proxy_response"),
        ministack.name(GATEWAY, "_call_lambda_raw"),
    )

    def shaped(result: Json) -> tuple[Any, str | None]:
        if result.get("throttle") or is_proxy_answer(result):
            answer: tuple[Any, str | None] = shape(result)
            return answer
        return None, MALFORMED

    async def called(function: str, event: Json, **scope: Any) -> tuple[Json, str | None]:
        if payloads.size(event) > payloads.MOST_REQUEST:
            return NOT_CALLED, None
        answer: tuple[Json, str | None] = await call(function, event, **scope)
        return answer

    ministack.replace(GATEWAY, "_lambda_proxy_response", shaped)
    ministack.replace(GATEWAY, "_call_lambda_raw", called)


def is_proxy_answer(result: Json) -> bool:
    """Whether a function came back with what a proxy integration understands."""
    body = result.get("body")
    return not result.get("error") and isinstance(body, dict) and "statusCode" in body
