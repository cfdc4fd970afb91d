"""Application Auto Scaling for endpoints: targets with bounds, and policies that track a target value."""

from __future__ import annotations

from typing import TYPE_CHECKING

from localcloud.core.service import Service
from localcloud.services.applicationautoscaling import cloudformation
from localcloud.services.applicationautoscaling.scaling import ScalableTargets

if TYPE_CHECKING:
    from localcloud.core.context import CloudContext


def service(context: CloudContext, sagemaker: Service) -> Service:
    """Return the service, still without targets; it changes instance counts by SageMaker's operations."""
    targets = ScalableTargets(context, sagemaker)
    return Service(
        name="application-autoscaling",
        operations={
            "RegisterScalableTarget": targets.register,
            "DescribeScalableTargets": targets.describe_targets,
            "DeregisterScalableTarget": targets.deregister,
            "PutScalingPolicy": targets.put_policy,
            "DescribeScalingPolicies": targets.describe_policies,
            "DeleteScalingPolicy": targets.delete_policy,
            "DescribeScalingActivities": targets.describe_activities,
        },
        resources={
            "AWS::ApplicationAutoScaling::ScalableTarget": cloudformation.scalable_target(targets),
            "AWS::ApplicationAutoScaling::ScalingPolicy": cloudformation.scaling_policy(targets),
        },
        install=targets.install,
        kept=targets.kept(),
    )
