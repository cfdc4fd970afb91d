"""An execution of a state machine."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from localcloud.core import archives
from localcloud.services.codepipeline.errors import AbandonedError, ActionError

if TYPE_CHECKING:
    from localcloud.services.codepipeline.action_context import Work


def run(work: Work) -> dict[str, str]:
    """Start the state machine and wait for its end."""
    steps = work.client("stepfunctions")
    machine = work.configuration["StateMachineArn"]
    try:
        execution = steps.start_execution(stateMachineArn=machine, name=name(work), input=given(work))[
            "executionArn"
        ]
    except ClientError as error:
        raise ActionError("ConfigurationError", str(error.response["Error"]["Message"])) from None
    work.run.external_id = execution
    seen: dict[str, Any] = {}

    def over() -> bool:
        seen.update(steps.describe_execution(executionArn=execution))
        return bool(seen["status"] != "RUNNING")

    try:
        work.wait(over)
    except AbandonedError:
        with suppress(ClientError):  # of an execution that has ended meanwhile
            steps.stop_execution(executionArn=execution, cause="The pipeline's execution was abandoned.")
        raise
    if seen["status"] != "SUCCEEDED":
        said = ": ".join(filter(None, (seen.get("error"), seen.get("cause"))))
        raise ActionError(
            "JobFailed", f"State machine execution ended as {seen['status']}: {said or 'no cause'}"
        )
    for artifact in work.action.outputs:
        work.artifacts.put(artifact, archives.packed_text("output.json", seen.get("output", "{}")))
    return {"StateMachineArn": machine, "ExecutionArn": execution}


def name(work: Work) -> str:
    """Return the execution's name: the action execution's id, after a prefix if one is given."""
    prefix = work.configuration.get("ExecutionNamePrefix")
    return f"{prefix}-{work.run.id}" if prefix else work.run.id


def given(work: Work) -> str:
    """Return the input: a text, or a file of the input artifact."""
    text = work.configuration.get("Input", "{}")
    if work.configuration.get("InputType", "Literal") == "FilePath":
        if len(work.action.inputs) != 1:
            raise ActionError("ConfigurationError", "InputType FilePath takes one input artifact")
        text = work.artifacts.read(f"{work.action.inputs[0]}::{text}")
    try:
        json.loads(text)
    except ValueError:
        raise ActionError(
            "ConfigurationError", f"The state machine's input is no JSON: {text[:200]}"
        ) from None
    return text
