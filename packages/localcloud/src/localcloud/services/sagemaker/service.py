"""SageMaker: jobs, models, endpoints, their monitoring, the model registry, Studio and the runtime."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from localcloud.core import protocol
from localcloud.core.service import Service
from localcloud.services.sagemaker import capacity, endpoint_update, runtime, tasks
from localcloud.services.sagemaker.cloudformation import endpoint_type, store_type
from localcloud.services.sagemaker.endpoints import Endpoints
from localcloud.services.sagemaker.jobs import Jobs, Quota
from localcloud.services.sagemaker.lineage import Lineage
from localcloud.services.sagemaker.models import EndpointConfigs, Models
from localcloud.services.sagemaker.monitoring import MonitoringSchedules
from localcloud.services.sagemaker.packages import ModelPackageGroups, ModelPackages
from localcloud.services.sagemaker.processing import ProcessingJob
from localcloud.services.sagemaker.studio import Domains, Projects
from localcloud.services.sagemaker.tags import Tags
from localcloud.services.sagemaker.training import TrainingJob

if TYPE_CHECKING:
    from collections.abc import Callable

    from localcloud.core.context import CloudContext
    from localcloud.core.service import Json


def service(context: CloudContext, connect: Callable[[str], Any], catalog: Service) -> Service:
    """Return the service, still empty; Studio's projects are stacks, or Service Catalog's products."""
    tags, quota = Tags(), Quota()
    training = Jobs(context, tags, TrainingJob, quota)
    processing = Jobs(context, tags, ProcessingJob, quota)
    groups = ModelPackageGroups(
        context, tags, "ModelPackageGroup", "model-package-group", "model package group"
    )
    packages = ModelPackages(context, groups)
    models = Models(context, tags, "Model", "model", "model", package=packages.find)
    configs = EndpointConfigs(
        context, tags, "EndpointConfig", "endpoint-config", "endpoint configuration", models=models
    )
    endpoints = Endpoints(context, tags, configs, models)
    schedules = MonitoringSchedules(context, tags, endpoints=endpoints, processing=processing)
    studio = Domains(context, tags), Projects(context, tags, catalog, connect)
    lineage = Lineage(context, tags)
    parts = (training, processing, models, configs, endpoints, schedules, packages, lineage, *studio, tags)
    types = (
        *map(store_type, (models, configs, groups)),
        endpoint_type(endpoints),
        store_type(schedules, schedules.update),
    )

    def create_job(member: str) -> Callable[[Json], Json]:
        return lambda request: protocol.call(sagemaker, f"Create{member}", request)

    def close() -> None:
        for part in (schedules, training, processing, endpoints, context.pool):
            part.close()

    sagemaker = Service(
        name="sagemaker",
        operations={
            **{name: operation for part in parts for name, operation in part.operations().items()},
            "UpdateEndpoint": lambda request: endpoint_update.update(endpoints, request),
            "UpdateEndpointWeightsAndCapacities": lambda request: capacity.update(endpoints, request),
        },
        resources={f"AWS::SageMaker::{each.member}": each.resource() for each in types},
        tasks={
            f"create{jobs.job_class.member}.sync": tasks.run_job(jobs, create_job(jobs.job_class.member))
            for jobs in (training, processing)
        },
        routes=runtime.Runtime(endpoints).routes(),
        close=close,
        processes=lambda: training.processes() | processing.processes(),
        # The tags first: the endpoints look for their stacks in them.
        kept={name: kept for part in (tags, *parts) for name, kept in part.kept().items()},
    )
    return sagemaker
