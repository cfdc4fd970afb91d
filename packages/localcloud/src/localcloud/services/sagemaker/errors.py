"""Errors of SageMaker's operations, beside the ValidationException that most of them raise."""

from __future__ import annotations

from http import HTTPStatus

from localcloud.core.errors import ServiceError


def conflict(message: str) -> ServiceError:
    """Return the error of a change that the state of a resource does not allow."""
    return ServiceError("ConflictException", message)


def resource_in_use(message: str) -> ServiceError:
    """Return the error of a name that another resource has."""
    return ServiceError("ResourceInUse", message)


def resource_limit_exceeded(message: str) -> ServiceError:
    """Return the error of more instances than may run."""
    return ServiceError("ResourceLimitExceeded", message)


def resource_not_found(message: str) -> ServiceError:
    """Return the error of a resource that does not exist."""
    return ServiceError("ResourceNotFound", message)


def invalid_invocation(message: str) -> ServiceError:
    """Return the error of an invocation that the runtime does not pass on to a container."""
    return ServiceError("ValidationError", message)


def model_error(message: str, status: int, text: str, log_stream: str) -> ServiceError:
    """Return the error of a container, with the original status and message."""
    return ServiceError(
        "ModelError",
        message,
        HTTPStatus.FAILED_DEPENDENCY,
        OriginalStatusCode=status,
        OriginalMessage=text,
        LogStreamArn=log_stream,
    )
