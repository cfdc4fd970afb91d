"""The action StepFunctions: a state machine runs to its end."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from localcloud.core import archives
from localcloud.services.codepipeline.errors import AbandonedError, configuration_error, job_failed

if TYPE_CHECKING:
    from localcloud.services.codepipeline.action_context import ActionContext


def run(context: ActionContext) -> dict[str, str]:
    """Start the state machine and wait for its end.

    Raises:
        AbandonedError: the execution was abandoned.
        ActionError: the state machine could not be started, or it failed.
    """
    steps = context.client("stepfunctions")
    machine = context.configuration["StateMachineArn"]
    try:
        started = steps.start_execution(
            stateMachineArn=machine, name=_execution_name(context), input=_input(context)
        )
    except ClientError as error:
        raise configuration_error(str(error.response["Error"]["Message"])) from None
    context.run.external_id = execution = started["executionArn"]
    description: dict[str, Any] = {}

    def is_over() -> bool:
        description.update(steps.describe_execution(executionArn=execution))
        return bool(description["status"] != "RUNNING")

    try:
        context.wait(is_over)
    except AbandonedError:
        with suppress(ClientError):  # the state machine may have ended meanwhile
            steps.stop_execution(executionArn=execution, cause="The pipeline's execution was abandoned.")
        raise
    if description["status"] != "SUCCEEDED":
        cause = ": ".join(filter(None, (description.get("error"), description.get("cause"))))
        raise job_failed(f"State machine execution ended as {description['status']}: {cause or 'no cause'}")
    for artifact in context.action.outputs:
        context.artifacts.put(artifact, archives.pack_text("output.json", description.get("output", "{}")))
    return {"StateMachineArn": machine, "ExecutionArn": execution}


def _execution_name(context: ActionContext) -> str:
    """Return the execution's name: the prefix, if the action has one, and the action execution's id."""
    prefix = context.configuration.get("ExecutionNamePrefix")
    return f"{prefix}-{context.run.id}" if prefix else context.run.id


def _input(context: ActionContext) -> str:
    """Return the input: a literal text, or a file of the input artifact."""
    text = context.configuration.get("Input", "{}")
    if context.configuration.get("InputType", "Literal") == "FilePath":
        if len(context.action.inputs) != 1:
            raise configuration_error("InputType FilePath takes one input artifact")
        text = context.artifacts.read(f"{context.action.inputs[0]}::{text}")
    try:
        json.loads(text)
    except ValueError:
        raise configuration_error(f"The state machine's input is not JSON: {text[:200]}") from None
    return text
