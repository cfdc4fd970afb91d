"""Training and processing jobs of SageMaker; the executions of a monitoring schedule are processing jobs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from delivery.cloud import pages
from delivery.jobs.job import FAILED, STOPPED, STOPPING, Job

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from delivery.cloud import Cloud
    from delivery.jobs.job import Known

    Json = dict[str, Any]

LARGE_PAGES = {"PageSize": 100}
OVER_ALREADY = "ValidationException"  # what Stop answers for a job that has ended, or does not exist


@dataclass(frozen=True)
class SageMakerJobs:
    """The jobs of one kind; `operation` is the noun of its operations (`training_job`)."""

    kind: str
    operation: str
    member: str
    log_group: str
    parameters: Callable[[Json], Json]
    cluster: Callable[[Json], Json]

    def all(self, cloud: Cloud, known: Known, part: str = "") -> Iterator[Job]:
        """Yield every job with the part in its name; ended ones of `known` are not described again."""
        sagemaker, named = cloud.client("sagemaker"), {"NameContains": part} if part else {}
        operation, members = f"list_{self.operation}s", f"{self.member}Summaries"
        listed = pages(sagemaker, operation, members, PaginationConfig=LARGE_PAGES, **named)
        for one in listed:
            job = known.ended(one[f"{self.member}Arn"]) or self.find(cloud, one[f"{self.member}Name"])
            if job:
                yield job

    def find(self, cloud: Cloud, name: str) -> Job | None:
        """Return a job, or None when it does not exist."""
        describe = getattr(cloud.client("sagemaker"), f"describe_{self.operation}")
        try:
            return self._job(describe(**{f"{self.member}Name": name}))
        except ClientError as error:
            if error.response["Error"]["Code"] in ("ValidationException", "ResourceNotFound"):
                return None
            raise

    def read(self, cloud: Cloud, job: Job) -> Job | None:
        """Return a job as it is now, or None when it does not exist any more."""
        return self.find(cloud, job.id)

    def stop(self, cloud: Cloud, job: Job) -> None:
        """Stop a job; nothing happens to one that has just ended."""
        stop = getattr(cloud.client("sagemaker"), f"stop_{self.operation}")
        try:
            stop(**{f"{self.member}Name": job.id})
        except ClientError as error:
            now = self.find(cloud, job.id)
            running = now is not None and not (now.is_over or now.status == STOPPING)
            if running or error.response["Error"]["Code"] != OVER_ALREADY:
                raise

    def log_streams(self, job: Job) -> tuple[str, str]:
        """Return the group of CloudWatch Logs, and the prefix of the job's streams."""
        return self.log_group, f"{job.id}/"

    def _job(self, found: Json) -> Job:
        status = found[f"{self.member}Status"]
        reason = found.get("FailureReason") or found.get("ExitMessage", "")
        return Job(
            kind="monitoring" if "MonitoringScheduleArn" in found else self.kind,
            id=found[f"{self.member}Name"],
            arn=found[f"{self.member}Arn"],
            status=status,
            started=found["CreationTime"],
            ended=found.get(self.member.replace("Job", "EndTime")),
            parameters=self.parameters(found),
            instances=self.cluster(found).get("InstanceCount", 1),
            reason=reason if status in (FAILED, STOPPED) else "",
        )


def _training_parameters(found: Json) -> Json:
    channels = {
        f"input {one['ChannelName']}": one["DataSource"].get("S3DataSource", {}).get("S3Uri", "")
        for one in found.get("InputDataConfig", [])
    }
    return {**found.get("HyperParameters", {}), **channels}


def _processing_parameters(found: Json) -> Json:
    arguments = found.get("AppSpecification", {}).get("ContainerArguments", [])
    command = {"arguments": " ".join(arguments)} if arguments else {}
    return {**command, **found.get("Environment", {})}


TRAINING = SageMakerJobs(
    "training",
    "training_job",
    "TrainingJob",
    "/aws/sagemaker/TrainingJobs",
    _training_parameters,
    lambda found: found.get("ResourceConfig", {}),
)
PROCESSING = SageMakerJobs(
    "processing",
    "processing_job",
    "ProcessingJob",
    "/aws/sagemaker/ProcessingJobs",
    _processing_parameters,
    lambda found: found.get("ProcessingResources", {}).get("ClusterConfig", {}),
)
