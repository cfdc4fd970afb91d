"""CodeDeploy for Lambda: an alias moves to a new version step by step, or is rolled back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from localcloud.core.service import Service
from localcloud.services.cloudformation import service as templates
from localcloud.services.codedeploy import cloudformation
from localcloud.services.codedeploy.deployments import PATH, Deployments
from localcloud.services.codedeploy.groups import Groups

if TYPE_CHECKING:
    from localcloud.core.context import CloudContext
    from localcloud.services.awslambda.executions import Executions


def service(context: CloudContext, executions: Executions) -> Service:
    """Return the service, still without applications and deployments."""
    groups = Groups()
    deployments = Deployments(context, executions, groups)

    def install() -> None:
        templates.around_updates("AWS::Lambda::Alias", deployments.move)

    return Service(
        name="codedeploy",
        operations={
            "GetApplication": groups.get_application,
            "ListApplications": groups.list_applications,
            "GetDeploymentGroup": groups.get,
            "ListDeploymentGroups": groups.list,
            **deployments.operations(),
        },
        resources={
            "AWS::CodeDeploy::Application": cloudformation.application(groups),
            "AWS::CodeDeploy::DeploymentGroup": cloudformation.deployment_group(groups),
        },
        routes={PATH: deployments.shifts},
        install=install,
        close=deployments.close,
        kept={**groups.kept(), **deployments.kept()},
    )
