"""The data of Service Catalog: portfolios, products with their versions, provisioned products."""

from __future__ import annotations

import uuid
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

from localcloud.core.clock import now

if TYPE_CHECKING:
    from localcloud.core.service import Json

ID_LENGTH = 13


@dataclass(frozen=True)
class ProvisioningArtifact:
    """A version of a product, with the URL of a copy of its template, made when the version was created."""

    id: str
    name: str
    description: str
    source: str
    template: str
    created: float


@dataclass
class Product:
    """A product and its versions, the oldest first."""

    id: str
    description: Json
    tags: list[Json]
    artifacts: list[ProvisioningArtifact]


@dataclass(frozen=True)
class LaunchConstraint:
    """The role in which a product of a portfolio is launched."""

    id: str
    role: str
    description: str


@dataclass
class Portfolio:
    """Products, the principals who may launch them, and the constraints by product."""

    id: str
    description: Json
    tags: list[Json]
    products: set[str] = field(default_factory=set)
    principals: set[str] = field(default_factory=set)
    constraints: dict[str, LaunchConstraint] = field(default_factory=dict)

    def saved(self) -> Json:
        """Return the portfolio as it outlives the cloud."""
        return {**asdict(self), "products": sorted(self.products), "principals": sorted(self.principals)}

    @classmethod
    def restored(cls, saved: Json) -> Portfolio:
        """Return the portfolio that `saved` described."""
        constraints = {key: LaunchConstraint(**each) for key, each in saved["constraints"].items()}
        sets = {name: set(saved[name]) for name in ("products", "principals")}
        return cls(**{**saved, **sets, "constraints": constraints})

    @property
    def path_id(self) -> str:
        """The id of the launch path through the portfolio."""
        return f"lpv3-{self.id.partition('-')[2]}"


@dataclass
class ProvisionedProduct:
    """A launched product: its stack, and the records of the stack's changes."""

    description: Json
    stack: str
    records: list[Json] = field(default_factory=list)

    def begin_record(self, kind: str, members: Json) -> Json:
        """Return a new record of a change of the stack, which begins now."""
        record: Json = {
            **members,
            "RecordId": new_id("rec"),
            "RecordType": kind,
            "Status": "CREATED",
            "CreatedTime": now(),
            "UpdatedTime": now(),
        }
        self.records.append(record)
        self.description |= {"Status": "UNDER_CHANGE", "LastRecordId": record["RecordId"]}
        return record


def new_id(prefix: str) -> str:
    """Return a new random id."""
    return f"{prefix}-{uuid.uuid4().hex[:ID_LENGTH]}"
