"""Errors of Application Auto Scaling's operations."""

from __future__ import annotations

from localcloud.core.errors import ServiceError

NOT_FOUND = "ObjectNotFoundException"


def not_found(message: str) -> ServiceError:
    """Return the error of a scalable target or a policy that does not exist."""
    return ServiceError(NOT_FOUND, message)
