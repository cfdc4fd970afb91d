"""The CloudFormation resource types of Service Catalog: portfolios, products, associations, constraints."""

from __future__ import annotations

import uuid
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from localcloud.core import protocol
from localcloud.core.errors import ServiceError
from localcloud.core.properties import as_failure, request_of
from localcloud.core.service import Resource
from localcloud.services.servicecatalog.catalog import PRODUCT_TYPE, description_of
from localcloud.services.servicecatalog.errors import NOT_FOUND

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from localcloud.core.service import Json
    from localcloud.services.servicecatalog.catalog import Catalog
    from localcloud.services.servicecatalog.models import Portfolio, Product

    Created = tuple[str, Json]  # the physical id and the attributes

VERSIONS = "ProvisioningArtifactParameters"
RESOURCE_ONLY = (VERSIONS, "ReplaceProvisioningArtifacts")
PORTFOLIO_AND_PRODUCT = ("PortfolioId", "ProductId")


def portfolio(catalog: Catalog) -> Resource:
    """Return the resource type of portfolios, which change in place."""

    def create(properties: Json, _: str) -> Created:
        return attributes(catalog.create_portfolio(_request("CreatePortfolio", properties)))

    def update(physical_id: str, old: Json, new: Json, _: str) -> Created:  # noqa: ARG001 - a handler's signature
        request, changed = _request("CreatePortfolio", new), catalog.portfolio(physical_id)
        changed.description, changed.tags = description_of(request), request.get("Tags", [])
        return attributes(changed)

    def attributes(one: Portfolio) -> Created:
        return one.id, {"PortfolioName": one.description["DisplayName"]}

    return _reporting_errors(create, update, catalog.delete_portfolio)


def product(catalog: Catalog) -> Resource:
    """Return the resource type of products, which change in place, as their versions do."""

    def create(properties: Json, _: str) -> Created:
        return attributes(catalog.create_product(*read(properties)))

    def update(physical_id: str, old: Json, new: Json, _: str) -> Created:  # noqa: ARG001 - a handler's signature
        (request, versions), changed = read(new), catalog.product(physical_id)
        if str(new.get("ReplaceProvisioningArtifacts", "false")).lower() == "true":
            changed.artifacts = []
        changed.artifacts = catalog.versions(changed, versions)
        changed.description, changed.tags = description_of(request), request.get("Tags", [])
        return attributes(changed)

    def read(properties: Json) -> tuple[Json, list[Json]]:
        own = {key: value for key, value in properties.items() if key not in RESOURCE_ONLY}
        shape = protocol.model("servicecatalog").shape_for("ProvisioningArtifactProperties")
        versions = [request_of({**one, "Type": PRODUCT_TYPE}, shape) for one in properties[VERSIONS]]
        return _request("CreateProduct", {**own, "ProductType": PRODUCT_TYPE}), versions

    def attributes(one: Product) -> Created:
        return one.id, {
            "ProductName": one.description["Name"],
            "ProvisioningArtifactIds": ",".join(version.id for version in one.artifacts),
            "ProvisioningArtifactNames": ",".join(version.name for version in one.artifacts),
        }

    return _reporting_errors(create, update, catalog.delete_product)


def product_association(catalog: Catalog) -> Resource:
    """Return the resource type that puts a product into a portfolio."""

    def create(properties: Json, _: str) -> Created:
        request = _request("AssociateProductWithPortfolio", _without_tags(properties))
        pair = [request[key] for key in PORTFOLIO_AND_PRODUCT]
        catalog.associate(*pair)
        return "|".join(pair), {}

    return _reporting_errors(
        create, _replacement(create), lambda physical_id: catalog.disassociate(*physical_id.split("|"))
    )


def principal_association(catalog: Catalog) -> Resource:
    """Return the resource type that lets a principal launch a portfolio's products."""

    def create(properties: Json, _: str) -> Created:
        request = _request("AssociatePrincipalWithPortfolio", _without_tags(properties))
        catalog.portfolio(request["PortfolioId"]).principals.add(request["PrincipalARN"])
        return f"{request['PortfolioId']}|{request['PrincipalARN']}", {}

    def delete(physical_id: str) -> None:
        portfolio_id, _, principal = physical_id.partition("|")
        catalog.portfolio(portfolio_id).principals.discard(principal)

    return _reporting_errors(create, _replacement(create), delete)


def launch_constraint(catalog: Catalog) -> Resource:
    """Return the resource type of launch constraints, the roles in which products are launched."""

    def create(properties: Json, _: str) -> Created:
        own = _without_tags(properties)
        role = own.pop("RoleArn")
        # CreateConstraint has the role in its Parameters, a JSON document.
        _request("CreateConstraint", {**own, "Type": "LAUNCH", "Parameters": role})
        portfolio_id, product_id = (own[key] for key in PORTFOLIO_AND_PRODUCT)
        description = own.get("Description", "")
        return catalog.create_constraint(portfolio_id, product_id, role, description).id, {}

    def update(physical_id: str, old: Json, new: Json, default_name: str) -> Created:
        # A product has one launch constraint in a portfolio, so the former one goes before the new one comes.
        if all(old[key] == new[key] for key in PORTFOLIO_AND_PRODUCT):
            catalog.delete_constraint(physical_id)
        return create(new, default_name)

    return _reporting_errors(create, update, catalog.delete_constraint)


def _reporting_errors(
    create: Callable[[Json, str], Created],
    update: Callable[[str, Json, Json, str], Created],
    delete: Callable[[str], None],
) -> Resource:
    """Return a resource whose errors are reasons of the stack, and whose deletion ignores a missing one."""

    def create_reporting(properties: Json, default_name: str) -> Created:
        with as_failure("ServiceCatalog"):
            return create(properties, default_name)

    def update_reporting(physical_id: str, old: Json, new: Json, default_name: str) -> Created:
        with as_failure("ServiceCatalog"):
            return update(physical_id, old, new, default_name)

    def delete_reporting(physical_id: str, _: Json) -> None:
        with as_failure("ServiceCatalog"), _ignore_missing():
            delete(physical_id)

    return Resource(create_reporting, update_reporting, delete_reporting)


@contextmanager
def _ignore_missing() -> Iterator[None]:
    """Ignore the error of a resource that does not exist."""
    try:
        yield
    except ServiceError as error:
        if error.code != NOT_FOUND:
            raise


def _replacement(create: Callable[[Json, str], Created]) -> Callable[[str, Json, Json, str], Created]:
    """Return the update of a resource that is replaced whenever a property changes."""
    return lambda _physical_id, _old, new, default_name: create(new, default_name)


def _without_tags(properties: Json) -> Json:
    """Return properties without the stack's tags, which these types do not have."""
    return {key: value for key, value in properties.items() if key != "Tags"}


def _request(operation: str, properties: Json) -> Json:
    """Return properties as the request of the operation that creates the resource."""
    shape: Any = protocol.model("servicecatalog").operation_model(operation).input_shape
    token = {"IdempotencyToken": str(uuid.uuid4())} if "IdempotencyToken" in shape.members else {}
    return request_of({**properties, **token}, shape)
