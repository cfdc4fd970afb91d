"""The present content of a cloud: stacks, endpoints, jobs, models, and what the pipelines do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from delivery import approval
from delivery.cloud import pages
from delivery.history.executions import list_executions

if TYPE_CHECKING:
    from delivery.cloud import Cloud

LATEST_JOBS = 10


class Fact(NamedTuple):
    """One thing that the cloud holds, with its state."""

    kind: str
    name: str
    state: str


def overview(cloud: Cloud) -> list[Fact]:
    """List pipelines, stacks, endpoints, the latest jobs and registered models with their states."""
    return [*_pipelines(cloud), *_stacks(cloud), *_endpoints(cloud), *_jobs(cloud), *_models(cloud)]


def _pipelines(cloud: Cloud) -> list[Fact]:
    names = [one["name"] for one in pages(cloud.client("codepipeline"), "list_pipelines", "pipelines")]
    return [Fact("pipeline", name, _latest(cloud, name)) for name in names]


def _latest(cloud: Cloud, pipeline: str) -> str:
    """Return the state of the latest execution, and the approval that is pending."""
    executions = list_executions(cloud, pipeline)
    pending = approval.find(cloud, pipeline)
    state = executions[0]["status"] if executions else "never run"
    return f"{state}; {pending.question}" if pending else state


def _stacks(cloud: Cloud) -> list[Fact]:
    found = pages(cloud.client("cloudformation"), "describe_stacks", "Stacks")
    return [Fact("stack", stack["StackName"], stack["StackStatus"]) for stack in found]


def _endpoints(cloud: Cloud) -> list[Fact]:
    found = pages(cloud.client("sagemaker"), "list_endpoints", "Endpoints")
    return [Fact("endpoint", each["EndpointName"], each["EndpointStatus"]) for each in found]


def _jobs(cloud: Cloud) -> list[Fact]:
    sagemaker = cloud.client("sagemaker")
    latest: dict[str, Any] = {"SortBy": "CreationTime", "SortOrder": "Descending", "MaxResults": LATEST_JOBS}
    jobs = [
        (job["CreationTime"], Fact("processing job", job["ProcessingJobName"], job["ProcessingJobStatus"]))
        for job in sagemaker.list_processing_jobs(**latest)["ProcessingJobSummaries"]
    ]
    jobs += [
        (job["CreationTime"], Fact("training job", job["TrainingJobName"], job["TrainingJobStatus"]))
        for job in sagemaker.list_training_jobs(**latest)["TrainingJobSummaries"]
    ]
    return [fact for _, fact in sorted(jobs, key=lambda job: job[0])][-LATEST_JOBS:]


def _models(cloud: Cloud) -> list[Fact]:
    versions = {"ModelPackageType": "Versioned"}  # by default SageMaker lists the packages without a group
    found = pages(cloud.client("sagemaker"), "list_model_packages", "ModelPackageSummaryList", **versions)
    named = ((f"{one['ModelPackageGroupName']}/{one['ModelPackageVersion']}", one) for one in found)
    return [Fact("model package", name, one["ModelApprovalStatus"]) for name, one in named]
