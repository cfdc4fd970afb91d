"""Errors of Service Catalog's operations."""

from __future__ import annotations

from localcloud.core.errors import ServiceError

NOT_FOUND = "ResourceNotFoundException"


def not_found(message: str) -> ServiceError:
    """Return the error of a resource that does not exist."""
    return ServiceError(NOT_FOUND, message)


def invalid_parameters(message: str) -> ServiceError:
    """Return the error of parameters that can't be used."""
    return ServiceError("InvalidParametersException", message)


def resource_in_use(message: str) -> ServiceError:
    """Return the error of a deletion of a resource that another one uses."""
    return ServiceError("ResourceInUseException", message)


def duplicate_resource(message: str) -> ServiceError:
    """Return the error of a resource that exists already."""
    return ServiceError("DuplicateResourceException", message)
