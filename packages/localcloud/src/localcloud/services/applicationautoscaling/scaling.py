"""Targets and policies, and what they do to endpoints minute by minute."""

from __future__ import annotations

import logging
import re
import threading
import time
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from localcloud.core import account, ministack, protocol
from localcloud.core.clock import SCALING_EVALUATION, now
from localcloud.core.errors import ServiceError, validation_error
from localcloud.services.applicationautoscaling import tracking
from localcloud.services.cloudwatch import service as alarms

if TYPE_CHECKING:
    from localcloud.core.context import CloudContext
    from localcloud.core.service import Json, Service

logger = logging.getLogger(__name__)
NAMESPACE, DIMENSION = "sagemaker", "sagemaker:variant:DesiredInstanceCount"
RESOURCE = re.compile(r"endpoint/([^/]+)/variant/([^/]+)")
METRIC = "SageMakerVariantInvocationsPerInstance"
SERVICE_ROLE = "aws-service-role/sagemaker.application-autoscaling.amazonaws.com"
ROLE_NAME = "AWSServiceRoleForApplicationAutoScaling_SageMakerEndpoint"
ROLE = f"arn:aws:iam::{account.ACCOUNT}:role/{SERVICE_ROLE}/{ROLE_NAME}"
BOUNDS = ("MinCapacity", "MaxCapacity", "SuspendedState")


class Variant(NamedTuple):
    """A variant of an endpoint, which is what scales."""

    endpoint: str
    name: str

    @property
    def resource(self) -> str:
        """Its id in this service."""
        return f"endpoint/{self.endpoint}/variant/{self.name}"


@dataclass
class Target:
    """A scalable target with its policies, and when it was scaled last."""

    described: Json
    policies: dict[str, Json] = field(default_factory=dict)
    scaled_out: float = 0.0
    scaled_in: float = 0.0


