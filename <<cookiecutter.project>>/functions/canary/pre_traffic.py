"""Before traffic: the new endpoint is ready, large enough, captures, and answers as the evaluated model."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from . import clients, endpoints, golden_file, hook
from .examination import Examiner
from .settings import PreTraffic, read

if TYPE_CHECKING:
    from .deadline import Deadline


@dataclass(frozen=True)
class Clients:
    """What the check calls."""

    lambda_: Any
    runtime: Any
    s3: Any
    sagemaker: Any


def handler(event: dict[str, Any], context: Any) -> hook.Facts:
    """Run the hook; what is made in the check fails inside it, so that CodeDeploy is told of that too."""

    def begin(deadline: Deadline) -> hook.Facts:
        control = clients.control
        own = Clients(control("lambda"), clients.runtime(), control("s3"), control("sagemaker"))
        return check(read(PreTraffic, os.environ), own, deadline)

    return hook.run(event, context, clients.control("codedeploy"), begin)


def check(settings: PreTraffic, own: Clients, deadline: Deadline) -> hook.Facts:
    """Check the new endpoint against the old one; raise for what should stop the deployment."""
    golden = golden_file.load(own.s3, settings.golden_url)
    old = endpoints.champion(own.lambda_, settings.api_function, settings.api_alias)
    ready = endpoints.await_ready(own.sagemaker, settings.endpoint_name, deadline)
    endpoints.require_capture(ready, settings.endpoint_name)
    count = endpoints.raise_capacity(own.sagemaker, ready, old, settings.max_capacity, deadline)
    found = Examiner(own.runtime, golden, settings, deadline).examine(settings.endpoint_name, old)
    return {"endpoint": settings.endpoint_name, "instances": count, **found.facts()}
