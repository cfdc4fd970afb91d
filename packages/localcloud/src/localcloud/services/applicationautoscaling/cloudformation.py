"""The CloudFormation resource types of Application Auto Scaling: scalable targets and scaling policies."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from localcloud.core import protocol
from localcloud.core.errors import ResourceError, ServiceError
from localcloud.core.properties import as_failure, request_of
from localcloud.core.service import Resource
from localcloud.services.applicationautoscaling.errors import NOT_FOUND

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from localcloud.core.service import Json
    from localcloud.services.applicationautoscaling.scaling import ScalableTargets

TARGET_KEYS = ("ResourceId", "ScalableDimension", "ServiceNamespace")


def scalable_target(targets: ScalableTargets) -> Resource:
    """Return the resource type of scalable targets; another resource id is another target."""

    def create(properties: Json, _: str) -> tuple[str, Json]:
        _call("RegisterScalableTarget", properties, targets.register)
        return "|".join(str(properties[key]) for key in TARGET_KEYS), {}

    def delete(physical_id: str, _: Json) -> None:
        with _ignore_missing():
            targets.deregister(_target_members(physical_id))

    return Resource(create, _put_again(create), delete)


def scaling_policy(targets: ScalableTargets) -> Resource:
    """Return the resource type of scaling policies; another target or name is another policy."""

    def create(properties: Json, _: str) -> tuple[str, Json]:
        answer = _call("PutScalingPolicy", _with_target_members(properties), targets.put_policy)
        return str(answer["PolicyARN"]), {"Arn": answer["PolicyARN"]}

    def delete(_: str, properties: Json) -> None:
        members = _with_target_members(properties)
        with _ignore_missing():
            targets.delete_policy({key: members[key] for key in (*TARGET_KEYS, "PolicyName")})

    return Resource(create, _put_again(create), delete)


def _put_again(
    create: Callable[[Json, str], tuple[str, Json]],
) -> Callable[[str, Json, Json, str], tuple[str, Json]]:
    """Return the update of a resource whose creation changes the one of the same name, and keeps its id."""
    return lambda _physical_id, _old, new, default_name: create(new, default_name)


def _with_target_members(properties: Json) -> Json:
    """Return a policy's properties with the members that its ScalingTargetId consists of."""
    own = {key: value for key, value in properties.items() if key != "ScalingTargetId"}
    if "ScalingTargetId" not in properties:
        return own
    return {**_target_members(properties["ScalingTargetId"]), **own}


def _target_members(physical_id: str) -> Json:
    """Return the members that a target's physical id consists of."""
    return dict(zip(TARGET_KEYS, physical_id.split("|"), strict=True))


def _call(operation: str, properties: Json, perform: Callable[[Json], Json]) -> Json:
    """Perform an operation with a template's properties."""
    shape: Any = protocol.model("application-autoscaling").operation_model(operation).input_shape
    # CloudFormation adds the stack's tags, which these types do not have.
    own = {key: properties[key] for key in properties if key != "Tags"}
    with as_failure("ApplicationAutoScaling"):
        return perform(request_of(own, shape))


@contextmanager
def _ignore_missing() -> Iterator[None]:
    """Ignore the error of a deletion if the resource does not exist any more."""
    try:
        yield
    except ServiceError as error:
        if error.code != NOT_FOUND:
            raise ResourceError(error.message) from None
