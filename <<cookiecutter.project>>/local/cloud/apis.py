"""API Gateway before functions, where ministack tells callers more than AWS does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from local.cloud import emulator
from local.cloud.service import Service

if TYPE_CHECKING:
    from local.cloud.service import Json

GATEWAY = "ministack.services.apigateway_v1"
MALFORMED = "Internal server error"


def service() -> Service:
    """Return the service; its operations are ministack's."""
    return Service(name="apigateway", install=install)


def install() -> None:
    """Answer 502 in AWS's words for a function that fails, or whose answer is none."""
    shape = emulator.name(GATEWAY, "_lambda_proxy_response")

    def shaped(result: Json) -> tuple[Any, str | None]:
        if result.get("throttle") or is_proxy_answer(result):
            answer: tuple[Any, str | None] = shape(result)
            return answer
        return None, MALFORMED

    emulator.replace(GATEWAY, "_lambda_proxy_response", shaped)


def is_proxy_answer(result: Json) -> bool:
    """Whether a function came back with what a proxy integration understands."""
    body = result.get("body")
    return not result.get("error") and isinstance(body, dict) and "statusCode" in body
