"""CloudFormation's view of scalable targets and policies."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from localcloud.core import protocol
from localcloud.core.errors import ResourceError, ServiceError
from localcloud.core.service import Resource

if TYPE_CHECKING:
    from collections.abc import Callable

    from localcloud.core.service import Json
    from localcloud.services.applicationautoscaling.scaling import Scaling

PLACE = ("ResourceId", "ScalableDimension", "ServiceNamespace")


def target(scaling: Scaling) -> Resource:
    """Return how CloudFormation makes a scalable target; for another resource that is another one."""

    def create(properties: Json, _: str) -> tuple[str, Json]:
        asked("RegisterScalableTarget", properties, scaling.register)
        return "|".join(str(properties[key]) for key in PLACE), {}

    def update(physical_id: str, old: Json, new: Json, default_name: str) -> tuple[str, Json]:  # noqa: ARG001
        # Of the same name it is changed in place, and so has the same id.
        return create(new, default_name)

    def delete(physical_id: str, _: Json) -> None:
        gone_is_fine(lambda: scaling.deregister(placed(physical_id)))

    return Resource(create, update, delete)


def policy(scaling: Scaling) -> Resource:
    """Return how CloudFormation makes a scaling policy; another target or name replaces it."""

    def create(properties: Json, _: str) -> tuple[str, Json]:
        made = asked("PutScalingPolicy", complete(properties), scaling.put_policy)
        return str(made["PolicyARN"]), {"Arn": made["PolicyARN"]}

    def update(physical_id: str, old: Json, new: Json, default_name: str) -> tuple[str, Json]:  # noqa: ARG001
        # Of the same name it is changed in place, and so has the same id.
        return create(new, default_name)

    def delete(_: str, properties: Json) -> None:
        given = complete(properties)
        named = {key: given[key] for key in (*PLACE, "PolicyName")}
        gone_is_fine(lambda: scaling.delete_policy(named))

    return Resource(create, update, delete)


def complete(properties: Json) -> Json:
    """Return a policy's properties with the members that its target's id stands for."""
    given = {key: value for key, value in properties.items() if key != "ScalingTargetId"}
    return {**(placed(properties["ScalingTargetId"]) if "ScalingTargetId" in properties else {}), **given}


def placed(physical_id: str) -> Json:
    """Return the members that a target's id stands for."""
    return dict(zip(PLACE, physical_id.split("|"), strict=True))


def asked(operation: str, properties: Json, perform: Callable[[Json], Json]) -> Json:
    """Perform an operation with a template's properties, and turn its refusal into a reason."""
    shape: Any = protocol.model("application-autoscaling").operation_model(operation).input_shape
    # The stack's tags come with the properties, but these types have none.
    request: Json = protocol.coerced({key: properties[key] for key in properties if key != "Tags"}, shape)
    try:
        protocol.check(request, shape)
        return perform(request)
    except ServiceError as error:
        raise ResourceError(
            f"{error.message} (Service: ApplicationAutoScaling, Code: {error.code})"
        ) from None


def gone_is_fine(act: Callable[[], Any]) -> None:
    """Delete what may be gone already."""
    try:
        act()
    except ServiceError as error:
        if error.code != "ObjectNotFoundException":
            raise ResourceError(error.message) from None
