"""Application Auto Scaling for endpoints: targets with bounds, and policies that track a target value."""

from __future__ import annotations

from typing import TYPE_CHECKING

from localcloud.core.service import Service
from localcloud.services.applicationautoscaling import cloudformation
from localcloud.services.applicationautoscaling.scaling import Scaling

if TYPE_CHECKING:
    from localcloud.core.context import CloudContext


def service(context: CloudContext, sagemaker: Service) -> Service:
    """Return the service with nothing in it yet; it asks SageMaker for instances."""
    scaling = Scaling(context, sagemaker)
    return Service(
        name="application-autoscaling",
        operations={
            "RegisterScalableTarget": scaling.register,
            "DescribeScalableTargets": scaling.describe_targets,
            "DeregisterScalableTarget": scaling.deregister,
            "PutScalingPolicy": scaling.put_policy,
            "DescribeScalingPolicies": scaling.describe_policies,
            "DeleteScalingPolicy": scaling.delete_policy,
            "DescribeScalingActivities": scaling.describe_activities,
        },
        resources={
            "AWS::ApplicationAutoScaling::ScalableTarget": cloudformation.target(scaling),
            "AWS::ApplicationAutoScaling::ScalingPolicy": cloudformation.policy(scaling),
        },
        install=scaling.install,
        close=scaling.close,
    )
