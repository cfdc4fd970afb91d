"""Portfolios and products, with the principals and the roles that products are launched in."""

from __future__ import annotations

import threading
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from localcloud.core import account, object_store
from localcloud.core.clock import now
from localcloud.core.service import Kept
from localcloud.services.servicecatalog.errors import (
    duplicate_resource,
    invalid_parameters,
    not_found,
    resource_in_use,
)
from localcloud.services.servicecatalog.models import (
    LaunchConstraint,
    Portfolio,
    Product,
    ProvisioningArtifact,
    new_id,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from localcloud.core.context import CloudContext
    from localcloud.core.service import Json

PRODUCT_TYPE = "CLOUD_FORMATION_TEMPLATE"
REQUEST_ONLY = ("ProvisioningArtifactParameters", "IdempotencyToken", "Tags")


@dataclass
class Catalog:
    """All portfolios and products."""

    context: CloudContext
    connect: Callable[[str], Any]
    portfolios: dict[str, Portfolio] = field(default_factory=dict)
    products: dict[str, Product] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def kept(self) -> dict[str, Kept]:
        """Return how portfolios and products outlive the cloud."""
        return {
            "portfolios": Kept(
                lambda: [each.saved() for each in self.portfolios.values()], self._load_portfolios
            ),
            "products": Kept(lambda: [asdict(each) for each in self.products.values()], self._load_products),
        }

    def _load_portfolios(self, saved: list[Json]) -> None:
        self.portfolios.update({each["id"]: Portfolio.restored(each) for each in saved})

    def _load_products(self, saved: list[Json]) -> None:
        for each in saved:
            artifacts = [ProvisioningArtifact(**artifact) for artifact in each["artifacts"]]
            self.products[each["id"]] = Product(**{**each, "artifacts": artifacts})

    def create_portfolio(self, request: Json) -> Portfolio:
        """Create a portfolio."""
        portfolio = Portfolio(new_id("port"), description_of(request), request.get("Tags", []))
        self.portfolios[portfolio.id] = portfolio
        return portfolio

    def portfolio(self, portfolio_id: str) -> Portfolio:
        """Return a portfolio.

        Raises:
            ServiceError: the portfolio does not exist.
        """
        if portfolio_id not in self.portfolios:
            raise not_found(f"Portfolio {portfolio_id} not found.")
        return self.portfolios[portfolio_id]

    def delete_portfolio(self, portfolio_id: str) -> None:
        """Delete an empty portfolio.

        Raises:
            ServiceError: the portfolio does not exist, or is not empty.
        """
        portfolio = self.portfolio(portfolio_id)
        if portfolio.products or portfolio.principals or portfolio.constraints:
            raise resource_in_use(
                f"Portfolio {portfolio_id} has products, principals or constraints and can't be deleted."
            )
        del self.portfolios[portfolio_id]

    def create_product(self, request: Json, versions: list[Json]) -> Product:
        """Create a product with its versions."""
        product = Product(new_id("prod"), description_of(request), request.get("Tags", []), [])
        product.artifacts = self.versions(product, versions)
        self.products[product.id] = product
        return product

    def product(self, product_id: str) -> Product:
        """Return a product.

        Raises:
            ServiceError: the product does not exist.
        """
        if product_id not in self.products:
            raise not_found(f"Product {product_id} not found.")
        return self.products[product_id]

    def delete_product(self, product_id: str) -> None:
        """Delete a product that is not in a portfolio; its provisioned products stay.

        Raises:
            ServiceError: the product does not exist, or is in a portfolio.
        """
        self.product(product_id)
        if any(product_id in one.products for one in self.portfolios.values()):
            raise resource_in_use(f"Product {product_id} is in a portfolio and can't be deleted.")
        del self.products[product_id]

    def versions(self, product: Product, requests: list[Json]) -> list[ProvisioningArtifact]:
        """Return the versions of requests; the product keeps a version of the same name and source URL."""
        existing = {(one.name, one.source): one for one in product.artifacts}
        return [
            existing.get((one.get("Name", ""), one["Info"]["LoadTemplateFromURL"]))
            or self._create_version(product.id, one)
            for one in requests
        ]

    def _create_version(self, product_id: str, request: Json) -> ProvisioningArtifact:
        source = request["Info"]["LoadTemplateFromURL"]
        artifact_id = new_id("pa")
        template = self._copy_template(f"{product_id}/{artifact_id}", source)
        name, description = request.get("Name", ""), request.get("Description", "")
        return ProvisioningArtifact(artifact_id, name, description, source, template, now())

    def _copy_template(self, key: str, source: str) -> str:
        """Copy the template into the service's own bucket, and return its URL there."""
        s3, bucket = self.connect("s3"), f"sc-templates-{account.ACCOUNT}"
        try:
            source_bucket, source_key = object_store.parse_url(source)
            text = s3.get_object(Bucket=source_bucket, Key=source_key)["Body"].read()
            location = {"CreateBucketConfiguration": {"LocationConstraint": self.context.region}}
            # S3 refuses a LocationConstraint of us-east-1.
            s3.create_bucket(Bucket=bucket, **({} if self.context.region == "us-east-1" else location))
        except s3.exceptions.BucketAlreadyOwnedByYou:
            pass
        except (ClientError, object_store.DataError) as error:
            raise invalid_parameters(f"Could not retrieve the template from {source}: {error}") from None
        s3.put_object(Bucket=bucket, Key=key, Body=text)
        url = f"https://{bucket}.s3.{self.context.region}.amazonaws.com/{key}"
        try:
            self.connect("cloudformation").validate_template(TemplateURL=url)
        except ClientError as error:
            raise invalid_parameters(f"Invalid templateBody: {error.response['Error']['Message']}") from None
        return url

    def associate(self, portfolio_id: str, product_id: str) -> None:
        """Put a product into a portfolio."""
        self.product(product_id)
        self.portfolio(portfolio_id).products.add(product_id)

    def disassociate(self, portfolio_id: str, product_id: str) -> None:
        """Take a product out of a portfolio.

        Raises:
            ServiceError: the portfolio does not exist, or has a constraint for the product.
        """
        portfolio = self.portfolio(portfolio_id)
        if product_id in portfolio.constraints:
            raise resource_in_use(
                f"Product {product_id} has a constraint in portfolio {portfolio_id} and stays in it."
            )
        portfolio.products.discard(product_id)

    def create_constraint(
        self, portfolio_id: str, product_id: str, role: str, description: str
    ) -> LaunchConstraint:
        """Set the role in which a product of a portfolio is launched.

        Raises:
            ServiceError: the product is not in the portfolio, or has a launch constraint there.
        """
        portfolio = self.portfolio(portfolio_id)
        if product_id not in portfolio.products:
            raise not_found(f"Product {product_id} is not in portfolio {portfolio_id}.")
        with self.lock:
            if product_id in portfolio.constraints:
                raise duplicate_resource(
                    f"Product {product_id} has a launch constraint in portfolio {portfolio_id} already."
                )
            constraint = LaunchConstraint(new_id("cons"), role, description)
            portfolio.constraints[product_id] = constraint
        return constraint

    def delete_constraint(self, constraint_id: str) -> None:
        """Delete a launch constraint, after which the product is launched with the caller's permissions.

        Raises:
            ServiceError: the constraint does not exist.
        """
        for portfolio in self.portfolios.values():
            others = {key: one for key, one in portfolio.constraints.items() if one.id != constraint_id}
            if len(others) < len(portfolio.constraints):
                portfolio.constraints = others
                return
        raise not_found(f"Constraint {constraint_id} not found.")

    def launch_paths(self, product_id: str) -> list[Portfolio]:
        """Return the portfolios through which a principal may launch a product."""
        return [one for one in self.portfolios.values() if product_id in one.products and one.principals]

    def find_launchable(self, product_id: str | None, name: str | None) -> Product:
        """Return the product of an id or a name, if a principal may launch it.

        Raises:
            ServiceError: the product does not exist, or no portfolio offers it.
        """
        for one in self.products.values():
            matches = product_id in (one.id, None) and name in (one.description["Name"], None)
            if matches and self.launch_paths(one.id):
                return one
        raise not_found(f"Product {product_id or name} not found, or no portfolio offers it to anyone.")

    def describe_product(self, request: Json) -> Json:
        """Answer DescribeProduct."""
        product = self.find_launchable(request.get("Id"), request.get("Name"))
        return {
            "ProductViewSummary": {
                "Id": f"prodview-{product.id.partition('-')[2]}",
                "ProductId": product.id,
                "Name": product.description["Name"],
                "Owner": product.description["Owner"],
                "ShortDescription": product.description.get("Description", ""),
                "Type": PRODUCT_TYPE,
                "HasDefaultPath": len(self.launch_paths(product.id)) == 1,
            },
            "ProvisioningArtifacts": [
                {
                    "Id": one.id,
                    "Name": one.name,
                    "Description": one.description,
                    "CreatedTime": one.created,
                    "Guidance": "DEFAULT",
                }
                for one in product.artifacts
            ],
            "LaunchPaths": [
                {"Id": one.path_id, "Name": one.description["DisplayName"]}
                for one in self.launch_paths(product.id)
            ],
        }


def description_of(request: Json) -> Json:
    """Return the members of a request that describe the portfolio or the product itself."""
    return {key: value for key, value in request.items() if key not in REQUEST_ONLY}
