"""API Gateway's proxy events as requests, and answers as its proxy results."""

from __future__ import annotations

import binascii
import json
from base64 import b64decode, b64encode
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

# InvokeEndpoint's own limits: what passes them unseen would come back as a fault of ours.
MOST_BYTES, LONGEST_INFERENCE_ID, LONGEST_HEADER = 6_291_456, 64, 1024
MOST_RESULT = 6_291_556  # bytes that Lambda takes of a result as JSON; more is an error of the function
SMALL = 1_000_000  # bytes of an answer that fit, even where each is written as \u0000, with all headers
RESERVED = ("golden-", "synthetic-")  # left out of drift and of counts
TEXT = ("application/json", "text/")


@dataclass(frozen=True)
class Request:
    """What is sent on to the endpoint."""

    body: bytes
    content_type: str | None
    accept: str | None
    inference_id: str


@dataclass(frozen=True)
class Answer:
    """What the caller gets."""

    status: int
    body: bytes
    content_type: str


class RefusalError(Exception):
    """A request that cannot be sent on, through the caller's own mistake."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code = status, code

    def answer(self) -> Answer:
        """Give the answer in the form of the container's own refusals."""
        facts = {"error": {"code": self.code, "message": str(self)}}
        return Answer(self.status, json.dumps(facts).encode(), "application/json")


def read(event: Mapping[str, Any], request_id: str) -> Request:
    """Read a proxy event; raise RefusalError for what SageMaker would not take.

    Who invokes the function directly, which takes a permission on it, sends an event without a request
    context, and may use the reserved inference ids.
    """
    headers = {name.lower(): value for name, value in (event.get("headers") or {}).items()}
    return Request(
        body=_body(event),
        content_type=_header(headers, "content-type", LONGEST_HEADER),
        accept=_header(headers, "accept", LONGEST_HEADER),
        inference_id=_inference_id(headers, ours="requestContext" not in event) or request_id,
    )


def _body(event: Mapping[str, Any]) -> bytes:
    text = event.get("body") or ""
    try:
        body = b64decode(text, validate=True) if event.get("isBase64Encoded") else text.encode()
    except (binascii.Error, ValueError):
        raise RefusalError(400, "invalid_body", "The body is not base64.") from None
    if len(body) > MOST_BYTES:
        message = f"The body has {len(body)} bytes, but at most {MOST_BYTES} are taken: send fewer rows."
        raise RefusalError(413, "body_too_large", message)
    return body


def _header(headers: Mapping[str, str], name: str, longest: int) -> str | None:
    value = headers.get(name)
    if value and (len(value) > longest or not value.isascii() or not value.isprintable()):
        message = f"The header {name} has to be printable ASCII of at most {longest} characters."
        raise RefusalError(400, "invalid_header", message)
    return value or None


def _inference_id(headers: Mapping[str, str], *, ours: bool) -> str | None:
    value = _header(headers, "x-inference-id", LONGEST_INFERENCE_ID)
    if value and not ours and value.startswith(RESERVED):
        message = f"The header x-inference-id may not begin with {' or '.join(RESERVED)}: take another."
        raise RefusalError(400, "reserved_inference_id", message)
    return value


def write(answer: Answer, headers: Mapping[str, str]) -> dict[str, Any]:
    """Give the proxy result: text as it stands, anything else as base64; a refusal of what is too large."""
    result = _result(answer, headers)
    if len(answer.body) <= SMALL or len(json.dumps(result)) <= MOST_RESULT:
        return result
    message = f"The answer would take more than {MOST_RESULT} bytes as Lambda's result: send fewer rows."
    return _result(RefusalError(413, "answer_too_large", message).answer(), headers)


def _result(answer: Answer, headers: Mapping[str, str]) -> dict[str, Any]:
    body, encoded = _text(answer)
    return {
        "statusCode": answer.status,
        "headers": {"content-type": answer.content_type, **headers},
        "body": body,
        "isBase64Encoded": encoded,
    }


def _text(answer: Answer) -> tuple[str, bool]:
    if answer.content_type.startswith(TEXT):
        try:
            return answer.body.decode(), False
        except UnicodeDecodeError:
            pass
    return b64encode(answer.body).decode("ascii"), True
