"""Pages of lists, as SageMaker's List operations return them."""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING, Any

from localcloud.core.errors import validation_error

if TYPE_CHECKING:
    from collections.abc import Iterable

    from localcloud.core.service import Json

DEFAULT_PAGE_SIZE = 10


def list_resources(
    request: Json, items: Iterable[Json], prefix: str, plural: str, shown: tuple[str, ...] = ()
) -> Json:
    """Filter, order and page descriptions as List* operations do.

    `prefix` begins the members (`TrainingJob` has TrainingJobName, …), `plural` is the list's member in the
    answer, `shown` the members of a summary besides name, ARN and creation time.
    """
    name = f"{prefix}Name"
    matches = [item for item in items if _matches(request, item, prefix)]
    by = name if request.get("SortBy") == "Name" else "CreationTime"
    # AWS's defaults differ from list to list: this order, the newest first, is the console's.
    matches.sort(key=lambda item: item[by], reverse=request.get("SortOrder", "Descending") == "Descending")
    members = (name, f"{prefix}Arn", "CreationTime", *shown)
    return paginate(request, [select(item, *members) for item in matches], plural)


def paginate(request: Json, items: list[Json], plural: str) -> Json:
    """Return the page of a list that a request asks for."""
    start = _decode_token(request.get("NextToken"))
    end = start + request.get("MaxResults", DEFAULT_PAGE_SIZE)
    more: Json = {"NextToken": base64.b64encode(str(end).encode()).decode()} if end < len(items) else {}
    return {plural: items[start:end], **more}


def _matches(request: Json, item: Json, prefix: str) -> bool:
    """Return whether an item passes the filters of a request."""
    status = item.get(f"{prefix}Status")
    return (
        request.get("NameContains", "") in item[f"{prefix}Name"]
        and status == request.get("StatusEquals", status)
        and request.get("CreationTimeAfter", 0) <= item["CreationTime"]
        and item["CreationTime"] <= request.get("CreationTimeBefore", float("inf"))
    )


def _decode_token(token: Any) -> int:
    """Return the index of the first item of a token's page."""
    try:
        return int(base64.b64decode(token)) if token else 0
    except (binascii.Error, ValueError):
        raise validation_error("Invalid NextToken.") from None


def select(source: Json, *members: str) -> Json:
    """Return the given members, without those that the source does not have."""
    return {member: source[member] for member in members if member in source}
