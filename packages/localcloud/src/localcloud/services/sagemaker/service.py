"""SageMaker: jobs, models, endpoints and the runtime."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from localcloud.core import protocol
from localcloud.core.service import Service
from localcloud.services.sagemaker import capacity, cloudformation, runtime, tasks
from localcloud.services.sagemaker.endpoints import Endpoints
from localcloud.services.sagemaker.hosts import Quota
from localcloud.services.sagemaker.jobs import Jobs
from localcloud.services.sagemaker.models import EndpointConfigs, Models
from localcloud.services.sagemaker.monitoring import Schedules
from localcloud.services.sagemaker.packages import Groups, Packages
from localcloud.services.sagemaker.processing import ProcessingJob
from localcloud.services.sagemaker.studio import Domains, Projects
from localcloud.services.sagemaker.tags import Tags
from localcloud.services.sagemaker.training import TrainingJob

if TYPE_CHECKING:
    from collections.abc import Callable

    from localcloud.core.context import CloudContext
    from localcloud.core.service import Operation
    from localcloud.services.sagemaker.models import Catalogue


def service(context: CloudContext, connect: Callable[[str], Any], catalog: Service) -> Service:
    """Return the service with nothing in it yet; its projects are Service Catalog's or stacks."""
    tags, quota = Tags(), Quota()
    training = Jobs(context, tags, TrainingJob, quota)
    processing = Jobs(context, tags, ProcessingJob, quota)
    models = Models(context, tags, "Model", "model", "model")
    configs = EndpointConfigs(
        context, tags, "EndpointConfig", "endpoint-config", "endpoint configuration", models=models
    )
    endpoints = Endpoints(context, tags, configs, models)
    schedules = Schedules(context, tags, endpoints=endpoints, processing=processing)
    groups = Groups(context, tags, "ModelPackageGroup", "model-package-group", "model package group")
    kinds = (
        *map(catalogue_kind, (models, configs, groups)),
        cloudformation.endpoint_kind(endpoints),
        replace(catalogue_kind(schedules), update=schedules.update),
    )

    def close() -> None:
        for each in (schedules, training, processing, endpoints):
            each.close()

    def validated(operation: str) -> Operation:
        return lambda request: protocol.call(made, operation, request)

    made = Service(
        name="sagemaker",
        operations={
            **job_operations(training),
            **job_operations(processing),
            **catalogue_operations(models),
            **catalogue_operations(configs),
            **catalogue_operations(endpoints),
            "UpdateEndpointWeightsAndCapacities": lambda request: capacity.update(endpoints, request),
            **schedules.operations(),
            **Packages(context, groups).operations(),
            **Domains(context, tags).operations(),
            **Projects(context, tags, catalog, connect).operations(),
            **tags.operations(),
        },
        resources={f"AWS::SageMaker::{kind.member}": kind.resource() for kind in kinds},
        tasks={
            "createTrainingJob.sync": tasks.sync(training, validated("CreateTrainingJob")),
            "createProcessingJob.sync": tasks.sync(processing, validated("CreateProcessingJob")),
        },
        routes={runtime.PATH: runtime.Runtime(endpoints).invoke},
        close=close,
    )
    return made


def job_operations(jobs: Jobs) -> dict[str, Operation]:
    """Return the operations on one kind of job."""
    member = jobs.make.member
    return {
        f"Create{member}": jobs.create,
        f"Describe{member}": jobs.describe,
        f"List{member}s": jobs.list,
        f"Stop{member}": jobs.stop,
        f"Delete{member}": jobs.delete,
    }


def catalogue_operations(catalogue: Catalogue | Endpoints) -> dict[str, Operation]:
    """Return the operations on models, endpoint configurations or endpoints."""
    member = catalogue.member
    return {
        f"Create{member}": catalogue.create,
        f"Describe{member}": catalogue.describe,
        f"List{member}s": catalogue.list,
        f"Delete{member}": catalogue.delete,
    }


def catalogue_kind(catalogue: Catalogue) -> cloudformation.Kind:
    """Return the CloudFormation kind of a catalogue."""

    def delete(name: str) -> None:
        catalogue.delete({f"{catalogue.member}Name": name})

    return cloudformation.Kind(catalogue.member, catalogue.create, delete, catalogue.tags, catalogue.arn)
