"""The services of the local cloud, and the one place where they are added to ministack."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from localcloud.core import ministack_state, patches, persisted_objects
from localcloud.core.ministack import APP
from localcloud.services.apigateway import service as apigateway
from localcloud.services.applicationautoscaling import service as applicationautoscaling
from localcloud.services.awslambda import service as awslambda
from localcloud.services.awslambda.executions import Executions
from localcloud.services.cloudformation import service as cloudformation
from localcloud.services.cloudwatch import service as cloudwatch
from localcloud.services.codebuild import service as codebuild
from localcloud.services.codebuild.projects import Projects
from localcloud.services.codedeploy import service as codedeploy
from localcloud.services.codepipeline import service as codepipeline
from localcloud.services.events import patches as event_patches
from localcloud.services.events import service as events
from localcloud.services.iam import service as iam
from localcloud.services.logs import service as logs
from localcloud.services.s3 import service as s3
from localcloud.services.sagemaker import service as sagemaker
from localcloud.services.servicecatalog import service as servicecatalog
from localcloud.services.stepfunctions import service as stepfunctions
from localcloud.services.stepfunctions import tasks

if TYPE_CHECKING:
    from collections.abc import Callable

    from localcloud.core.context import CloudContext
    from localcloud.core.service import Service


def register(context: CloudContext, connect: Callable[[str], Any]) -> tuple[Service, ...]:
    """Return all services, added to ministack; `connect` gives a boto3 client of a service of this cloud.

    Raises:
        MissingNameError: ministack lacks a name that the local cloud uses, or verifies signatures.
    """
    patches.check()
    if APP["AUTH"]:
        raise patches.MissingNameError("ministack's AUTH is on; the local cloud verifies no signature")
    ministack_state.install()
    persisted_objects.install()
    services = make(context, connect)
    for service in services:
        cloudformation.add_resources(service.resources, context.activities)
        tasks.add_tasks(service)
        service.install()
    tasks.add_botocore_tasks(connect)
    event_patches.add_targets({service.name: service.target for service in services if service.target})
    return services


def make(context: CloudContext, connect: Callable[[str], Any]) -> tuple[Service, ...]:
    """Return all services, in the order in which they are added to ministack."""
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
        iam.service(),
        logs.service(),
        cloudformation.service(),
        codedeploy.service(context, executions),
        codebuild.service(projects),
        codepipeline.service(context, connect, projects),
    )
