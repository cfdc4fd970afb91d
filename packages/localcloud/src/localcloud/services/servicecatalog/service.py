"""Service Catalog: portfolios of products that are templates, and what is launched of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from localcloud.core.service import Service
from localcloud.services.servicecatalog import cloudformation
from localcloud.services.servicecatalog.catalog import Catalog
from localcloud.services.servicecatalog.provisioned_products import Launches

if TYPE_CHECKING:
    from collections.abc import Callable

    from localcloud.core.context import CloudContext


def service(context: CloudContext, connect: Callable[[str], Any]) -> Service:
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
            "AWS::ServiceCatalog::Portfolio": cloudformation.portfolio(catalog),
            "AWS::ServiceCatalog::CloudFormationProduct": cloudformation.product(catalog),
            "AWS::ServiceCatalog::PortfolioProductAssociation": cloudformation.product_association(catalog),
            "AWS::ServiceCatalog::PortfolioPrincipalAssociation": cloudformation.principal_association(
                catalog
            ),
            "AWS::ServiceCatalog::LaunchRoleConstraint": cloudformation.launch_constraint(catalog),
        },
        close=launches.close,
    )