class Scaling:
    """All scalable targets."""

    def __init__(self, context: CloudContext, sagemaker: Service) -> None:
        """Begin without any."""
        self._context, self._sagemaker = context, sagemaker
        self._targets: dict[Variant, Target] = {}
        self._activities: list[Json] = []
        self._closing = threading.Event()

    def install(self) -> None:
        """Begin to look."""
        threading.Thread(target=ministack.in_context(self._keep_looking), daemon=True).start()

    def close(self) -> None:
        """Stop looking."""
        self._closing.set()

    def register(self, request: Json) -> Json:
        """Take a target, or other bounds for one that is known."""
        variant = variant_of(request)
        known = self._targets.get(variant)
        bounds = {key: request[key] for key in BOUNDS if key in request}
        if known:
            checked_bounds({**known.described, **bounds})
            known.described.update(bounds)
            return {"ScalableTargetARN": known.described["ScalableTargetARN"]}
        self._capacity(variant)
        checked_bounds(bounds)
        arn = self._context.arn("application-autoscaling", f"scalable-target/{uuid.uuid4().hex}")
        made = {"RoleARN": ROLE, "CreationTime": now(), "ScalableTargetARN": arn}
        self._targets[variant] = Target({**place(variant), **made, **bounds})
        return {"ScalableTargetARN": arn}

    def deregister(self, request: Json) -> Json:
        """Forget a target with its policies."""
        variant = variant_of(request)
        self._find(variant)
        self._targets.pop(variant, None)
        return {}

    def describe_targets(self, request: Json) -> Json:
        """Describe targets."""
        wanted = request.get("ResourceIds")
        found = [target.described for target in self._targets.values()]
        return {"ScalableTargets": [each for each in found if not wanted or each["ResourceId"] in wanted]}

    def put_policy(self, request: Json) -> Json:
        """Take a policy that tracks a target value."""
        variant = variant_of(request)
        target = self._find(variant)
        tracking_of(request)
        name = request["PolicyName"]
        known = target.policies.get(name)
        identifier = f"{uuid.uuid4()}:resource/{NAMESPACE}/{variant.resource}:policyName/{name}"
        arn = known["PolicyARN"] if known else self._context.arn("autoscaling", f"scalingPolicy:{identifier}")
        target.policies[name] = {**request, "PolicyARN": arn, "CreationTime": now()}
        return {"PolicyARN": arn, "Alarms": []}

    def describe_policies(self, request: Json) -> Json:
        """Describe policies."""
        wanted = request.get("ResourceId")
        found = [policy for target in self._targets.values() for policy in target.policies.values()]
        return {"ScalingPolicies": [each for each in found if wanted in (None, each["ResourceId"])]}

    def delete_policy(self, request: Json) -> Json:
        """Forget a policy."""
        target = self._find(variant_of(request))
        if target.policies.pop(request["PolicyName"], None) is None:
            raise not_found(f"No scaling policy found for name {request['PolicyName']}")
        return {}

    def describe_activities(self, request: Json) -> Json:
        """Describe what was done, newest first."""
        wanted = request.get("ResourceId")
        found = [each for each in reversed(self._activities) if wanted in (None, each["ResourceId"])]
        return {"ScalingActivities": found}

    def _find(self, variant: Variant) -> Target:
        if variant not in self._targets:
            raise not_found(
                f"No scalable target found for service namespace: {NAMESPACE}, "
                f"resource ID: {variant.resource}, scalable dimension: {DIMENSION}"
            )
        return self._targets[variant]

    def _capacity(self, variant: Variant) -> tuple[str, int]:
        try:
            found = protocol.call(self._sagemaker, "DescribeEndpoint", {"EndpointName": variant.endpoint})
        except ServiceError as error:
            raise validation_error(f"{error.message} (Service: SageMaker)") from None
        for shown in found.get("ProductionVariants", []):
            if shown["VariantName"] == variant.name:
                return str(found["EndpointStatus"]), int(shown["CurrentInstanceCount"])
        raise validation_error(f"{variant.resource} is no variant of an endpoint that is in service.")

    def _keep_looking(self) -> None:
        with ministack.scope(self._context.region):
            while not self._closing.wait(self._context.clock.interval(SCALING_EVALUATION)):
                for variant, target in list(self._targets.items()):
                    try:
                        self._look(variant, target)
                    except ServiceError as error:
                        logger.info("%s is not scaled: %s", variant.resource, error.message)

    def _look(self, variant: Variant, target: Target) -> None:
        status, present = self._capacity(variant)
        if status != "InService":
            return
        low, high = target.described["MinCapacity"], target.described["MaxCapacity"]
        asked = [self._wanted(variant, target, policy, present) for policy in target.policies.values()]
        wanted = min(max(max(asked, default=present), low), high)
        if wanted != present:
            self._scale(variant, target, present, wanted)

    def _wanted(self, variant: Variant, target: Target, policy: Json, present: int) -> int:
        rule = tracking_of(policy)
        minutes = self._invocations(variant, tracking.LOOKED_AT)
        wanted = tracking.wanted(rule, minutes, present)
        cooled = time.monotonic() - max(target.scaled_out, target.scaled_in)
        if wanted > present:
            cooled = time.monotonic() - target.scaled_out
            return wanted if cooled >= self._context.clock.seconds(rule.out_cooldown) else present
        return wanted if cooled >= self._context.clock.seconds(rule.in_cooldown) else present

    def _invocations(self, variant: Variant, count: int) -> list[float | None]:
        """Return the invocations per instance of the last whole minutes of AWS, newest first."""
        metric: Json = {
            "Namespace": "AWS/SageMaker",
            "MetricName": "InvocationsPerInstance",
            "Dimensions": [
                {"Name": "EndpointName", "Value": variant.endpoint},
                {"Name": "VariantName", "Value": variant.name},
            ],
            "Period": 60,
        }
        periods = alarms.periods(metric, self._context.clock, count)
        return [sum(sample.total for sample in samples) if samples else None for samples in periods]

    def _scale(self, variant: Variant, target: Target, present: int, wanted: int) -> None:
        change = {"VariantName": variant.name, "DesiredInstanceCount": wanted}
        request = {"EndpointName": variant.endpoint, "DesiredWeightsAndCapacities": [change]}
        protocol.call(self._sagemaker, "UpdateEndpointWeightsAndCapacities", request)
        if wanted > present:
            target.scaled_out = time.monotonic()
        else:
            target.scaled_in = time.monotonic()
        self._activities.append(
            {
                "ActivityId": str(uuid.uuid4()),
                **place(variant),
                "Description": f"Setting desired instance count to {wanted}.",
                "Cause": f"{present} instances had too {'much' if wanted > present else 'little'} to do.",
                "StartTime": now(),
                "EndTime": now(),
                "StatusCode": "Successful",
                "StatusMessage": f"Successfully set desired instance count to {wanted}.",
            }
        )


def place(variant: Variant) -> Json:
    """Return the members that name a target."""
    return {"ServiceNamespace": NAMESPACE, "ResourceId": variant.resource, "ScalableDimension": DIMENSION}


def variant_of(request: Json) -> Variant:
    """Read which variant is meant; nothing else scales here."""
    found = RESOURCE.fullmatch(request["ResourceId"])
    if not found or request["ServiceNamespace"] != NAMESPACE or request["ScalableDimension"] != DIMENSION:
        raise validation_error(f"The local cloud scales {DIMENSION} of endpoint/NAME/variant/NAME only.")
    return Variant(found[1], found[2])


def checked_bounds(bounds: Json) -> None:
    """Refuse bounds that leave no room."""
    if "MinCapacity" not in bounds or "MaxCapacity" not in bounds:
        raise validation_error("A new scalable target needs MinCapacity and MaxCapacity.")
    if bounds["MinCapacity"] > bounds["MaxCapacity"]:
        raise validation_error("Maximum capacity cannot be less than minimum capacity.")


def tracking_of(policy: Json) -> tracking.Rule:
    """Read a policy; the local cloud follows target tracking of a variant's invocations."""
    config = policy.get("TargetTrackingScalingPolicyConfiguration") or {}
    metric = config.get("PredefinedMetricSpecification", {}).get("PredefinedMetricType")
    if policy.get("PolicyType") != "TargetTrackingScaling" or metric != METRIC:
        raise validation_error(f"The local cloud takes TargetTrackingScaling policies by {METRIC} only.")
    return tracking.Rule.of(config)


def not_found(message: str) -> ServiceError:
    """Return the service's answer to what isn't there."""
    return ServiceError("ObjectNotFoundException", message)
