"""The hook after traffic: the endpoint still answers as evaluated, and its requests are captured."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from . import capture, clients, golden_set, hook
from .golden_requests import send_more
from .settings import PostTrafficSettings, read
from .validation import EndpointValidator

if TYPE_CHECKING:
    from .deadline import Deadline


@dataclass(frozen=True)
class Clients:
    """The services that the check calls."""

    codedeploy: Any
    runtime: Any
    s3: Any


def handler(event: dict[str, Any], context: Any) -> hook.HookResult:
    """Run the hook."""
    codedeploy = clients.control("codedeploy")

    # Settings and clients are created within the check, so that their errors are reported to CodeDeploy too.
    def run_check(deadline: Deadline) -> hook.HookResult:
        aws = Clients(codedeploy, clients.runtime(), clients.control("s3"))
        return check(read(PostTrafficSettings, os.environ), aws, event["DeploymentId"], deadline)

    return hook.run(event, context, codedeploy, run_check)


def check(
    settings: PostTrafficSettings, aws: Clients, deployment: str, deadline: Deadline
) -> hook.HookResult:
    """Check the endpoint, and that requests since the deployment began were captured.

    Raises:
        ValidationFailedError: the deployment has to be rolled back.
        DeadlineExceededError: the time ran out, as it does when no request is captured.
        GoldenSetError: the golden requests cannot be read.
    """
    began = aws.codedeploy.get_deployment(deploymentId=deployment)["deploymentInfo"]["createTime"]
    golden = golden_set.load(aws.s3, settings.golden_url)
    validator = EndpointValidator(aws.runtime, golden, settings, deadline)
    validation = validator.validate(settings.endpoint_name, None)
    result = {"endpoint": settings.endpoint_name, **validation.as_dict()}
    if not settings.capture_percentage:
        return result | {"captured": 0}
    missing = capture.requests_needed(settings.capture_percentage) - validation.requests
    send_more(aws.runtime, settings.endpoint_name, golden, max(0, missing), deadline)
    return result | {"captured": capture.wait_for_records(aws.s3, settings.capture_url, began, deadline)}
