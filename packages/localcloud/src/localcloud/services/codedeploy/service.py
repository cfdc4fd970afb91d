"""CodeDeploy for Lambda: an alias moves to a new version step by step, or back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from localcloud.core.service import Service
from localcloud.services.cloudformation import service as cloudformation
from localcloud.services.codedeploy import groups
from localcloud.services.codedeploy.deployments import PATH, Deployments

if TYPE_CHECKING:
    from localcloud.core.context import CloudContext
    from localcloud.services.awslambda.executions import Executions


def service(context: CloudContext, executions: Executions) -> Service:
    """Return the service with nothing in it yet."""
    known = groups.Groups()
    deployments = Deployments(context, executions, known)

    def install() -> None:
        cloudformation.around_updates("AWS::Lambda::Alias", deployments.move)

    return Service(
        name="codedeploy",
        operations={
            "GetApplication": known.get_application,
            "ListApplications": known.list_applications,
            "GetDeploymentGroup": known.get,
            "ListDeploymentGroups": known.list,
            **deployments.operations(),
        },
        resources={
            "AWS::CodeDeploy::Application": groups.application_resource(known),
            "AWS::CodeDeploy::DeploymentGroup": groups.group_resource(known),
        },
        routes={PATH: deployments.shifts},
        install=install,
        close=deployments.close,
    )
