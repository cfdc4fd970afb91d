"""Lineage: contexts, actions and artifacts, and the associations between them."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from hashlib import md5
from typing import TYPE_CHECKING, Any

from localcloud.core.clock import now
from localcloud.core.errors import validation_error
from localcloud.core.service import Kept
from localcloud.services.sagemaker.errors import resource_not_found
from localcloud.services.sagemaker.pagination import paginate, select

if TYPE_CHECKING:
    from collections.abc import Iterable

    from localcloud.core.context import CloudContext
    from localcloud.core.service import Json, Operation
    from localcloud.services.sagemaker.tags import Tags

MEMBERS = ("Action", "Artifact", "Context")


@dataclass
class Lineage:
    """All entities by ARN, and all associations by the ARNs of their ends."""

    context: CloudContext
    tags: Tags
    entities: dict[str, Json] = field(default_factory=dict)
    associations: dict[tuple[str, str], Json] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def kept(self) -> dict[str, Kept]:
        """Return how entities and associations outlive the cloud."""
        return {
            "lineage": Kept.table(self.entities, "entities of lineage"),
            "associations": Kept(lambda: list(self.associations.values()), self._load),
        }

    def _load(self, saved: list[Json]) -> None:
        for each in saved:
            self.associations[each["SourceArn"], each["DestinationArn"]] = each

    def operations(self) -> dict[str, Operation]:
        """Return the operations on entities and associations."""
        found: dict[str, Operation] = {
            "AddAssociation": self.associate,
            "DeleteAssociation": self.dissociate,
            "ListAssociations": self.list_associations,
        }
        for member in MEMBERS:
            found |= _Kind(self, member).operations()
        return found

    def associate(self, request: Json) -> Json:
        """Associate two entities, once.

        Raises:
            ServiceError: one of them does not exist, or they are associated already.
        """
        ends = (request["SourceArn"], request["DestinationArn"])
        with self.lock:
            source, destination = map(self.find, ends)
            if ends in self.associations:
                raise validation_error(f"Association between {ends[0]} and {ends[1]} already exists.")
            self.associations[ends] = {
                **select(request, "SourceArn", "DestinationArn", "AssociationType"),
                **{f"Source{name}": value for name, value in _title(source).items()},
                **{f"Destination{name}": value for name, value in _title(destination).items()},
                "CreationTime": now(),
            }
        return {"SourceArn": ends[0], "DestinationArn": ends[1]}

    def dissociate(self, request: Json) -> Json:
        """Delete an association.

        Raises:
            ServiceError: it does not exist.
        """
        ends = (request["SourceArn"], request["DestinationArn"])
        with self.lock:
            if self.associations.pop(ends, None) is None:
                raise resource_not_found(f"Association between {ends[0]} and {ends[1]} does not exist.")
        return {"SourceArn": ends[0], "DestinationArn": ends[1]}

    def list_associations(self, request: Json) -> Json:
        """List the associations of an end, or of a type."""
        filters = ("SourceArn", "DestinationArn", "SourceType", "DestinationType", "AssociationType")
        found = [each for each in list(self.associations.values()) if _fits(each, request, filters)]
        return paginate(request, _ordered(request, found, "SourceName"), "AssociationSummaries")

    def find(self, arn: str) -> Json:
        """Return an entity.

        Raises:
            ServiceError: it does not exist.
        """
        if arn not in self.entities:
            raise resource_not_found(f"{arn} does not exist.")
        return self.entities[arn]


@dataclass(frozen=True)
class _Kind:
    """The entities of one kind; artifacts have no unique names, and are found by their ARNs."""

    lineage: Lineage
    member: str

    def operations(self) -> dict[str, Operation]:
        return {
            f"Create{self.member}": self.create,
            f"Describe{self.member}": self.describe,
            f"List{self.member}s": self.list,
            f"Update{self.member}": self.update,
            f"Delete{self.member}": self.delete,
        }

    def create(self, request: Json) -> Json:
        arn = self._new_arn(request)
        with self.lineage.lock:
            if arn in self.lineage.entities:
                raise validation_error(f"{self.member} already exists: {arn}")
            made = {key: value for key, value in request.items() if key != "Tags"}
            moment = now()
            self.lineage.entities[arn] = {
                **made,
                f"{self.member}Arn": arn,
                "CreationTime": moment,
                "LastModifiedTime": moment,
            }
        self.lineage.tags.set(arn, request.get("Tags", []))
        return {f"{self.member}Arn": arn}

    def describe(self, request: Json) -> Json:
        return dict(self._find(request))

    def list(self, request: Json) -> Json:
        found = [each for arn, each in list(self.lineage.entities.items()) if self._has(arn)]
        kind = f"{self.member}Type"
        uri = request.get("SourceUri")
        matching = [
            each
            for each in found
            if _fits(each, request, (kind,)) and uri in (None, each["Source"]["SourceUri"])
        ]
        names = ("Arn", "Name", "Type")
        members = (*(f"{self.member}{name}" for name in names), "Source", "Status", "CreationTime")
        ordered = _ordered(request, matching, f"{self.member}Name")
        shown = [select(each, *members, "LastModifiedTime") for each in ordered]
        return paginate(request, shown, f"{self.member}Summaries")

    def update(self, request: Json) -> Json:
        with self.lineage.lock:
            entity = self._find(request)
            properties = {**entity.get("Properties", {}), **request.get("Properties", {})}
            for name in request.get("PropertiesToRemove", []):
                properties.pop(name, None)
            entity |= {
                **select(request, "Description", "Status", "ArtifactName"),
                "Properties": properties,
                "LastModifiedTime": now(),
            }
        return {f"{self.member}Arn": entity[f"{self.member}Arn"]}

    def delete(self, request: Json) -> Json:
        with self.lineage.lock:
            arn = self._find(request)[f"{self.member}Arn"]
            if any(arn in ends for ends in self.lineage.associations):
                raise validation_error(f"{arn} has associations: delete them first.")
            del self.lineage.entities[arn]
        self.lineage.tags.drop(arn)
        return {f"{self.member}Arn": arn}

    def _arn(self, name: str) -> str:
        return self.lineage.context.arn("sagemaker", f"{self.member.lower()}/{name}")

    def _new_arn(self, request: Json) -> str:
        if self.member != "Artifact":
            return self._arn(request[f"{self.member}Name"])
        # An artifact is its source and type: the same ones are refused a second time.
        identity = repr((request["ArtifactType"], request["Source"]))
        return self._arn(md5(identity.encode(), usedforsecurity=False).hexdigest())

    def _find(self, request: Json) -> Json:
        if self.member != "Artifact":
            return self.lineage.find(self._arn(request[f"{self.member}Name"]))
        if "ArtifactArn" not in request:
            return self.lineage.find(self._new_arn(request))
        return self.lineage.find(request["ArtifactArn"])

    def _has(self, arn: str) -> bool:
        return f":{self.member.lower()}/" in arn


def _title(entity: Json) -> Json:
    """Return an entity's name and type, as associations show them."""
    member = next(each for each in MEMBERS if f"{each}Arn" in entity)
    return {name: entity[f"{member}{name}"] for name in ("Name", "Type") if f"{member}{name}" in entity}


def _fits(item: Json, request: Json, filters: Iterable[str]) -> bool:
    """Return whether an item passes the filters of a request."""
    after, before = request.get("CreatedAfter", 0), request.get("CreatedBefore", float("inf"))
    return after <= item["CreationTime"] <= before and all(
        item.get(name) == request[name] for name in filters if name in request
    )


def _ordered(request: Json, items: list[Json], name: str) -> list[Any]:
    """Return items in a request's order, the newest first by default."""
    by = name if request.get("SortBy") in ("Name", "SourceName") else "CreationTime"
    descending = request.get("SortOrder", "Descending") == "Descending"
    return sorted(items, key=lambda item: item.get(by, ""), reverse=descending)
