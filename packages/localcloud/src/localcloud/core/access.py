"""The cloud's access key, a new one for each start, and the check of each request for it.

The access key's id is compared and no signature is verified, so the id is as secret as the secret is.
"""

from __future__ import annotations

import hmac
import json
import re
import secrets
from base64 import b32encode
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import unquote

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from localcloud.core.service import Answer

# KEY/DATE/REGION/SERVICE/aws4_request in SigV4's header; SigV4a's names no region.
CREDENTIAL = re.compile(r"Credential=([^, ]+)")
PRESIGNED = re.compile(r"(?:^|&)(?:X-Amz-Credential|AWSAccessKeyId)=([^&]+)")
ID_BYTES, SECRET_BYTES = 20, 30  # 160 bits are 32 characters of base 32, without padding
REASON = (
    "The local cloud answers no request without its access key: '{start}' prints the variables "
    "that carry the key to any AWS tool."
)
FORM = "application/x-www-form-urlencoded"
REST_FAULT = "<Error><Code>{}</Code><Message>{}</Message></Error>"
QUERY_FAULT = f"<ErrorResponse>{REST_FAULT}</ErrorResponse>"
# Services that speak REST and XML, or a request that names none; the rest speak REST and JSON when a request
# has neither a form nor a target.
REST_XML = ("", "s3", "route53", "cloudfront")
# The codes of errors in the protocols: of a form, of REST with XML, and of the rest.
DENIED = ("InvalidClientTokenId", "InvalidAccessKeyId", "UnrecognizedClientException")
ENDING = ("ServiceUnavailable", "ServiceUnavailable", "ServiceUnavailable")


@dataclass(frozen=True)
class AccessKey:
    """An access key of AWS's form; its id and its secret are left out where an object is printed."""

    id: str = field(repr=False)
    secret: str = field(repr=False)

    @classmethod
    def create(cls) -> AccessKey:
        """Make a random key; its id is not a number, because ministack takes 12 digits for an account."""
        identifier = b32encode(secrets.token_bytes(ID_BYTES)).decode()
        return cls(f"LOCAL{identifier}", secrets.token_urlsafe(SECRET_BYTES))

    @property
    def variables(self) -> dict[str, str]:
        """The variables that carry the key to any AWS tool."""
        return {"AWS_ACCESS_KEY_ID": self.id, "AWS_SECRET_ACCESS_KEY": self.secret}

    @property
    def header(self) -> dict[str, str]:
        """The header that carries the key where nothing is signed."""
        return {"Authorization": f"Bearer {self.id}"}


class Claim(NamedTuple):
    """The access key's id that a request carries, and the service that it is for; both may be empty."""

    id: str
    service: str


@dataclass(frozen=True)
class Guard:
    """Lets requests in by the cloud's key, or by a credential that the cloud gave to a caller with the key.

    `issued` says whether an access key's id is such a credential, and `awaited` whether a path of a PUT is.
    `start` is the command that prints the variables of the key.
    """

    key: AccessKey
    issued: Callable[[str], bool]
    awaited: Callable[[str], bool]
    start: str

    def denial(self, scope: Mapping[str, Any], headers: Mapping[str, str]) -> Answer | None:
        """Return the answer that refuses a request, in its service's protocol, or None for a valid key."""
        claim = claimed(headers.get("authorization", ""), scope["query_string"])
        if self._is_valid(claim.id) or (scope.get("method") == "PUT" and self.awaited(scope["path"])):
            return None
        return _refusal(headers, scope["path"], claim.service, DENIED, REASON.format(start=self.start))

    def _is_valid(self, identifier: str) -> bool:
        is_own_key = hmac.compare_digest(identifier.encode(), self.key.id.encode())
        return is_own_key or (bool(identifier) and self.issued(identifier))


def claimed(authorization: str, query: bytes) -> Claim:
    """Find the access key's id in a request's header or, as presigned URLs have it, in its query.

    The header is that of SigV4 or of SigV2, which S3's presigned URLs may have as well, or the commands' own.
    """
    scheme, _, rest = authorization.partition(" ")
    if scheme == "Bearer":
        return Claim(rest, "")
    if scheme == "AWS":
        return Claim(rest.partition(":")[0], "s3")
    if signed := CREDENTIAL.search(rest):
        return _scope_claim(signed[1])
    presigned = PRESIGNED.search(query.decode("latin-1"))
    return _scope_claim(unquote(presigned[1]) if presigned else "")


def _scope_claim(credential: str) -> Claim:
    """Return the claim of a credential, which has the service after the date and the region."""
    identifier, *scope = credential.split("/")
    return Claim(identifier, "".join(scope[-2:-1]))


def ending(scope: Mapping[str, Any], headers: Mapping[str, str]) -> Answer:
    """Return the answer of a cloud that saves its end, in the protocol of the request's service."""
    service = claimed(headers.get("authorization", ""), scope["query_string"]).service
    return _refusal(headers, scope["path"], service, ENDING, "The local cloud was stopped.", 503)


def _refusal(  # noqa: PLR0913, PLR0917 - the request, and the answer
    headers: Mapping[str, str],
    path: str,
    service: str,
    codes: tuple[str, str, str],
    reason: str,
    status: int = 403,
) -> Answer:
    """Return an error in the service's protocol, so that AWS's SDKs find the code and the message."""
    query, rest, json_code = codes
    kind = headers.get("content-type", "").partition(";")[0]
    if "x-amz-target" not in headers and kind == FORM:
        return _xml(QUERY_FAULT, query, reason, status)
    if "x-amz-target" not in headers and service in REST_XML and not path.startswith("/_"):
        return _xml(REST_FAULT, rest, reason, status)
    return forbidden(json_code, reason, status)


def forbidden(code: str, reason: str, status: int = 403) -> Answer:
    """Return a refusal in the form of AWS's JSON protocols."""
    headers = [(b"content-type", b"application/json"), (b"x-amzn-errortype", code.encode())]
    return status, headers, json.dumps({"__type": code, "message": reason}).encode()


def _xml(form: str, code: str, reason: str, status: int) -> Answer:
    """Return an error in one of the forms of AWS's XML protocols."""
    return status, [(b"content-type", b"text/xml")], form.format(code, reason).encode()
