"""Scalable targets and their policies, which are evaluated minute by minute."""

from __future__ import annotations

import logging
import uuid
from typing import TYPE_CHECKING, Any

from localcloud.core import account, ministack, protocol
from localcloud.core.clock import SCALING_EVALUATION, now
from localcloud.core.errors import ServiceError, validation_error
from localcloud.core.service import Kept
from localcloud.core.timers import ALWAYS
from localcloud.services.applicationautoscaling import tracking
from localcloud.services.applicationautoscaling.errors import not_found
from localcloud.services.applicationautoscaling.models import (
    DIMENSION,
    NAMESPACE,
    ScalableTarget,
    Variant,
    check_bounds,
    read_policy,
    read_variant,
)
from localcloud.services.cloudwatch import service as alarms

if TYPE_CHECKING:
    from localcloud.core.context import CloudContext
    from localcloud.core.service import Json, Service

logger = logging.getLogger(__name__)
SERVICE_ROLE = "aws-service-role/sagemaker.application-autoscaling.amazonaws.com"
ROLE_NAME = "AWSServiceRoleForApplicationAutoScaling_SageMakerEndpoint"
ROLE = f"arn:aws:iam::{account.ACCOUNT}:role/{SERVICE_ROLE}/{ROLE_NAME}"
BOUNDS = ("MinCapacity", "MaxCapacity", "SuspendedState")


