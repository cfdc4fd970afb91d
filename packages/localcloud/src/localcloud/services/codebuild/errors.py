"""Errors of CodeBuild: of its operations, of a buildspec, and of a build's phase."""

from __future__ import annotations

from localcloud.core.errors import ServiceError


class BuildspecError(Exception):
    """The buildspec can't be used; the text says why."""


class PhaseError(Exception):
    """A phase fails, with the code and the message of its context."""

    def __init__(self, code: str, message: str) -> None:
        """Keep the code and the message."""
        super().__init__(f"{code}: {message}")
        self.code, self.message = code, message


def client_error(message: str) -> PhaseError:
    """Return the error of a phase that could not be done as the project or the buildspec says."""
    return PhaseError("CLIENT_ERROR", message)


def internal_error(message: str) -> PhaseError:
    """Return the error of a phase that failed on this machine."""
    return PhaseError("INTERNAL_SERVICE_ERROR", message)


def invalid_input(message: str) -> ServiceError:
    """Return the error of a request that the local cloud can't follow."""
    return ServiceError("InvalidInputException", message)


def already_exists(message: str) -> ServiceError:
    """Return the error of a name that is in use."""
    return ServiceError("ResourceAlreadyExistsException", message)


def not_found(message: str) -> ServiceError:
    """Return the error of a project or a build that does not exist."""
    return ServiceError("ResourceNotFoundException", message)
