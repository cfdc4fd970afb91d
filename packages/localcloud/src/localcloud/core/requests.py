"""What a request asks of the cloud: to read, which does not count as load, or anything else."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

if TYPE_CHECKING:
    from collections.abc import Mapping

# Begins the names of AWS's operations that only read.
READING = re.compile(
    r"(?:Batch)?(?:Check|Count|Describe|Filter|Get|Head|List|Lookup|Poll|Query|Scan|Search)[A-Z0-9]"
)
# Smithy's RPC protocol has the operation in the path.
OPERATION = re.compile(r"/service/[^/]+/operation/(\w+)")
EXECUTE_API = "execute-api"
FORM = "application/x-www-form-urlencoded"
FORM_ACTION = re.compile(rb"(?:^|&)Action=(\w+)")
# In the User-Agent of the requests of the project's own commands, and of the cloud's own services.
OWN = "localcloud-own"


def operation(scope: Mapping[str, Any], headers: Mapping[str, str], body: bytes = b"") -> str:
    """Return the name of the operation, where the request has it; a form has it in its body."""
    if target := headers.get("x-amz-target", ""):
        return target.rpartition(".")[2]
    if found := OPERATION.search(scope["path"]):
        return str(found[1])
    if action := parse_qs(scope["query_string"].decode("latin-1")).get("Action"):
        return str(action[0])
    named = FORM_ACTION.search(body)
    return str(named[1], "ascii") if named else ""


def reads(scope: Mapping[str, Any], headers: Mapping[str, str], body: bytes = b"") -> bool:
    """Whether the request only reads."""
    if name := operation(scope, headers, body):
        return READING.match(name) is not None
    is_api = EXECUTE_API in scope["path"] or EXECUTE_API in headers.get("host", "")
    return scope.get("method") in ("GET", "HEAD", "OPTIONS") and not is_api


def changes(scope: Mapping[str, Any], headers: Mapping[str, str], body: bytes = b"") -> bool:
    """Whether the request may change what a service holds; an invocation only uses it."""
    if name := operation(scope, headers, body):
        return READING.match(name) is None
    return scope.get("method") in {"PUT", "DELETE", "PATCH"}


def is_form(headers: Mapping[str, str]) -> bool:
    """Whether the operation is in the body."""
    return headers.get("content-type", "").startswith(FORM) and "x-amz-target" not in headers


def is_own(headers: Mapping[str, str]) -> bool:
    """Whether a command of the project, or the cloud itself, has sent the request."""
    return OWN in headers.get("user-agent", "")