class ScalableTargets:
    """All scalable targets."""

    def __init__(self, context: CloudContext, sagemaker: Service) -> None:
        """Begin without targets; `install` starts the evaluation."""
        self._context, self._sagemaker = context, sagemaker
        self._targets: dict[Variant, ScalableTarget] = {}
        self._activities: list[Json] = []

    def kept(self) -> dict[str, Kept]:
        """Return how targets, policies and activities outlive the cloud; cooldowns do not."""
        return {
            "targets": Kept(
                lambda: [
                    [*variant, each.description, each.policies] for variant, each in self._targets.items()
                ],
                self._load,
            ),
            "activities": Kept(lambda: self._activities, self._activities.extend),
        }

    def _load(self, saved: list[Any]) -> None:
        for endpoint, name, description, policies in saved:
            self._targets[Variant(endpoint, name)] = ScalableTarget(description, policies)

    def install(self) -> None:
        """Begin to evaluate the policies."""
        evaluate = ministack.in_context(self._evaluate_all)
        self._context.timers.every(SCALING_EVALUATION, evaluate, "evaluation of scaling policies", self._due)

    def register(self, request: Json) -> Json:
        """Register a target, or change the bounds of a registered one."""
        variant = read_variant(request)
        registered = self._targets.get(variant)
        bounds = {key: request[key] for key in BOUNDS if key in request}
        if registered:
            check_bounds({**registered.description, **bounds})
            registered.description.update(bounds)
            return {"ScalableTargetARN": registered.description["ScalableTargetARN"]}
        self._status_and_count(variant)
        check_bounds(bounds)
        arn = self._context.arn("application-autoscaling", f"scalable-target/{uuid.uuid4().hex}")
        own = {"RoleARN": ROLE, "CreationTime": now(), "ScalableTargetARN": arn}
        self._targets[variant] = ScalableTarget({**variant.members, **own, **bounds})
        return {"ScalableTargetARN": arn}

    def deregister(self, request: Json) -> Json:
        """Remove a target with its policies."""
        variant = read_variant(request)
        self._find(variant)
        self._targets.pop(variant, None)
        return {}

    def describe_targets(self, request: Json) -> Json:
        """Describe targets."""
        ids = request.get("ResourceIds")
        targets = [target.description for target in self._targets.values()]
        return {"ScalableTargets": [each for each in targets if not ids or each["ResourceId"] in ids]}

    def put_policy(self, request: Json) -> Json:
        """Create or change a policy that tracks a target value."""
        variant = read_variant(request)
        target = self._find(variant)
        read_policy(request)
        name = request["PolicyName"]
        former = target.policies.get(name)
        identifier = f"{uuid.uuid4()}:resource/{NAMESPACE}/{variant.resource_id}:policyName/{name}"
        arn = (
            former["PolicyARN"] if former else self._context.arn("autoscaling", f"scalingPolicy:{identifier}")
        )
        target.policies[name] = {**request, "PolicyARN": arn, "CreationTime": now()}
        return {"PolicyARN": arn, "Alarms": []}

    def describe_policies(self, request: Json) -> Json:
        """Describe policies."""
        resource_id = request.get("ResourceId")
        policies = [policy for target in self._targets.values() for policy in target.policies.values()]
        return {"ScalingPolicies": [each for each in policies if resource_id in (None, each["ResourceId"])]}

    def delete_policy(self, request: Json) -> Json:
        """Delete a policy.

        Raises:
            ServiceError: the target or the policy does not exist.
        """
        target = self._find(read_variant(request))
        if target.policies.pop(request["PolicyName"], None) is None:
            raise not_found(f"No scaling policy found for name {request['PolicyName']}")
        return {}

    def describe_activities(self, request: Json) -> Json:
        """Describe the changes of instance counts, the newest first."""
        resource_id = request.get("ResourceId")
        activities = [
            each for each in reversed(self._activities) if resource_id in (None, each["ResourceId"])
        ]
        return {"ScalingActivities": activities}

    def _find(self, variant: Variant) -> ScalableTarget:
        if variant not in self._targets:
            raise not_found(
                f"No scalable target found for service namespace: {NAMESPACE}, "
                f"resource ID: {variant.resource_id}, scalable dimension: {DIMENSION}"
            )
        return self._targets[variant]

    def _status_and_count(self, variant: Variant) -> tuple[str, int]:
        try:
            endpoint = protocol.call(self._sagemaker, "DescribeEndpoint", {"EndpointName": variant.endpoint})
        except ServiceError as error:
            raise validation_error(f"{error.message} (Service: SageMaker)") from None
        for description in endpoint.get("ProductionVariants", []):
            if description["VariantName"] == variant.name:
                return str(endpoint["EndpointStatus"]), int(description["CurrentInstanceCount"])
        raise validation_error(f"{variant.resource_id} is not a variant of an endpoint that is in service.")

    def _due(self) -> float | None:
        return ALWAYS if self._targets else None

    def _evaluate_all(self) -> None:
        with ministack.scope(self._context.region):
            for variant, target in list(self._targets.items()):
                try:
                    self._evaluate(variant, target)
                except ServiceError as error:
                    logger.info("%s is not scaled: %s", variant.resource_id, error.message)

    def _evaluate(self, variant: Variant, target: ScalableTarget) -> None:
        status, present = self._status_and_count(variant)
        if status != "InService":
            return
        low, high = target.description["MinCapacity"], target.description["MaxCapacity"]
        counts = [self._desired(variant, target, policy, present) for policy in target.policies.values()]
        desired = min(max(max(counts, default=present), low), high)
        if desired != present:
            self._scale(variant, target, present, desired)

    def _desired(self, variant: Variant, target: ScalableTarget, policy: Json, present: int) -> int:
        """Return the number of instances by a policy; the present one within its cooldown."""
        rule = read_policy(policy)
        minutes = self._invocations(variant, tracking.EVALUATED_MINUTES)
        desired = tracking.desired_instances(rule, minutes, present)
        if desired > present:
            last_change, cooldown = target.scaled_out, rule.out_cooldown
        else:
            last_change, cooldown = max(target.scaled_out, target.scaled_in), rule.in_cooldown
        cooled_down = self._context.clock.simulated() - last_change >= cooldown
        return desired if cooled_down else present

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

    def _scale(self, variant: Variant, target: ScalableTarget, present: int, desired: int) -> None:
        change = {"VariantName": variant.name, "DesiredInstanceCount": desired}
        request = {"EndpointName": variant.endpoint, "DesiredWeightsAndCapacities": [change]}
        protocol.call(self._sagemaker, "UpdateEndpointWeightsAndCapacities", request)
        if desired > present:
            target.scaled_out = self._context.clock.simulated()
        else:
            target.scaled_in = self._context.clock.simulated()
        self._activities.append(
            {
                "ActivityId": str(uuid.uuid4()),
                **variant.members,
                "Description": f"Setting desired instance count to {desired}.",
                "Cause": f"{present} instances had too {'much' if desired > present else 'little'} to do.",
                "StartTime": now(),
                "EndTime": now(),
                "StatusCode": "Successful",
                "StatusMessage": f"Successfully set desired instance count to {desired}.",
            }
        )
