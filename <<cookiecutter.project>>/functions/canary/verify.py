"""Verification as a step of the pipeline: golden requests to an endpoint that no hook has checked."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

from . import clients, endpoints, golden_set, hook
from .deadline import Deadline
from .settings import Limits, read
from .validation import EndpointValidator


@dataclass(frozen=True)
class VerificationRequest:
    """The input of the function; the champion is the endpoint that serves production, if one does."""

    endpoint_name: str
    golden_url: str
    champion: str | None

    @classmethod
    def read(cls, event: dict[str, Any]) -> VerificationRequest:
        """Read the payload of the state machine's task."""
        return cls(event["EndpointName"], event["GoldenUrl"], event.get("Champion"))


@dataclass(frozen=True)
class Clients:
    """The services that the check calls."""

    runtime: Any
    s3: Any
    sagemaker: Any


def handler(event: dict[str, Any], context: Any) -> hook.HookResult:
    """Verify the endpoint; an error fails the state machine's task."""
    aws = Clients(clients.runtime(), clients.control("s3"), clients.control("sagemaker"))
    deadline = Deadline.before_end(context, spare=10.0, share=0.2)
    result = check(VerificationRequest.read(event), read(Limits, os.environ), aws, deadline)
    hook.log("Examined", result)
    return result


def check(request: VerificationRequest, limits: Limits, aws: Clients, deadline: Deadline) -> hook.HookResult:
    """Check the endpoint and compare it with the champion's.

    Raises:
        ValidationFailedError: the pipeline has to stop.
        DeadlineExceededError: the time ran out.
        GoldenSetError: the golden requests cannot be read.
    """
    golden = golden_set.load(aws.s3, request.golden_url)
    endpoints.wait_until_in_service(aws.sagemaker, request.endpoint_name, deadline)
    validator = EndpointValidator(aws.runtime, golden, limits, deadline)
    result = validator.validate(request.endpoint_name, request.champion)
    return {"endpoint": request.endpoint_name, **result.as_dict()}
