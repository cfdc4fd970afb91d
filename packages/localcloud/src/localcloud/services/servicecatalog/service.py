"""Service Catalog: portfolios of products, which are templates, and provisioned products."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from localcloud.core.service import Service
from localcloud.services.servicecatalog import cloudformation
from localcloud.services.servicecatalog.catalog import Catalog
from localcloud.services.servicecatalog.provisioned_products import ProvisionedProducts

if TYPE_CHECKING:
    from collections.abc import Callable

    from localcloud.core.context import CloudContext


def service(context: CloudContext, connect: Callable[[str], Any]) -> Service:
    """Return the service, still empty; it keeps templates in S3 and creates stacks of them."""
    catalog = Catalog(context, connect)
    provisioned = ProvisionedProducts(context, connect, catalog)
    return Service(
        name="servicecatalog",
        operations={
            "DescribeProduct": catalog.describe_product,
            "ProvisionProduct": provisioned.provision,
            "TerminateProvisionedProduct": provisioned.terminate,
            "DescribeProvisionedProduct": provisioned.describe,
            "DescribeRecord": provisioned.describe_record,
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
        close=provisioned.close,
        kept={**catalog.kept(), **provisioned.kept()},
    )
