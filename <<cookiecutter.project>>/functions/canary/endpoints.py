"""The new endpoint made ready, and the endpoint that serves until it takes over."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from .examination import UnfitError

if TYPE_CHECKING:
    from .deadline import Deadline

POLL_SECONDS = 2.0
READY, ON_ITS_WAY = "InService", ("Creating", "Updating", "SystemUpdating")


def champion(lambda_: Any, function: str, alias: str) -> str | None:
    """Give the endpoint of the version that the alias names, or None when there is no such version."""
    try:
        version = lambda_.get_alias(FunctionName=function, Name=alias)["FunctionVersion"]
        found = lambda_.get_function_configuration(FunctionName=function, Qualifier=version)
    except ClientError as error:
        if error.response["Error"]["Code"] == "ResourceNotFoundException":
            return None
        raise
    name = found.get("Environment", {}).get("Variables", {}).get("ENDPOINT_NAME")
    return str(name) if name else None


def await_ready(sagemaker: Any, endpoint: str, deadline: Deadline) -> dict[str, Any]:
    """Wait until the endpoint is in service and describe it."""
    while True:
        found: dict[str, Any] = sagemaker.describe_endpoint(EndpointName=endpoint)
        if found["EndpointStatus"] == READY:
            return found
        told = f"{endpoint} is {found['EndpointStatus']}, not {READY}."
        if found["EndpointStatus"] not in ON_ITS_WAY:
            raise UnfitError(f"{told} {found.get('FailureReason', '')}".strip())
        deadline.pause(POLL_SECONDS, told)


def require_capture(description: dict[str, Any], endpoint: str) -> None:
    """Refuse an endpoint that keeps no record of its requests."""
    capture = description.get("DataCaptureConfig") or {}
    if not capture.get("EnableCapture") or capture.get("CaptureStatus") != "Started":
        raise UnfitError(f"{endpoint} does not capture its requests, so nobody could watch its data.")


def instances(description: dict[str, Any]) -> int:
    """Count the instances of the endpoint's one variant."""
    (variant,) = description["ProductionVariants"]
    return int(variant.get("CurrentInstanceCount", 0))


def raise_capacity(
    sagemaker: Any, description: dict[str, Any], old: str | None, most: int, deadline: Deadline
) -> int:
    """Give the new endpoint as many instances as the old one has now, at most so many; give their number.

    The new one starts with its initial number, and its scaling only follows a load that would already hurt.
    """
    new, present = description["EndpointName"], instances(description)
    wanted = min(_instances_of(sagemaker, old), most) if old and old != new else present
    if wanted <= present:
        return present
    (variant,) = description["ProductionVariants"]
    change = {"VariantName": variant["VariantName"], "DesiredInstanceCount": wanted}
    sagemaker.update_endpoint_weights_and_capacities(EndpointName=new, DesiredWeightsAndCapacities=[change])
    while present < wanted:
        deadline.pause(POLL_SECONDS, f"{new} has {present} of {wanted} instances.")
        present = instances(await_ready(sagemaker, new, deadline))
    return present


def _instances_of(sagemaker: Any, endpoint: str) -> int:
    try:
        return instances(sagemaker.describe_endpoint(EndpointName=endpoint))
    except ClientError as error:
        if error.response["Error"]["Code"] == "ValidationException":  # there is no such endpoint
            return 0
        raise
