"""API Gateway's proxy events parsed as requests, and responses as its proxy results."""

from __future__ import annotations

import binascii
import json
from base64 import b64decode, b64encode
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

# InvokeEndpoint's own limits: a request that exceeds them would come back as an error of this function.
MAX_BODY_BYTES, MAX_INFERENCE_ID_LENGTH, MAX_HEADER_LENGTH = 6_291_456, 64, 1024
MAX_RESULT_BYTES = 6_291_556  # of a result as JSON; Lambda counts a larger one as an error of the function
SAFE_BODY_BYTES = 1_000_000  # fits the result's limit, even if each byte is written as \u0000
RESERVED_PREFIXES = ("golden-", "synthetic-")  # inference ids that drift and counts leave out
TEXT_TYPES = ("application/json", "text/")


@dataclass(frozen=True)
class Request:
    """A request to the endpoint."""

    body: bytes
    content_type: str | None
    accept: str | None
    inference_id: str


@dataclass(frozen=True)
class Response:
    """A response to the client."""

    status: int
    body: bytes
    content_type: str


class RequestError(Exception):
    """A request cannot be forwarded, because of a mistake of the client."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code = status, code

    def response(self) -> Response:
        """Return the response, in the form of the container's own errors."""
        document = {"error": {"code": self.code, "message": str(self)}}
        return Response(self.status, json.dumps(document).encode(), "application/json")


def parse_event(event: Mapping[str, Any], request_id: str) -> Request:
    """Parse a proxy event; the request's id becomes the inference id where the client sets none.

    A direct invocation of the function, which requires a permission, has an event without a request context
    and may use the reserved inference ids.

    Raises:
        RequestError: SageMaker would not accept the request.
    """
    headers = {name.lower(): value for name, value in (event.get("headers") or {}).items()}
    return Request(
        body=_body(event),
        content_type=_header(headers, "content-type", MAX_HEADER_LENGTH),
        accept=_header(headers, "accept", MAX_HEADER_LENGTH),
        inference_id=_inference_id(headers, is_direct="requestContext" not in event) or request_id,
    )


def _body(event: Mapping[str, Any]) -> bytes:
    text = event.get("body") or ""
    try:
        body = b64decode(text, validate=True) if event.get("isBase64Encoded") else text.encode()
    except (binascii.Error, ValueError):
        raise RequestError(400, "invalid_body", "The body is not base64.") from None
    if len(body) > MAX_BODY_BYTES:
        message = f"The body has {len(body)} bytes, but at most {MAX_BODY_BYTES} are taken: send fewer rows."
        raise RequestError(413, "body_too_large", message)
    return body


def _header(headers: Mapping[str, str], name: str, limit: int) -> str | None:
    value = headers.get(name)
    if value and (len(value) > limit or not value.isascii() or not value.isprintable()):
        message = f"The header {name} has to be printable ASCII of at most {limit} characters."
        raise RequestError(400, "invalid_header", message)
    return value or None


def _inference_id(headers: Mapping[str, str], *, is_direct: bool) -> str | None:
    value = _header(headers, "x-inference-id", MAX_INFERENCE_ID_LENGTH)
    if value and not is_direct and value.startswith(RESERVED_PREFIXES):
        reserved = " or ".join(RESERVED_PREFIXES)
        message = f"The header x-inference-id may not begin with {reserved}: take another."
        raise RequestError(400, "reserved_inference_id", message)
    return value


def proxy_result(response: Response, headers: Mapping[str, str]) -> dict[str, Any]:
    """Return the proxy result, with text as it is and other bodies as base64.

    A response that exceeds Lambda's limit becomes a 413: Lambda would count an error of the function, which
    could roll back a canary, for a client's mistake.
    """
    result = _result(response, headers)
    # Writing a large result as JSON just to measure it takes time, so small ones are not measured.
    if len(response.body) <= SAFE_BODY_BYTES or len(json.dumps(result)) <= MAX_RESULT_BYTES:
        return result
    message = f"The answer would take more than {MAX_RESULT_BYTES} bytes as Lambda's result: send fewer rows."
    return _result(RequestError(413, "answer_too_large", message).response(), headers)


def _result(response: Response, headers: Mapping[str, str]) -> dict[str, Any]:
    body, is_base64 = _text(response)
    return {
        "statusCode": response.status,
        "headers": {"content-type": response.content_type, **headers},
        "body": body,
        "isBase64Encoded": is_base64,
    }


def _text(response: Response) -> tuple[str, bool]:
    if response.content_type.startswith(TEXT_TYPES):
        try:
            return response.body.decode(), False
        except UnicodeDecodeError:
            pass
    return b64encode(response.body).decode("ascii"), True
