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

# Step Functions calls SageMaker by the first Java SDK, and so has its names.
ERRORS = ("ResourceInUse", "ResourceLimitExceeded", "ResourceNotFound")
LOOK_EVERY = 0.1


def sync(jobs: Jobs, create: Callable[[Json], Json]) -> Task:
    """Return the task that creates a job and waits for it, or stops it when nobody waits for the task."""
    member = jobs.make.member

    def run(request: Json, waiting: Waiting) -> Json:
        try:
            create(request)
        except ServiceError as error:
            raise TaskError(error_name(error), error.message) from None
        job = jobs.find(request)
        while not job.over.wait(LOOK_EVERY):
            if waiting.abandoned():
                job.stop()
                raise ended()
        described: Json = milliseconds(job.describe())
        if described[f"{member}Status"] != "Completed":
            raise TaskError("States.TaskFailed", json.dumps(described))
        return described

    return run


def error_name(error: ServiceError) -> str:
    """Return the name under which a state machine catches an error of the API."""
    modelled = f"{error.code}Exception" if error.code in ERRORS else "AmazonSageMakerException"
    return f"SageMaker.{modelled}"
