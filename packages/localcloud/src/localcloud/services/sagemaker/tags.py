"""The tags of SageMaker's resources."""

from __future__ import annotations

from typing import TYPE_CHECKING

from localcloud.core.errors import validation_error
from localcloud.core.service import Kept

if TYPE_CHECKING:
    from collections.abc import Iterable

    from localcloud.core.service import Json, Operation


class Tags:
    """The tags of resources, by ARN."""

    def __init__(self) -> None:
        """Begin without tags."""
        self._tags: dict[str, dict[str, str]] = {}

    def kept(self) -> dict[str, Kept]:
        """Return how the tags outlive the cloud."""
        return {"tags": Kept.table(self._tags)}

    def of(self, arn: str) -> dict[str, str]:
        """Return the tags of a resource, or of an unknown one an empty dictionary."""
        return self._tags.get(arn, {})

    def set(self, arn: str, tags: Iterable[Json]) -> None:
        """Add tags to a new resource."""
        self._tags.setdefault(arn, {}).update({tag["Key"]: tag["Value"] for tag in tags})

    def remove(self, arn: str, key: str) -> None:
        """Remove one tag."""
        self._tags.get(arn, {}).pop(key, None)

    def drop(self, arn: str) -> None:
        """Remove the tags of a deleted resource."""
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
