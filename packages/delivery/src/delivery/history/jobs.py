"""Training and processing jobs of an execution."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from delivery.history.record import Record, seconds_since

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from delivery.cloud import Cloud

STATUS = {"Completed": "Succeeded", "InProgress": "InProgress", "Stopping": "InProgress"}


def job_records(cloud: Cloud, execution_name: str) -> list[Record]:
    """Read the execution's training and processing jobs, in the order in which they began."""
    sagemaker = cloud.client("sagemaker")
    jobs = [*_processing_jobs(sagemaker, execution_name), *_training_jobs(sagemaker, execution_name)]
    return [record for _, record in sorted(jobs, key=lambda job: job[0])]


def _processing_jobs(sagemaker: Any, execution_name: str) -> Iterator[tuple[datetime, Record]]:
    found = sagemaker.list_processing_jobs(NameContains=execution_name)["ProcessingJobSummaries"]
    for name in (summary["ProcessingJobName"] for summary in found):
        job = sagemaker.describe_processing_job(ProcessingJobName=name)
        reason = job.get("FailureReason") or job.get("ExitMessage", "")
        yield _job_record(name, job, job["ProcessingJobStatus"], job.get("ProcessingEndTime"), reason)


def _training_jobs(sagemaker: Any, execution_name: str) -> Iterator[tuple[datetime, Record]]:
    found = sagemaker.list_training_jobs(NameContains=execution_name)["TrainingJobSummaries"]
    for name in (summary["TrainingJobName"] for summary in found):
        job = sagemaker.describe_training_job(TrainingJobName=name)
        yield _job_record(
            name, job, job["TrainingJobStatus"], job.get("TrainingEndTime"), job.get("FailureReason", "")
        )


def _job_record(
    name: str, job: dict[str, Any], job_status: str, ended: datetime | None, reason: str
) -> tuple[datetime, Record]:
    began = job["CreationTime"]
    status = STATUS.get(job_status, job_status)
    seconds = (ended - began).total_seconds() if ended else seconds_since(began)
    failed = reason if status in ("Failed", "Stopped") else ""
    return began, Record(name, status, seconds, failed, _job_log(name, job))


def _job_log(name: str, job: dict[str, Any]) -> str:
    """Name the log of a job, or the folder with those of its instances, from the project's folder."""
    cluster = job.get("ResourceConfig") or job["ProcessingResources"]["ClusterConfig"]
    folder = f".local/logs/jobs/{name}"
    return folder if cluster["InstanceCount"] > 1 else f"{folder}/algo-1.log"
