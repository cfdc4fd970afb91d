"""The data of Application Auto Scaling: variants of endpoints, and their scalable targets."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from localcloud.core.errors import validation_error
from localcloud.services.applicationautoscaling.tracking import TargetTrackingPolicy

if TYPE_CHECKING:
    from localcloud.core.service import Json

NAMESPACE, DIMENSION = "sagemaker", "sagemaker:variant:DesiredInstanceCount"
METRIC = "SageMakerVariantInvocationsPerInstance"
RESOURCE_ID = re.compile(r"endpoint/([^/]+)/variant/([^/]+)")


class Variant(NamedTuple):
    """A variant of an endpoint, whose number of instances scales."""

    endpoint: str
    name: str

    @property
    def resource_id(self) -> str:
        """The id of the variant in this service."""
        return f"endpoint/{self.endpoint}/variant/{self.name}"

    @property
    def members(self) -> Json:
        """The members of requests and answers that identify the scalable target."""
        return {
            "ServiceNamespace": NAMESPACE,
            "ResourceId": self.resource_id,
            "ScalableDimension": DIMENSION,
        }


@dataclass
class ScalableTarget:
    """A scalable target with its policies, and the monotonic times at which it was scaled last."""

    description: Json
    policies: dict[str, Json] = field(default_factory=dict)
    scaled_out: float = 0.0
    scaled_in: float = 0.0


def read_variant(request: Json) -> Variant:
    """Read the variant that a request is about.

    Raises:
        ServiceError: the request is about another resource than a variant of an endpoint.
    """
    match = RESOURCE_ID.fullmatch(request["ResourceId"])
    if not match or request["ServiceNamespace"] != NAMESPACE or request["ScalableDimension"] != DIMENSION:
        raise validation_error(f"The local cloud scales {DIMENSION} of endpoint/NAME/variant/NAME only.")
    return Variant(match[1], match[2])


def read_policy(request: Json) -> TargetTrackingPolicy:
    """Read a policy that tracks a variant's invocations per instance.

    Raises:
        ServiceError: the policy has another type or metric.
    """
    config = request.get("TargetTrackingScalingPolicyConfiguration") or {}
    metric = config.get("PredefinedMetricSpecification", {}).get("PredefinedMetricType")
    if request.get("PolicyType") != "TargetTrackingScaling" or metric != METRIC:
        raise validation_error(f"The local cloud takes TargetTrackingScaling policies by {METRIC} only.")
    return TargetTrackingPolicy.from_configuration(config)


def check_bounds(bounds: Json) -> None:
    """Check that a scalable target has a lower and an upper bound, in this order.

    Raises:
        ServiceError: a bound is missing, or the lower one is above the upper one.
    """
    if "MinCapacity" not in bounds or "MaxCapacity" not in bounds:
        raise validation_error("A new scalable target needs MinCapacity and MaxCapacity.")
    if bounds["MinCapacity"] > bounds["MaxCapacity"]:
        raise validation_error("Maximum capacity cannot be less than minimum capacity.")
