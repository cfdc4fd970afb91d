"""The end of what an interrupted notebook has started, by the record of its calls."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from delivery import model_endpoints, notebook_calls
from delivery.cloud import UNREACHABLE
from delivery.jobs.kinds import Jobs

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from delivery.cloud import Cloud

ANSWER_SECONDS = 10.0
POLL_SECONDS = 0.05
KINDS = {
    "CreateTrainingJob": "training",
    "CreateProcessingJob": "processing",
    "StartBuild": "build",
    "StartExecution": "state machine",
    "StartPipelineExecution": "pipeline",
}


@dataclass(frozen=True)
class Call:
    """A call that starts or creates something; one that was refused has no name."""

    operation: str
    name: str | None
    answered: bool


def read_calls(folder: Path) -> list[Call]:
    """Return the calls that a notebook has recorded in a folder."""
    path = folder / notebook_calls.CALLS
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    found = {one["call"]: one for one in map(json.loads, lines)}
    return [Call(one["operation"], one["name"], one["answered"]) for one in found.values()]


def end_calls(folder: Path) -> None:
    """Let the notebook send no further call, and wait for the answers to those that are under way."""
    (folder / notebook_calls.ENDED).touch()
    deadline = time.monotonic() + ANSWER_SECONDS
    while time.monotonic() < deadline and not all(call.answered for call in read_calls(folder)):
        time.sleep(POLL_SECONDS)


def end_started(cloud: Cloud, calls: list[Call]) -> Iterator[str]:
    """End the jobs and endpoints that calls have started; yield a sentence on each."""
    if unanswered := [call.operation for call in calls if not call.answered]:
        yield (
            f"Interrupted: the notebook had no answer yet to {', '.join(unanswered)}. What these requests "
            "start may run on: 'python -m local jobs' lists it, and 'stop' ends it."
        )
    try:
        yield from _stop_jobs(cloud, calls)
        yield from _delete_endpoints(cloud, calls)
    except UNREACHABLE:
        yield "The local cloud has ended, and what the notebook started with it."


def _stop_jobs(cloud: Cloud, calls: list[Call]) -> Iterator[str]:
    started = {(KINDS[call.operation], call.name) for call in calls if call.operation in KINDS and call.name}
    if not started:
        return
    jobs = Jobs(cloud)
    for job in jobs.all():
        if not job.is_over and any((job.kind, name) in started for name in job.names):
            ended = jobs.stop(job)
            yield f"Interrupted: the {ended.kind} {ended.id} of the notebook is {ended.status}."


def _delete_endpoints(cloud: Cloud, calls: list[Call]) -> Iterator[str]:
    sagemaker = cloud.client("sagemaker")

    def names(operation: str) -> list[str]:
        return [call.name for call in calls if call.operation == operation and call.name]

    for name in names("CreateEndpoint"):
        with model_endpoints.ignoring_missing():
            sagemaker.describe_endpoint(EndpointName=name)
            model_endpoints.delete_endpoint(cloud, name)
            yield f"Interrupted: the endpoint {name} of the notebook is deleted."
    for name in names("CreateEndpointConfig"):
        with model_endpoints.ignoring_missing():
            sagemaker.delete_endpoint_config(EndpointConfigName=name)
    for name in names("CreateModel"):
        with model_endpoints.ignoring_missing():
            sagemaker.delete_model(ModelName=name)
