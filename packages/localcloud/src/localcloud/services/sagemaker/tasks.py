"""State-machine tasks that run a job to its end: `sagemaker:create…Job.sync`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from localcloud.core.errors import ServiceError, TaskError
from localcloud.services.sagemaker.jobs import milliseconds
from localcloud.services.stepfunctions.executions import ended

if TYPE_CHECKING:
    from collections.abc import Callable

    from localcloud.core.service import Json, Task, Waiting
    from localcloud.services.sagemaker.jobs import Jobs

# Step Functions calls SageMaker by version 1 of the Java SDK, which has these names.
ERRORS = ("ResourceInUse", "ResourceLimitExceeded", "ResourceNotFound")
POLL_SECONDS = 0.1


def run_job(jobs: Jobs, create: Callable[[Json], Json]) -> Task:
    """Return the task that creates a job and waits for its end, or stops it when the task is abandoned."""
    member = jobs.job_class.member

    def run(request: Json, waiting: Waiting) -> Json:
        try:
            create(request)
        except ServiceError as error:
            raise TaskError(_error_name(error), error.message) from None
        job = jobs.find(request)
        while not job.finished.wait(POLL_SECONDS):
            if waiting.abandoned():
                job.stop()
                raise ended()
        description: Json = milliseconds(job.describe())
        if description[f"{member}Status"] != "Completed":
            raise TaskError("States.TaskFailed", json.dumps(description))
        return description

    return run


def _error_name(error: ServiceError) -> str:
    """Return the name under which a state machine catches an error of the API."""
    modelled = f"{error.code}Exception" if error.code in ERRORS else "AmazonSageMakerException"
    return f"SageMaker.{modelled}"
