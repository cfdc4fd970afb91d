"""Errors: AWS's refusals of requests, failures of tasks and resources, and a cloud that can't run."""

from __future__ import annotations


class CloudError(Exception):
    """The local cloud can't be started, found or stopped."""


class ServiceError(Exception):
    """A refusal with AWS's own error code."""

    def __init__(self, code: str, message: str, status: int = 400, **fields: object) -> None:
        """Keep the code, the message and further members of the error's shape."""
        super().__init__(message)
        self.code, self.message, self.status, self.fields = code, message, status, fields


def validation_error(message: str) -> ServiceError:
    """Return SageMaker's refusal of a wrong request, or of one that names a resource which does not exist."""
    return ServiceError("ValidationException", message)


class TaskError(Exception):
    """Fails a state machine's task with an error name and a cause."""

    def __init__(self, error: str, cause: str) -> None:
        """Keep the name that `Catch` and `Retry` compare, and the cause."""
        super().__init__(error, cause)
        self.error, self.cause = error, cause


class ResourceError(Exception):
    """A resource can't be made; the text becomes the reason in the stack's events."""
