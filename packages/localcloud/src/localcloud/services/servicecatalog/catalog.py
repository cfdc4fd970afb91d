"""Portfolios and products: what there is, and who may launch it in which role."""

from __future__ import annotations

import threading
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from localcloud.core import account, object_store
from localcloud.core.clock import now
from localcloud.core.errors import ServiceError

if TYPE_CHECKING:
    from collections.abc import Callable

    from localcloud.core.context import CloudContext
    from localcloud.core.service import Json

ID_LENGTH = 13
KIND = "CLOUD_FORMATION_TEMPLATE"
ONLY_OF_ARTIFACTS = ("ProvisioningArtifactParameters", "IdempotencyToken", "Tags")


@dataclass(frozen=True)
class Artifact:
    """A version of a product: a copy of the template, made when the version was."""

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
    described: Json
    tags: list[Json]
    artifacts: list[Artifact]


@dataclass(frozen=True)
class Constraint:
    """The role in which a product of a portfolio is launched."""

    id: str
    role: str
    description: str


@dataclass
class Portfolio:
    """Products, who may launch them, and how."""

    id: str
    described: Json
    tags: list[Json]
    products: set[str] = field(default_factory=set)
    principals: set[str] = field(default_factory=set)
    constraints: dict[str, Constraint] = field(default_factory=dict)


