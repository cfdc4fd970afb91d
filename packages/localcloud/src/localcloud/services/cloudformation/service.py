"""Resource types of our services in ministack's CloudFormation, and updates of its own that may wait."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING

from localcloud.core.patches import uses
from localcloud.core.service import Service
from localcloud.services.cloudformation import interrupted, patches
from localcloud.services.cloudformation.patches import DEPLOYING, WAITING, Deploying

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from localcloud.core.activity import Activities
    from localcloud.core.service import Json, Resource

    Result = tuple[str, Json]

_STACKS = uses("ministack.services.cloudformation", "_stacks")
_ENGINE = uses("ministack.services.cloudformation.engine", "_NO_VALUE", "_resolve_refs")
_PROVISIONERS = uses(
    "ministack.services.cloudformation.provisioners", "_RESOURCE_HANDLERS", "_STACK_TAG_PROPERTY"
)


@dataclass(frozen=True)
class Update:
    """A resource that a stack changes in place."""

    old: Json
    new: Json
    policy: Json
    stack: Json

    @property
    def rolling_back(self) -> bool:
        """Whether the stack goes back to what it was."""
        return "ROLLBACK" in str(self.stack.get("StackStatus", ""))

    @property
    def cancelled(self) -> bool:
        """Whether somebody asked to cancel the stack's update."""
        return bool(self.stack.get("_cancel_requested"))


def service() -> Service:
    """Return the service; its operations are ministack's."""
    return Service(name="cloudformation", install=patches.install, kept={"operations": interrupted.kept()})


def add_resources(resources: Mapping[str, Resource], activities: Activities) -> None:
    """Let templates have resources of these types; their handlers may wait."""
    for type_name, resource in resources.items():
        WAITING.add(type_name)
        _PROVISIONERS.add("_RESOURCE_HANDLERS", type_name, _handlers(resource, activities))
        _PROVISIONERS.add("_STACK_TAG_PROPERTY", type_name, ("Tags", "list"))


def around_updates(type_name: str, act: Callable[[Update, Callable[[], Result]], Result]) -> None:
    """Let `act` perform the updates of a type of ministack's; it may wait, and calls the original itself."""
    handlers = _PROVISIONERS["_RESOURCE_HANDLERS"][type_name]
    original = handlers["update"]

    def update(physical_id: str, old: Json, new: Json, stack: str, logical_id: str) -> Result:
        record = _STACKS["_stacks"][stack]
        change = Update(old, new, _update_policy(record, logical_id), record)
        return act(change, lambda: original(physical_id, old, new, stack, logical_id))

    _PROVISIONERS.add(
        "_RESOURCE_HANDLERS", type_name, {**handlers, "update": update, "update_with_logical_id": True}
    )
    WAITING.add(type_name)


def _handlers(resource: Resource, activities: Activities) -> Json:
    def create(logical_id: str, properties: Json, stack: str) -> Result:
        with activities.active():
            return resource.create(properties, f"{stack}-{logical_id}")

    def update(physical_id: str, old: Json, new: Json, stack: str, logical_id: str) -> Result:
        with activities.active():
            return resource.update(physical_id, old, new, f"{stack}-{logical_id}")

    def delete(physical_id: str, properties: Json) -> None:
        with activities.active():
            resource.delete(physical_id, properties)

    return {"create": create, "update": update, "update_with_logical_id": True, "delete": delete}


def _update_policy(stack: Json, logical_id: str) -> Json:
    """Return the update policy of a resource with its references resolved, or nothing."""
    deploying = DEPLOYING.get() or Deploying(stack.get("_template", {}), stack.get("_resolved_params", {}))
    definition = deploying.template.get("Resources", {}).get(logical_id, {})
    resolved = _ENGINE["_resolve_refs"](
        copy.deepcopy(definition.get("UpdatePolicy") or {}),
        stack["_resources"],
        deploying.parameters,
        stack.get("_conditions", {}),
        deploying.template.get("Mappings", {}),
        stack["StackName"],
        stack["StackId"],
    )
    no_value = _ENGINE["_NO_VALUE"]
    if resolved is no_value:
        return {}
    return {key: value for key, value in resolved.items() if value is not no_value}
