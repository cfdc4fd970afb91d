"""The hook before traffic: the endpoint is ready, has capacity, captures, and answers as evaluated."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from . import clients, endpoints, golden_set, hook
from .settings import PreTrafficSettings, read
from .validation import EndpointValidator

if TYPE_CHECKING:
    from .deadline import Deadline


@dataclass(frozen=True)
class Clients:
    """The services that the check calls."""

    lambda_: Any
    runtime: Any
    s3: Any
    sagemaker: Any


def handler(event: dict[str, Any], context: Any) -> hook.HookResult:
    """Run the hook."""

    # Settings and clients are created within the check, so that their errors are reported to CodeDeploy too.
    def run_check(deadline: Deadline) -> hook.HookResult:
        control = clients.control
        aws = Clients(control("lambda"), clients.runtime(), control("s3"), control("sagemaker"))
        return check(read(PreTrafficSettings, os.environ), aws, deadline)

    return hook.run(event, context, clients.control("codedeploy"), run_check)


def check(settings: PreTrafficSettings, aws: Clients, deadline: Deadline) -> hook.HookResult:
    """Check the new endpoint and compare it with the champion's.

    Raises:
        ValidationFailedError: the endpoint must not get traffic.
        DeadlineExceededError: the time ran out.
        GoldenSetError: the golden requests cannot be read.
    """
    golden = golden_set.load(aws.s3, settings.golden_url)
    champion = endpoints.champion_endpoint(aws.lambda_, settings.api_function, settings.api_alias)
    description = endpoints.wait_until_in_service(aws.sagemaker, settings.endpoint_name, deadline)
    endpoints.require_capture(description, settings.endpoint_name)
    count = endpoints.match_capacity(aws.sagemaker, description, champion, settings.max_capacity, deadline)
    validator = EndpointValidator(aws.runtime, golden, settings, deadline)
    result = validator.validate(settings.endpoint_name, champion)
    return {"endpoint": settings.endpoint_name, "instances": count, **result.as_dict()}
