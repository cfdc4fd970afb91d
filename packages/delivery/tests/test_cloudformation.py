"""The CloudFormation helper of the scripts and the local commands."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError

from delivery import cloudformation

STACK = "AWS::CloudFormation::Stack"


class Client:
    """Answers for one stack."""

    def __init__(self, *statuses: str, events: list[list[dict[str, str]]] | None = None) -> None:
        self.statuses, self.events = list(statuses), events or []

    def describe_stacks(self, StackName: str) -> dict[str, Any]:  # noqa: N803 - boto3's name
        """Answer with the next status; the last one stays."""
        if not self.statuses:
            message = f"Stack with id {StackName} does not exist"
            raise ClientError({"Error": {"Code": "ValidationError", "Message": message}}, "DescribeStacks")
        status = self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]
        return {"Stacks": [{"StackName": StackName, "StackStatus": status}]}

    def get_paginator(self, operation: str) -> Client:
        """Return what gives pages of events."""
        assert operation == "describe_stack_events"
        return self

    def paginate(self, **_: str) -> list[dict[str, Any]]:
        """Return all pages."""
        return [{"StackEvents": events} for events in self.events]


def event(
    status: str, reason: str = "", name: str = "Thing", kind: str = "AWS::SNS::Topic"
) -> dict[str, str]:
    return {
        "LogicalResourceId": name,
        "ResourceType": kind,
        "ResourceStatus": status,
        "ResourceStatusReason": reason,
    }


def test_a_stack_that_is_gone_is_none() -> None:
    """By its name it does not exist; by its id it is still described as deleted."""
    assert cloudformation.describe(Client(), "a") is None
    assert cloudformation.describe(Client("DELETE_COMPLETE"), "a") is None
    assert cloudformation.describe(Client("CREATE_COMPLETE"), "a") is not None
    assert (cloudformation.outputs(None), cloudformation.parameters(None)) == ({}, {})


def test_other_errors_are_raised() -> None:
    """A call that is refused says nothing about the stack."""

    class Refusing(Client):
        def describe_stacks(self, StackName: str) -> dict[str, Any]:  # noqa: N803 - boto3's name
            raise ClientError({"Error": {"Code": "AccessDenied", "Message": StackName}}, "DescribeStacks")

    with pytest.raises(ClientError, match="AccessDenied"):
        cloudformation.describe(Refusing(), "a")


def test_waiting_ends_when_nothing_is_in_progress() -> None:
    """A change set under review is not an operation in progress, though its name ends like one."""
    for last in ("UPDATE_COMPLETE", "REVIEW_IN_PROGRESS", "ROLLBACK_COMPLETE"):
        stack = cloudformation.wait(Client("UPDATE_IN_PROGRESS", "UPDATE_IN_PROGRESS", last), "a", 0.0, 9.0)
        assert stack is not None
        assert stack["StackStatus"] == last
    assert cloudformation.wait(Client("DELETE_IN_PROGRESS", "DELETE_COMPLETE"), "a", 0.0, 9.0) is None
    with pytest.raises(TimeoutError, match="a did not settle within 0 s"):
        cloudformation.wait(Client("UPDATE_IN_PROGRESS"), "a", 0.0, 0.01)


def test_the_reason_is_the_first_failures_in_the_last_operation() -> None:
    """Events come newest first; what is cancelled or came before the operation is not the reason."""
    events = [
        [
            event("DELETE_COMPLETE"),
            event("CREATE_FAILED", "Resource creation cancelled", "Other"),
            event("CREATE_FAILED", "later", "Later"),
        ],
        [
            event("CREATE_FAILED", "taken", "First"),
            event("UPDATE_IN_PROGRESS", "User Initiated", kind=STACK),
            event("CREATE_FAILED", "before", "Before"),
        ],
    ]
    assert cloudformation.failure_reason(Client(events=events), "a") == "First: taken"
    assert cloudformation.failure_reason(Client(events=[[event("CREATE_FAILED")]]), "a") is None


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        ("No updates are to be performed.", True),
        ("The submitted information didn't contain changes.", True),
        ("Parameters: [A] must have values", False),
    ],
)
def test_nothing_to_change_is_not_a_failure(reason: str, expected: bool) -> None:  # noqa: FBT001 - a case
    """An update and a change set use different words."""
    assert cloudformation.has_no_changes(reason) == expected
