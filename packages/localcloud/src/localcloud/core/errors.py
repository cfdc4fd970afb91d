"""What AWS answers when it refuses, and what keeps the cloud from running."""

from __future__ import annotations


class CloudError(Exception):
    """The local cloud can't be started, or didn't end."""


class ServiceError(Exception):
    """A refusal with AWS's own error code."""

    def __init__(self, code: str, message: str, status: int = 400, **fields: object) -> None:
        """Keep the code, the message and further members of the error's shape."""
        super().__init__(message)
        self.code, self.message, self.status, self.fields = code, message, status, fields


def validation_error(message: str) -> ServiceError:
    """Return SageMaker's answer to what it finds wrong, or doesn't find."""
    return ServiceError("ValidationException", message)


class TaskError(Exception):
    """Fails a state machine's task with an error name and a cause."""

    def __init__(self, error: str, cause: str) -> None:
        """Keep what `Catch` and `Retry` look at."""
        super().__init__(error, cause)
        self.error, self.cause = error, cause


class ResourceError(Exception):
    """A resource can't be made; the text becomes the reason in the stack's events."""
