"""A person's approval."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from localcloud.core.clock import iso, now
from localcloud.services.codepipeline.action_context import LOOK_EVERY, Approval
from localcloud.services.codepipeline.errors import AbandonedError, ActionError

if TYPE_CHECKING:
    from localcloud.services.codepipeline.action_context import Work

# A week, unless the action says otherwise.
DEFAULT_MINUTES = 7 * 24 * 60


def run(work: Work) -> dict[str, str]:
    """Ask, and wait for the answer as long as the action allows."""
    minutes = work.action.timeout_minutes or DEFAULT_MINUTES
    approval = work.run.approval = Approval()
    if topic := work.configuration.get("NotificationArn"):
        ask(work, topic, approval, minutes)
    seconds = work.tools.context.clock.seconds(60.0 * minutes)
    until = now() + seconds
    while not approval.answered.wait(LOOK_EVERY):
        if work.abandoned.is_set():
            raise AbandonedError
        if now() > until:
            raise ActionError("JobTimedOut", f"Nobody answered within {minutes} minutes.")
    if not approval.approved:
        raise ActionError("Rejected", f"Rejected: {work.run.summary}" if work.run.summary else "Rejected.")
    return {}


def ask(work: Work, topic: str, approval: Approval, minutes: int) -> None:
    """Send the message that people are asked by."""
    context = work.tools.context
    message = {
        "region": context.region,
        "approval": {
            "pipelineName": work.pipeline,
            "stageName": work.run.stage,
            "actionName": work.action.name,
            "token": approval.token,
            "expires": iso(now() + context.clock.seconds(60.0 * minutes)),
            "externalEntityLink": work.configuration.get("ExternalEntityLink"),
            "customData": work.configuration.get("CustomData"),
        },
    }
    subject = f"APPROVAL NEEDED: AWS CodePipeline {work.pipeline} for action {work.action.name}"[:100]
    work.client("sns").publish(TopicArn=topic, Subject=subject, Message=json.dumps(message))
