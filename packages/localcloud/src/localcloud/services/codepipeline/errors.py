"""Errors of CodePipeline: of its operations, and of an action that fails."""

from __future__ import annotations

from localcloud.core import account
from localcloud.core.errors import ServiceError


class ActionError(Exception):
    """Fails an action with AWS's code and a message for a person."""

    def __init__(self, code: str, message: str) -> None:
        """Keep the code and the message."""
        super().__init__(message)
        self.code, self.message = code, message


class AbandonedError(Exception):
    """Ends an action whose execution was abandoned."""


def configuration_error(message: str) -> ActionError:
    """Return the error of an action that can't run as it is configured."""
    return ActionError("ConfigurationError", message)


def job_failed(message: str) -> ActionError:
    """Return the error of an action whose build, stack or state machine failed."""
    return ActionError("JobFailed", message)


def invalid_structure(message: str) -> ServiceError:
    """Return the error of a pipeline whose stages and actions do not fit together."""
    return ServiceError("InvalidStructureException", message)


def invalid_action(message: str) -> ServiceError:
    """Return the error of an action that is declared wrong, or that the local cloud can't run."""
    return ServiceError("InvalidActionDeclarationException", message)


def invalid_token(message: str) -> ServiceError:
    """Return the error of a page token that no list has given."""
    return ServiceError("InvalidNextTokenException", message)


def pipeline_not_found(name: str) -> ServiceError:
    """Return the error of a pipeline that does not exist."""
    message = f"Account '{account.ACCOUNT}' does not have a pipeline with name '{name}'"
    return ServiceError("PipelineNotFoundException", message)


def pipeline_name_in_use(name: str) -> ServiceError:
    """Return the error of a new pipeline under the name of another."""
    return ServiceError("PipelineNameInUseException", f"A pipeline with the name '{name}' already exists")


def stage_not_found(message: str) -> ServiceError:
    """Return the error of a stage that the pipeline does not have."""
    return ServiceError("StageNotFoundException", message)


def action_not_found(name: str) -> ServiceError:
    """Return the error of an action that the stage does not have."""
    return ServiceError("ActionNotFoundException", f"Action not found: {name}")


def execution_not_found(execution_id: str) -> ServiceError:
    """Return the error of an execution that the pipeline does not have."""
    return ServiceError("PipelineExecutionNotFoundException", f"Pipeline execution not found: {execution_id}")


def execution_not_stoppable(message: str) -> ServiceError:
    """Return the error of a stop of an execution that has ended."""
    return ServiceError("PipelineExecutionNotStoppableException", message)


def duplicated_stop_request(execution_id: str) -> ServiceError:
    """Return the error of a second stop of an execution."""
    return ServiceError("DuplicatedStopRequestException", f"{execution_id} is stopping already")


def too_many_executions(message: str) -> ServiceError:
    """Return the error of a start beside the most executions that a pipeline may have."""
    return ServiceError("ConcurrentPipelineExecutionsLimitExceededException", message)


def invalid_approval_token() -> ServiceError:
    """Return the error of a token that is not the token of the waiting approval."""
    return ServiceError("InvalidApprovalTokenException", "The token is not that of the approval that waits")


def approval_already_completed() -> ServiceError:
    """Return the error of a second answer to an approval."""
    return ServiceError("ApprovalAlreadyCompletedException", "The approval was answered already")
