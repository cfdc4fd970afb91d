"""CloudFormation's view of portfolios, products and what ties them together."""

from __future__ import annotations

import uuid
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from localcloud.core import protocol
from localcloud.core.errors import ServiceError
from localcloud.core.properties import refused, request_of
from localcloud.core.service import Resource
from localcloud.services.servicecatalog.catalog import KIND, described

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from localcloud.core.service import Json
    from localcloud.services.servicecatalog.catalog import Catalog, Portfolio, Product

    Made = tuple[str, Json]

VERSIONS = "ProvisioningArtifactParameters"
OF_THE_RESOURCE = (VERSIONS, "ReplaceProvisioningArtifacts")
PLACE = ("PortfolioId", "ProductId")


def portfolio(catalog: Catalog) -> Resource:
    """Return how CloudFormation makes a portfolio, which changes in place."""

    def create(properties: Json, _: str) -> Made:
        return seen(catalog.create_portfolio(checked("CreatePortfolio", properties)))

    def update(physical_id: str, old: Json, new: Json, _: str) -> Made:  # noqa: ARG001  # a handler's signature
        request, found = checked("CreatePortfolio", new), catalog.portfolio(physical_id)
        found.described, found.tags = described(request), request.get("Tags", [])
        return seen(found)

    def seen(found: Portfolio) -> Made:
        return found.id, {"PortfolioName": found.described["DisplayName"]}

    return telling(create, update, catalog.delete_portfolio)


def product(catalog: Catalog) -> Resource:
    """Return how CloudFormation makes a product, which changes in place: new versions come, others go."""

    def create(properties: Json, _: str) -> Made:
        return seen(catalog.create_product(*read(properties)))

    def update(physical_id: str, old: Json, new: Json, _: str) -> Made:  # noqa: ARG001  # a handler's signature
        (request, versions), found = read(new), catalog.product(physical_id)
        if str(new.get("ReplaceProvisioningArtifacts", "false")).lower() == "true":
            found.artifacts = []
        found.artifacts = catalog.versions_of(found, versions)
        found.described, found.tags = described(request), request.get("Tags", [])
        return seen(found)

    def read(properties: Json) -> tuple[Json, list[Json]]:
        own = {key: value for key, value in properties.items() if key not in OF_THE_RESOURCE}
        shape = protocol.model("servicecatalog").shape_for("ProvisioningArtifactProperties")
        versions = [request_of({**one, "Type": KIND}, shape) for one in properties[VERSIONS]]
        return checked("CreateProduct", {**own, "ProductType": KIND}), versions

    def seen(found: Product) -> Made:
        return found.id, {
            "ProductName": found.described["Name"],
            "ProvisioningArtifactIds": ",".join(one.id for one in found.artifacts),
            "ProvisioningArtifactNames": ",".join(one.name for one in found.artifacts),
        }

    return telling(create, update, catalog.delete_product)


def product_association(catalog: Catalog) -> Resource:
    """Return how CloudFormation puts a product into a portfolio."""

    def create(properties: Json, _: str) -> Made:
        request = checked("AssociateProductWithPortfolio", without_tags(properties))
        pair = [request[key] for key in PLACE]
        catalog.associate(*pair)
        return "|".join(pair), {}

    return telling(create, replacing(create), lambda own: catalog.disassociate(*own.split("|")))


def principal_association(catalog: Catalog) -> Resource:
    """Return how CloudFormation lets somebody launch a portfolio's products."""

    def create(properties: Json, _: str) -> Made:
        request = checked("AssociatePrincipalWithPortfolio", without_tags(properties))
        catalog.portfolio(request["PortfolioId"]).principals.add(request["PrincipalARN"])
        return f"{request['PortfolioId']}|{request['PrincipalARN']}", {}

    def delete(own: str) -> None:
        found, _, principal = own.partition("|")
        catalog.portfolio(found).principals.discard(principal)

    return telling(create, replacing(create), delete)


def launch_constraint(catalog: Catalog) -> Resource:
    """Return how CloudFormation names the role in which a product is launched."""

    def create(properties: Json, _: str) -> Made:
        given = without_tags(properties)
        role = given.pop("RoleArn")
        # The API has the role in a document of its own.
        checked("CreateConstraint", {**given, "Type": "LAUNCH", "Parameters": role})
        portfolio_id, product_id = (given[key] for key in PLACE)
        return catalog.constrain(portfolio_id, product_id, role, given.get("Description", "")).id, {}

    def update(physical_id: str, old: Json, new: Json, default_name: str) -> Made:
        # A product has one in a portfolio: another role takes the place of the present one.
        if all(old[key] == new[key] for key in PLACE):
            catalog.release(physical_id)
        return create(new, default_name)

    return telling(create, update, catalog.release)


def telling(
    create: Callable[[Json, str], Made],
    update: Callable[[str, Json, Json, str], Made],
    delete: Callable[[str], None],
) -> Resource:
    """Return a resource whose refusals are reasons; what is gone already is no fault."""

    def made(properties: Json, default_name: str) -> Made:
        with told():
            return create(properties, default_name)

    def changed(physical_id: str, old: Json, new: Json, default_name: str) -> Made:
        with told():
            return update(physical_id, old, new, default_name)

    def deleted(physical_id: str, properties: Json) -> None:  # noqa: ARG001  # a handler's signature
        with told(), gone_is_fine():
            delete(physical_id)

    return Resource(made, changed, deleted)


@contextmanager
def told() -> Iterator[None]:
    """Turn a refusal into a reason."""
    try:
        yield
    except ServiceError as error:
        raise refused("ServiceCatalog", error) from None


@contextmanager
def gone_is_fine() -> Iterator[None]:
    """Let pass that something isn't there."""
    try:
        yield
    except ServiceError as error:
        if error.code != "ResourceNotFoundException":
            raise


def replacing(create: Callable[[Json, str], Made]) -> Callable[[str, Json, Json, str], Made]:
    """Return the update of what is another as soon as anything in it is."""
    return lambda _physical_id, _old, new, default_name: create(new, default_name)


def without_tags(properties: Json) -> Json:
    """Return properties without the stack's tags, which these types have not."""
    return {key: value for key, value in properties.items() if key != "Tags"}


def checked(operation: str, properties: Json) -> Json:
    """Return properties as the request that makes the resource."""
    shape: Any = protocol.model("servicecatalog").operation_model(operation).input_shape
    token = {"IdempotencyToken": str(uuid.uuid4())} if "IdempotencyToken" in shape.members else {}
    return request_of({**properties, **token}, shape)
