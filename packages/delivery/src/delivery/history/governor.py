"""Decisions of the governor, which starts trainings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from delivery import cloudformation, stacks
from delivery.cloud import pages
from delivery.history.state_machines import execution_output

if TYPE_CHECKING:
    from datetime import datetime

    from delivery.cloud import Cloud


@dataclass(frozen=True)
class Decision:
    """A decision of the governor.

    `event` and `of` say which event asked, and about which object. `at` is the time of the decision.
    `execution` is the pipeline's execution that the decision started. `again` is the time, in ISO 8601, at
    which a refusal is checked again, and empty where the refusal is final.
    """

    event: str
    of: str
    decision: str
    reason: str
    at: datetime
    execution: str = ""
    again: str = ""


def decisions(cloud: Cloud, project: str, since: datetime) -> list[Decision]:
    """Return the governor's decisions since a time, oldest first; none where no governor is deployed."""
    machine = cloudformation.outputs(stacks.find(cloud, f"{project}-governor")).get("StateMachineArn")
    if machine is None:
        return []
    succeeded = pages(
        cloud.client("stepfunctions"),
        "list_executions",
        "executions",
        stateMachineArn=machine,
        statusFilter="SUCCEEDED",
    )
    ended = [each for each in succeeded if each["stopDate"] >= since]
    found = (_decision(cloud, each) for each in sorted(ended, key=lambda one: one["stopDate"]))
    return [decision for decision in found if decision]


def _decision(cloud: Cloud, execution: dict[str, Any]) -> Decision | None:
    """Read a decision from the execution's output; most executions decide nothing."""
    output = execution_output(cloud, execution["executionArn"])
    asked, at = (output.get("Reason", ""), output.get("Event", "")), execution["stopDate"]
    match output.get("Result"):
        case "Started":
            reason = f"New data: {output['DataVersion']}"
            return Decision(*asked, "Started", reason, at, output["PipelineExecutionId"])
        case "Refused":
            reason = f"{output['Why']}: {output['Explanation']}"
            return Decision(*asked, "Refused", reason, at, again=output.get("LookAgainAt", ""))
    return None
