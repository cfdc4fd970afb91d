"""The services of the local cloud, in the order in which they are added to ministack."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from localcloud.services.apigateway import service as apigateway
from localcloud.services.applicationautoscaling import service as applicationautoscaling
from localcloud.services.awslambda import service as awslambda
from localcloud.services.awslambda.executions import Executions
from localcloud.services.cloudwatch import service as cloudwatch
from localcloud.services.codebuild import service as codebuild
from localcloud.services.codebuild.projects import Projects
from localcloud.services.codedeploy import service as codedeploy
from localcloud.services.codepipeline import service as codepipeline
from localcloud.services.events import service as events
from localcloud.services.s3 import service as s3
from localcloud.services.sagemaker import service as sagemaker
from localcloud.services.servicecatalog import service as servicecatalog
from localcloud.services.stepfunctions import service as stepfunctions

if TYPE_CHECKING:
    from collections.abc import Callable

    from localcloud.core.context import CloudContext
    from localcloud.core.service import Service


def register(context: CloudContext, connect: Callable[[str], Any]) -> tuple[Service, ...]:
    """Return all services; `connect` gives a boto3 client of a service of this cloud."""
    executions, projects = Executions(context), Projects(context, connect)
    catalog = servicecatalog.service(context, connect)
    models = sagemaker.service(context, connect, catalog)
    return (
        catalog,
        models,
        applicationautoscaling.service(context, models),
        awslambda.service(executions),
        cloudwatch.service(context),
        events.service(context, executions),
        stepfunctions.service(context),
        apigateway.service(),
        s3.service(),
        codedeploy.service(context, executions),
        codebuild.service(projects),
        codepipeline.service(context, connect, projects),
    )
