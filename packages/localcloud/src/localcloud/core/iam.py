"""The trust policies of roles, which the local cloud checks; it checks no other permissions."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from botocore.exceptions import ClientError

if TYPE_CHECKING:
    from collections.abc import Callable


def can_assume(connect: Callable[[str], Any], arn: str, service: str) -> bool:
    """Whether the role exists, and its policy lets the service assume it."""
    try:
        role = connect("iam").get_role(RoleName=arn.rpartition("/")[2])["Role"]
    except ClientError:
        return False
    document = role["AssumeRolePolicyDocument"]
    if isinstance(document, str):
        document = json.loads(unquote(document))
    return role["Arn"] == arn and any(
        statement["Effect"] == "Allow" and service in _listed(statement["Principal"].get("Service", []))
        for statement in document["Statement"]
    )


def _listed(value: Any) -> list[Any]:
    """Return a value that may be a list as a list."""
    return value if isinstance(value, list) else [value]
