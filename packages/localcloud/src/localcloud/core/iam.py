"""Who may act in a role: the local cloud weighs no permissions, but a role admits whom its policy names."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from botocore.exceptions import ClientError

if TYPE_CHECKING:
    from collections.abc import Callable


def can_assume(connect: Callable[[str], Any], arn: str, service: str) -> bool:
    """Whether there is such a role, and the service may assume it."""
    try:
        role = connect("iam").get_role(RoleName=arn.rpartition("/")[2])["Role"]
    except ClientError:
        return False
    document = role["AssumeRolePolicyDocument"]
    if isinstance(document, str):
        document = json.loads(unquote(document))
    return role["Arn"] == arn and any(
        statement["Effect"] == "Allow" and service in listed(statement["Principal"].get("Service", []))
        for statement in document["Statement"]
    )


def listed(value: Any) -> list[Any]:
    """Return a list of what may stand alone."""
    return value if isinstance(value, list) else [value]