@dataclass
class Catalog:
    """All portfolios and products."""

    context: CloudContext
    connect: Callable[[str], Any]
    portfolios: dict[str, Portfolio] = field(default_factory=dict)
    products: dict[str, Product] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    # Portfolios

    def create_portfolio(self, request: Json) -> Portfolio:
        """Make a portfolio."""
        made = Portfolio(new_id("port"), described(request), request.get("Tags", []))
        self.portfolios[made.id] = made
        return made

    def portfolio(self, portfolio_id: str) -> Portfolio:
        """Return a portfolio."""
        if portfolio_id not in self.portfolios:
            raise not_found(f"Portfolio {portfolio_id} not found.")
        return self.portfolios[portfolio_id]

    def delete_portfolio(self, portfolio_id: str) -> None:
        """Delete an empty portfolio."""
        found = self.portfolio(portfolio_id)
        if found.products or found.principals or found.constraints:
            raise ServiceError(
                "ResourceInUseException",
                f"Portfolio {portfolio_id} has products, principals or constraints and can't be deleted.",
            )
        del self.portfolios[portfolio_id]

    # Products

    def create_product(self, request: Json, versions: list[Json]) -> Product:
        """Make a product with its versions."""
        made = Product(new_id("prod"), described(request), request.get("Tags", []), [])
        made.artifacts = self.versions_of(made, versions)
        self.products[made.id] = made
        return made

    def product(self, product_id: str) -> Product:
        """Return a product."""
        if product_id not in self.products:
            raise not_found(f"Product {product_id} not found.")
        return self.products[product_id]

    def delete_product(self, product_id: str) -> None:
        """Delete a product that is in no portfolio; what was launched of it stays."""
        self.product(product_id)
        if any(product_id in one.products for one in self.portfolios.values()):
            raise ServiceError(
                "ResourceInUseException", f"Product {product_id} is in a portfolio and can't be deleted."
            )
        del self.products[product_id]

    def versions_of(self, product: Product, wanted: list[Json]) -> list[Artifact]:
        """Return the versions that are wanted: those of the same name and address are the same ones."""
        known = {(one.name, one.source): one for one in product.artifacts}
        return [
            known.get((one.get("Name", ""), one["Info"]["LoadTemplateFromURL"]))
            or self._version(product.id, one)
            for one in wanted
        ]

    def _version(self, product_id: str, wanted: Json) -> Artifact:
        source = wanted["Info"]["LoadTemplateFromURL"]
        made = new_id("pa")
        template = self._kept(f"{product_id}/{made}", source)
        return Artifact(made, wanted.get("Name", ""), wanted.get("Description", ""), source, template, now())

    def _kept(self, key: str, source: str) -> str:
        """Copy the template into the service's own bucket, and return its address there."""
        s3, bucket = self.connect("s3"), f"sc-templates-{account.ACCOUNT}"
        try:
            found, name = object_store.located(source)
            text = s3.get_object(Bucket=found, Key=name)["Body"].read()
            place = {"CreateBucketConfiguration": {"LocationConstraint": self.context.region}}
            s3.create_bucket(Bucket=bucket, **({} if self.context.region == "us-east-1" else place))
        except s3.exceptions.BucketAlreadyOwnedByYou:
            pass
        except (ClientError, object_store.DataError) as error:
            raise invalid(f"Could not retrieve the template from {source}: {error}") from None
        s3.put_object(Bucket=bucket, Key=key, Body=text)
        kept = f"https://{bucket}.s3.{self.context.region}.amazonaws.com/{key}"
        try:
            self.connect("cloudformation").validate_template(TemplateURL=kept)
        except ClientError as error:
            raise invalid(f"Invalid templateBody: {error.response['Error']['Message']}") from None
        return kept

    # What belongs together

    def associate(self, portfolio_id: str, product_id: str) -> None:
        """Put a product into a portfolio."""
        self.product(product_id)
        self.portfolio(portfolio_id).products.add(product_id)

    def disassociate(self, portfolio_id: str, product_id: str) -> None:
        """Take a product out of a portfolio."""
        found = self.portfolio(portfolio_id)
        if product_id in found.constraints:
            raise ServiceError(
                "ResourceInUseException",
                f"Product {product_id} has a constraint in portfolio {portfolio_id} and stays in it.",
            )
        found.products.discard(product_id)

    def constrain(self, portfolio_id: str, product_id: str, role: str, description: str) -> Constraint:
        """Let a product of a portfolio be launched in a role."""
        found = self.portfolio(portfolio_id)
        if product_id not in found.products:
            raise not_found(f"Product {product_id} is not in portfolio {portfolio_id}.")
        with self.lock:
            if product_id in found.constraints:
                raise ServiceError(
                    "DuplicateResourceException",
                    f"Product {product_id} has a launch constraint in portfolio {portfolio_id} already.",
                )
            made = Constraint(new_id("cons"), role, description)
            found.constraints[product_id] = made
        return made

    def release(self, constraint_id: str) -> None:
        """Let a product be launched by whoever launches it."""
        for one in self.portfolios.values():
            kept = {key: value for key, value in one.constraints.items() if value.id != constraint_id}
            if len(kept) < len(one.constraints):
                one.constraints = kept
                return
        raise not_found(f"Constraint {constraint_id} not found.")

    # What users see

    def paths(self, product_id: str) -> list[Portfolio]:
        """Return the portfolios by which somebody may launch a product."""
        return [one for one in self.portfolios.values() if product_id in one.products and one.principals]

    def offered(self, product_id: str | None, name: str | None) -> Product:
        """Return the product of an id or a name, if there is anyone who may launch it."""
        for one in self.products.values():
            named = product_id in (one.id, None) and name in (one.described["Name"], None)
            if named and self.paths(one.id):
                return one
        raise not_found(f"Product {product_id or name} not found, or no portfolio offers it to anyone.")

    def describe_product(self, request: Json) -> Json:
        """Answer DescribeProduct."""
        found = self.offered(request.get("Id"), request.get("Name"))
        return {
            "ProductViewSummary": {
                "Id": f"prodview-{found.id.partition('-')[2]}",
                "ProductId": found.id,
                "Name": found.described["Name"],
                "Owner": found.described["Owner"],
                "ShortDescription": found.described.get("Description", ""),
                "Type": KIND,
                "HasDefaultPath": len(self.paths(found.id)) == 1,
            },
            "ProvisioningArtifacts": [
                {
                    "Id": one.id,
                    "Name": one.name,
                    "Description": one.description,
                    "CreatedTime": one.created,
                    "Guidance": "DEFAULT",
                }
                for one in found.artifacts
            ],
            "LaunchPaths": [
                {"Id": path_id(one), "Name": one.described["DisplayName"]} for one in self.paths(found.id)
            ],
        }


def described(request: Json) -> Json:
    """Return what a request says of the thing itself."""
    return {key: value for key, value in request.items() if key not in ONLY_OF_ARTIFACTS}


def path_id(portfolio: Portfolio) -> str:
    """Return the id of the way to a product through a portfolio."""
    return f"lpv3-{portfolio.id.partition('-')[2]}"


def new_id(kind: str) -> str:
    """Return an id that nothing has yet."""
    return f"{kind}-{uuid.uuid4().hex[:ID_LENGTH]}"


def not_found(message: str) -> ServiceError:
    """Return the answer to what isn't there."""
    return ServiceError("ResourceNotFoundException", message)


def invalid(message: str) -> ServiceError:
    """Return the answer to what is wrong."""
    return ServiceError("InvalidParametersException", message)
