"""Golden requests as a step of the delivery pipeline, to an endpoint that no canary guards."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

from . import clients, endpoints, golden_file, hook
from .deadline import Deadline
from .examination import Examiner
from .settings import Limits, read


@dataclass(frozen=True)
class Task:
    """What the state machine asks for; the champion is the endpoint that serves production, if any."""

    endpoint_name: str
    golden_url: str
    champion: str | None

    @classmethod
    def read(cls, event: dict[str, Any]) -> Task:
        """Read the task's payload."""
        return cls(event["EndpointName"], event["GoldenUrl"], event.get("Champion"))


@dataclass(frozen=True)
class Clients:
    """What the check calls."""

    runtime: Any
    s3: Any
    sagemaker: Any


def handler(event: dict[str, Any], context: Any) -> hook.Facts:
    """Examine the endpoint; an UnfitError fails the step."""
    own = Clients(clients.runtime(), clients.control("s3"), clients.control("sagemaker"))
    deadline = Deadline.before_end(context, spare=10.0, share=0.2)
    facts = check(Task.read(event), read(Limits, os.environ), own, deadline)
    hook.log("Examined", facts)
    return facts


def check(task: Task, limits: Limits, own: Clients, deadline: Deadline) -> hook.Facts:
    """Examine the endpoint against the champion; raise for what should stop the pipeline."""
    golden = golden_file.load(own.s3, task.golden_url)
    endpoints.await_ready(own.sagemaker, task.endpoint_name, deadline)
    found = Examiner(own.runtime, golden, limits, deadline).examine(task.endpoint_name, task.champion)
    return {"endpoint": task.endpoint_name, **found.facts()}
