"""A store of the named resources of one type, with the operations on them."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from localcloud.core.clock import now
from localcloud.core.errors import validation_error
from localcloud.core.service import Kept
from localcloud.services.sagemaker.pagination import list_resources

if TYPE_CHECKING:
    from localcloud.core.context import CloudContext
    from localcloud.core.service import Json, Operation
    from localcloud.services.sagemaker.tags import Tags


@dataclass
class ResourceStore:
    """Resources of one type by their names.

    `member` begins the members of requests (`Model` has ModelName, …), `kind` the resource part of ARNs, and
    `noun` names the type in messages.
    """

    context: CloudContext
    tags: Tags
    member: str
    kind: str
    noun: str
    items: dict[str, Json] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def kept(self) -> dict[str, Kept]:
        """Return how the resources outlive the cloud."""
        return {f"{self.noun}s": Kept.table(self.items, f"{self.noun}s")}

    def operations(self) -> dict[str, Operation]:
        """Return the operations on the resources."""
        return {
            f"Create{self.member}": self.create,
            f"Describe{self.member}": self.describe,
            f"List{self.member}s": self.list,
            f"Delete{self.member}": self.delete,
        }

    def create(self, request: Json) -> Json:
        """Create the resource that a request describes.

        Raises:
            ServiceError: there is a resource of this name.
        """
        name = request[f"{self.member}Name"]
        arn = self.arn(name)
        description = {key: value for key, value in request.items() if key != "Tags"}
        with self.lock:
            if name in self.items:
                raise validation_error(f'Cannot create already existing {self.noun} "{arn}".')
            self.items[name] = {**description, f"{self.member}Arn": arn, "CreationTime": now()}
        self.tags.set(arn, request.get("Tags", []))
        return {f"{self.member}Arn": arn}

    def describe(self, request: Json) -> Json:
        """Describe a resource."""
        return dict(self.find(request[f"{self.member}Name"]))

    def list(self, request: Json) -> Json:
        """List the resources."""
        return list_resources(request, list(self.items.values()), self.member, f"{self.member}s")

    def delete(self, request: Json) -> Json:
        """Delete a resource."""
        name = request[f"{self.member}Name"]
        self.find(name)
        self.items.pop(name, None)
        self.tags.drop(self.arn(name))
        return {}

    def find(self, name: str) -> Json:
        """Return the description of a resource.

        Raises:
            ServiceError: the resource does not exist.
        """
        if name not in self.items:
            raise validation_error(f'Could not find {self.noun} "{self.arn(name)}".')
        return self.items[name]

    def arn(self, name: str) -> str:
        """Return the ARN of a name."""
        return self.context.arn("sagemaker", f"{self.kind}/{name}")
