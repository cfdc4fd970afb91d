"""Errors of CodeDeploy's operations."""

from __future__ import annotations

from localcloud.core.errors import ServiceError


def application_not_found(name: str) -> ServiceError:
    """Return the error of an application that does not exist."""
    return ServiceError("ApplicationDoesNotExistException", f"No application found for name: {name}")


def application_already_exists(name: str) -> ServiceError:
    """Return the error of a new application under the name of another."""
    return ServiceError("ApplicationAlreadyExistsException", f"Application already exists: {name}")


def group_not_found(name: str) -> ServiceError:
    """Return the error of a deployment group that the application does not have."""
    message = f"No Deployment Group found for name: {name}"
    return ServiceError("DeploymentGroupDoesNotExistException", message)


def configuration_not_found(name: str) -> ServiceError:
    """Return the error of a deployment configuration that CodeDeploy does not have for Lambda."""
    message = f"No Deployment Configuration found for name: {name}"
    return ServiceError("DeploymentConfigDoesNotExistException", message)


def deployment_not_found(identifier: str) -> ServiceError:
    """Return the error of a deployment that does not exist."""
    message = f"The deployment {identifier} could not be found"
    return ServiceError("DeploymentDoesNotExistException", message)


def deployment_already_completed(identifier: str) -> ServiceError:
    """Return the error of a stop of a deployment that has ended."""
    return ServiceError("DeploymentAlreadyCompletedException", f"The deployment {identifier} is over.")


def target_not_found() -> ServiceError:
    """Return the error of a target that the deployment does not have."""
    return ServiceError("DeploymentTargetDoesNotExistException", "The target could not be found.")


def hook_not_found(identifier: str) -> ServiceError:
    """Return the error of a status for a hook that the deployment does not wait for."""
    message = f"No hook has the execution id {identifier}."
    return ServiceError("InvalidLifecycleEventHookExecutionIdException", message)


def invalid_hook_status() -> ServiceError:
    """Return the error of a hook's status that does not end the hook."""
    message = "The status is Succeeded or Failed."
    return ServiceError("InvalidLifecycleEventHookExecutionStatusException", message)


def event_already_completed() -> ServiceError:
    """Return the error of a second status for a hook."""
    message = "The lifecycle event is already completed."
    return ServiceError("LifecycleEventAlreadyCompletedException", message)
