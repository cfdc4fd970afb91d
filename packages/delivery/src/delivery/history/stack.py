"""The operations of stacks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from delivery import cloudformation, stacks
from delivery.history.record import CLOUD_LOG, Record, seconds_since
from delivery.local_stacks import failure_reason

if TYPE_CHECKING:
    from datetime import datetime

    from delivery.cloud import Cloud


def stack_record(cloud: Cloud, stage: str, stack_name: str, since: datetime) -> Record | None:
    """Read the stack's latest operation that began after `since`; None when there was none."""
    if stacks.find(cloud, stack_name) is None:
        return None
    events = cloud.client("cloudformation").describe_stack_events(StackName=stack_name)["StackEvents"]
    own = [
        event
        for event in events
        if event["ResourceType"] == "AWS::CloudFormation::Stack"
        and event["LogicalResourceId"] == stack_name
        and event["Timestamp"] >= since
    ]
    if not own:
        return None
    newest, oldest = own[0], own[-1]
    if newest["ResourceStatus"].endswith("_IN_PROGRESS"):
        return Record(stage, "InProgress", seconds_since(oldest["Timestamp"]))
    seconds = (newest["Timestamp"] - oldest["Timestamp"]).total_seconds()
    if newest["ResourceStatus"] in cloudformation.SUCCEEDED:
        return Record(stage, "Succeeded", seconds)
    return Record(stage, "Failed", seconds, failure_reason(cloud, stack_name), CLOUD_LOG)
