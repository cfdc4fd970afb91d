"""Service Catalog: portfolios of products that are templates, and what is launched of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from local.cloud.service import Service
from local.cloud.servicecatalog import resources
from local.cloud.servicecatalog.catalog import Catalog
from local.cloud.servicecatalog.launches import Launches

if TYPE_CHECKING:
    from collections.abc import Callable

    from local.cloud.context import Context


def service(context: Context, connect: Callable[[str], Any]) -> Service:
    """Return the service with nothing in it yet; it keeps templates in S3 and makes stacks of them."""
    catalog = Catalog(context, connect)
    launches = Launches(context, connect, catalog)
    return Service(
        name="servicecatalog",
        operations={
            "DescribeProduct": catalog.describe_product,
            "ProvisionProduct": launches.provision,
            "TerminateProvisionedProduct": launches.terminate,
            "DescribeProvisionedProduct": launches.describe,
            "DescribeRecord": launches.record,
        },
        resources={
            "AWS::ServiceCatalog::Portfolio": resources.portfolio(catalog),
            "AWS::ServiceCatalog::CloudFormationProduct": resources.product(catalog),
            "AWS::ServiceCatalog::PortfolioProductAssociation": resources.product_association(catalog),
            "AWS::ServiceCatalog::PortfolioPrincipalAssociation": resources.principal_association(catalog),
            "AWS::ServiceCatalog::LaunchRoleConstraint": resources.launch_constraint(catalog),
        },
        close=launches.close,
    )
