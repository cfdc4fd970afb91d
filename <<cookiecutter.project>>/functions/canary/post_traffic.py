"""After traffic: the endpoint still answers as the evaluated model did, and its requests are captured."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from . import capture, clients, golden_file, hook
from .asking import repeat
from .examination import Examiner
from .settings import PostTraffic, read

if TYPE_CHECKING:
    from .deadline import Deadline


@dataclass(frozen=True)
class Clients:
    """What the check calls."""

    codedeploy: Any
    runtime: Any
    s3: Any


def handler(event: dict[str, Any], context: Any) -> hook.Facts:
    """Run the hook; what is made in the check fails inside it, so that CodeDeploy is told of that too."""
    codedeploy = clients.control("codedeploy")

    def begin(deadline: Deadline) -> hook.Facts:
        own = Clients(codedeploy, clients.runtime(), clients.control("s3"))
        return check(read(PostTraffic, os.environ), own, event["DeploymentId"], deadline)

    return hook.run(event, context, codedeploy, begin)


def check(settings: PostTraffic, own: Clients, deployment: str, deadline: Deadline) -> hook.Facts:
    """Check the endpoint and what it captured since the deployment began; raise for what should undo it."""
    began = own.codedeploy.get_deployment(deploymentId=deployment)["deploymentInfo"]["createTime"]
    golden = golden_file.load(own.s3, settings.golden_url)
    found = Examiner(own.runtime, golden, settings, deadline).examine(settings.endpoint_name, None)
    facts = {"endpoint": settings.endpoint_name, **found.facts()}
    if not settings.capture_percentage:
        return facts | {"captured": 0}
    more = capture.requests_needed(settings.capture_percentage) - found.requests
    repeat(own.runtime, settings.endpoint_name, golden, max(0, more), deadline)
    return facts | {"captured": capture.await_records(own.s3, settings.capture_url, began, deadline)}
