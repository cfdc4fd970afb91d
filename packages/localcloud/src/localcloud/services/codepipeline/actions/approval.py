"""The action Approval: a person answers."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from localcloud.core.clock import iso, now
from localcloud.services.codepipeline.action_context import POLL_SECONDS, Approval
from localcloud.services.codepipeline.errors import AbandonedError, ActionError

if TYPE_CHECKING:
    from localcloud.services.codepipeline.action_context import ActionContext

# A week, unless the action says otherwise.
DEFAULT_MINUTES = 7 * 24 * 60


def run(context: ActionContext) -> dict[str, str]:
    """Wait for a person's answer as long as the action allows, and notify its topic first.

    Raises:
        AbandonedError: the execution was abandoned.
        ActionError: the answer was Rejected, or did not come in time.
    """
    minutes = context.action.timeout_minutes or DEFAULT_MINUTES
    approval = context.run.approval = Approval()
    if topic := context.configuration.get("NotificationArn"):
        _notify(context, topic, approval, minutes)
    cloud = context.tools.cloud
    deadline = cloud.clock.simulated() + 60.0 * minutes
    with cloud.activities.awaited():
        while not approval.answered.wait(POLL_SECONDS):
            if context.abandoned.is_set():
                raise AbandonedError
            if cloud.clock.simulated() > deadline:
                raise ActionError("JobTimedOut", f"Nobody answered within {minutes} minutes.")
    if not approval.approved:
        raise ActionError(
            "Rejected", f"Rejected: {context.run.summary}" if context.run.summary else "Rejected."
        )
    return {}


def _notify(context: ActionContext, topic: str, approval: Approval, minutes: int) -> None:
    """Publish the message that asks for the approval."""
    cloud = context.tools.cloud
    message = {
        "region": cloud.region,
        "approval": {
            "pipelineName": context.pipeline,
            "stageName": context.run.stage,
            "actionName": context.action.name,
            "token": approval.token,
            "expires": iso(now() + cloud.clock.seconds(60.0 * minutes)),
            "externalEntityLink": context.configuration.get("ExternalEntityLink"),
            "customData": context.configuration.get("CustomData"),
        },
    }
    subject = f"APPROVAL NEEDED: AWS CodePipeline {context.pipeline} for action {context.action.name}"[:100]
    context.client("sns").publish(TopicArn=topic, Subject=subject, Message=json.dumps(message))
