"""Stacks whose operation the end of a cloud has interrupted: the next cloud rolls them back.

Each stack that is being created or updated keeps what a rollback needs, as ministack itself keeps it for a
stack that failed with DisableRollback; RollbackStack then goes back from there.
"""

from __future__ import annotations

import copy
import logging
from typing import TYPE_CHECKING, Any

from localcloud.core.kept import STOPPED
from localcloud.core.patches import uses
from localcloud.core.service import Kept

if TYPE_CHECKING:
    from localcloud.core.service import Json

logger = logging.getLogger(__name__)
_STACKS = uses("ministack.services.cloudformation", "_change_sets", "_stacks")
_HANDLERS = uses("ministack.services.cloudformation.handlers", "_rollback_stack")
_EVENTS = uses("ministack.services.cloudformation.stacks", "_add_event", "_failed_operation")
OPERATION = "_running_operation"
STACK_TAG = "aws:cloudformation:stack-id"
# The status of a stack whose operation ended: what was left to do is not needed by the stack.
ENDED_AS = {
    "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS": "UPDATE_COMPLETE",
    "UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS": "UPDATE_ROLLBACK_COMPLETE",
    "DELETE_IN_PROGRESS": "DELETE_FAILED",
}
UNDER_REVIEW = "REVIEW_IN_PROGRESS"


def record(stack: str, template: Json, parameters: Json, previous: Json | None) -> None:
    """Keep what the rollback of an operation that begins needs, in the stack's record."""
    _STACKS["_stacks"][stack][OPERATION] = {
        "template": template,
        "parameters": parameters,
        "previous": copy.deepcopy(previous),
    }


def forget(stack: str) -> None:
    """Forget an operation that has ended."""
    if (found := _STACKS["_stacks"].get(stack)) is not None:
        found.pop(OPERATION, None)


def kept() -> Kept:
    """Return the part that settles interrupted stacks; the stacks themselves are ministack's."""
    interrupted: list[str] = []
    return Kept(lambda: True, lambda _: interrupted.extend(_settle()), lambda: _roll_back(interrupted))


def unrecorded(stack_id: str, physical_id: str) -> bool:
    """Whether an interrupted operation has made or replaced a resource that its stack does not list."""
    for stack in _STACKS["_stacks"].values():
        if stack.get("StackId") == stack_id and str(stack["StackStatus"]).endswith("_IN_PROGRESS"):
            previous = (stack.get(OPERATION) or {}).get("previous") or {}
            listed = [*stack.get("_resources", {}).values(), *previous.get("_resources", {}).values()]
            return all(each.get("PhysicalResourceId") != physical_id for each in listed)
    return False


def _settle() -> list[str]:
    """End each interrupted operation, and return the names of the stacks that have to be rolled back."""
    for change_set in _STACKS["_change_sets"].values():
        if change_set.get("ExecutionStatus") == "EXECUTE_IN_PROGRESS":
            change_set["ExecutionStatus"] = "EXECUTE_FAILED"
    names = []
    for name, stack in list(_STACKS["_stacks"].items()):
        status = str(stack.get("StackStatus", ""))
        if status == UNDER_REVIEW or not status.endswith("_IN_PROGRESS"):
            continue
        logger.warning("stack %s was %s when the cloud ended", name, status)
        operation = stack.get(OPERATION)
        if status in ENDED_AS or operation is None:
            _end(name, stack, ENDED_AS.get(status, status.replace("_IN_PROGRESS", "_FAILED")))
        else:
            is_update = operation["previous"] is not None
            _end(name, stack, "UPDATE_FAILED" if is_update else "CREATE_FAILED")
            stack["_failed_operation"] = _failed(stack, operation)
            names.append(name)
    return names


def _end(name: str, stack: Json, status: str) -> None:
    stack.update(StackStatus=status, StackStatusReason=STOPPED)
    identifier = stack["StackId"]
    _EVENTS["_add_event"](identifier, name, name, "AWS::CloudFormation::Stack", status, STOPPED, identifier)


def _failed(stack: Json, operation: Json) -> Any:
    """Return an operation as RollbackStack takes it; what differs from before was made or changed by it."""
    previous = operation["previous"]
    before = (previous or {}).get("_resources", {})
    changed = [name for name, resource in stack.get("_resources", {}).items() if resource != before.get(name)]
    tags, previous_tags = stack.get("Tags") or [], (previous or {}).get("Tags") or []
    return _EVENTS["_failed_operation"](
        previous is not None,
        previous,
        changed,
        None,
        None,
        [],
        False,  # noqa: FBT003 - ministack's signature
        operation["template"],
        operation["parameters"],
        False,  # noqa: FBT003 - ministack's signature
        tags,
        previous_tags,
    )


def _roll_back(names: list[str]) -> None:
    for name in names:
        _HANDLERS["_rollback_stack"]({"StackName": [name]})
