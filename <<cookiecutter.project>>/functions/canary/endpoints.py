"""The new endpoint made ready for traffic, and the endpoint that serves until it takes over."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from .validation import ValidationFailedError

if TYPE_CHECKING:
    from .deadline import Deadline

POLL_SECONDS = 2.0
IN_SERVICE, IN_TRANSITION = "InService", ("Creating", "Updating", "SystemUpdating")


def champion_endpoint(lambda_: Any, function: str, alias: str) -> str | None:
    """Return the name of the endpoint behind the alias's version, or None if that version does not exist."""
    try:
        version = lambda_.get_alias(FunctionName=function, Name=alias)["FunctionVersion"]
        configuration = lambda_.get_function_configuration(FunctionName=function, Qualifier=version)
    except ClientError as error:
        if error.response["Error"]["Code"] == "ResourceNotFoundException":
            return None
        raise
    name = configuration.get("Environment", {}).get("Variables", {}).get("ENDPOINT_NAME")
    return str(name) if name else None


def wait_until_in_service(sagemaker: Any, endpoint: str, deadline: Deadline) -> dict[str, Any]:
    """Wait until the endpoint is in service, and return its description.

    Raises:
        ValidationFailedError: the endpoint has a status that does not lead to InService.
        DeadlineExceededError: the time ran out first.
    """
    while True:
        description: dict[str, Any] = sagemaker.describe_endpoint(EndpointName=endpoint)
        status = description["EndpointStatus"]
        if status == IN_SERVICE:
            return description
        message = f"{endpoint} is {status}, not {IN_SERVICE}."
        if status not in IN_TRANSITION:
            raise ValidationFailedError(f"{message} {description.get('FailureReason', '')}".strip())
        deadline.pause(POLL_SECONDS, message)


def require_capture(description: dict[str, Any], endpoint: str) -> None:
    """Check that the endpoint captures its requests.

    Raises:
        ValidationFailedError: data capture is off or has not started.
    """
    capture = description.get("DataCaptureConfig") or {}
    if not capture.get("EnableCapture") or capture.get("CaptureStatus") != "Started":
        message = f"{endpoint} does not capture its requests, so nobody could watch its data."
        raise ValidationFailedError(message)


def instance_count(description: dict[str, Any]) -> int:
    """Return the current instance count of the endpoint's one variant."""
    (variant,) = description["ProductionVariants"]
    return int(variant.get("CurrentInstanceCount", 0))


def match_capacity(
    sagemaker: Any, description: dict[str, Any], champion: str | None, limit: int, deadline: Deadline
) -> int:
    """Scale the new endpoint to the champion's current instance count, at most `limit`, and return its own.

    A new endpoint has its initial instance count, and auto scaling reacts only after the full traffic has
    overloaded it.

    Raises:
        ValidationFailedError: the endpoint does not return to service.
        DeadlineExceededError: the time ran out before the instances were there.
    """
    endpoint, current = description["EndpointName"], instance_count(description)
    if champion is None or champion == endpoint:
        return current
    desired = min(_instance_count_of(sagemaker, champion), limit)
    if desired <= current:
        return current
    (variant,) = description["ProductionVariants"]
    change = {"VariantName": variant["VariantName"], "DesiredInstanceCount": desired}
    sagemaker.update_endpoint_weights_and_capacities(
        EndpointName=endpoint, DesiredWeightsAndCapacities=[change]
    )
    while current < desired:
        deadline.pause(POLL_SECONDS, f"{endpoint} has {current} of {desired} instances.")
        current = instance_count(wait_until_in_service(sagemaker, endpoint, deadline))
    return current


def _instance_count_of(sagemaker: Any, endpoint: str) -> int:
    try:
        return instance_count(sagemaker.describe_endpoint(EndpointName=endpoint))
    except ClientError as error:
        if error.response["Error"]["Code"] == "ValidationException":  # the endpoint does not exist
            return 0
        raise
