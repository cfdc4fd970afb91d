"""Names, tags and lists: what every kind of SageMaker's resources has."""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING, Any

from localcloud.core.errors import validation_error

if TYPE_CHECKING:
    from collections.abc import Iterable

    from localcloud.core.service import Json, Operation

DEFAULT_PAGE = 10


class Tags:
    """The tags of resources, by ARN."""

    def __init__(self) -> None:
        """Begin without any."""
        self._tags: dict[str, dict[str, str]] = {}

    def set(self, arn: str, tags: Iterable[Json]) -> None:
        """Add tags to a new resource."""
        self._tags.setdefault(arn, {}).update({tag["Key"]: tag["Value"] for tag in tags})

    def remove(self, arn: str, key: str) -> None:
        """Take one tag away."""
        self._tags.get(arn, {}).pop(key, None)

    def drop(self, arn: str) -> None:
        """Forget the tags of a deleted resource."""
        self._tags.pop(arn, None)

    def operations(self) -> dict[str, Operation]:
        """Return AddTags, ListTags and DeleteTags."""
        return {"AddTags": self._add, "ListTags": self._list, "DeleteTags": self._delete}

    def _of(self, arn: str) -> dict[str, str]:
        if arn not in self._tags:
            raise validation_error(f"Could not find resource {arn}")
        return self._tags[arn]

    def _add(self, request: Json) -> Json:
        self._of(request["ResourceArn"]).update({tag["Key"]: tag["Value"] for tag in request["Tags"]})
        return self._list(request)

    def _list(self, request: Json) -> Json:
        return {
            "Tags": [{"Key": key, "Value": value} for key, value in self._of(request["ResourceArn"]).items()]
        }

    def _delete(self, request: Json) -> Json:
        for key in request["TagKeys"]:
            self._of(request["ResourceArn"]).pop(key, None)
        return {}


def listed(
    request: Json, items: Iterable[Json], prefix: str, plural: str, shown: tuple[str, ...] = ()
) -> Json:
    """Filter, order and page descriptions as List* operations do.

    `prefix` begins the members (`TrainingJob` has TrainingJobName, …), `plural` is the list's member in the
    answer, `shown` what a summary has besides name, ARN and creation time.
    """
    name = f"{prefix}Name"
    wanted = [item for item in items if matching(request, item, prefix)]
    by = name if request.get("SortBy") == "Name" else "CreationTime"
    # AWS's defaults differ from list to list; newest first is what the console shows.
    wanted.sort(key=lambda item: item[by], reverse=request.get("SortOrder", "Descending") == "Descending")
    members = (name, f"{prefix}Arn", "CreationTime", *shown)
    return paged(request, [chosen(item, *members) for item in wanted], plural)


def paged(request: Json, items: list[Json], plural: str) -> Json:
    """Return the page of a list that a request asks for."""
    start = decoded(request.get("NextToken"))
    end = start + request.get("MaxResults", DEFAULT_PAGE)
    more: Json = {"NextToken": base64.b64encode(str(end).encode()).decode()} if end < len(items) else {}
    return {plural: items[start:end], **more}


def matching(request: Json, item: Json, prefix: str) -> bool:
    """Whether an item is among those asked for."""
    status = item.get(f"{prefix}Status")
    return (
        request.get("NameContains", "") in item[f"{prefix}Name"]
        and status == request.get("StatusEquals", status)
        and request.get("CreationTimeAfter", 0) <= item["CreationTime"]
        and item["CreationTime"] <= request.get("CreationTimeBefore", float("inf"))
    )


def decoded(token: Any) -> int:
    """Return where the page that a token stands for begins."""
    try:
        return int(base64.b64decode(token)) if token else 0
    except (binascii.Error, ValueError):
        raise validation_error("Invalid NextToken.") from None


def chosen(source: Json, *members: str) -> Json:
    """Return those of the members that are there."""
    return {member: source[member] for member in members if member in source}
