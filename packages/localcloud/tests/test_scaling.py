"""Scaling: instances really come and go, a policy follows the load, and nothing is pretended."""

from __future__ import annotations

import io
import tarfile
import threading
from contextlib import contextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

if TYPE_CHECKING:
    from collections.abc import Iterator

tracking: Any = import_module("localcloud.services.applicationautoscaling.tracking")
DIMENSION = {"ServiceNamespace": "sagemaker", "ScalableDimension": "sagemaker:variant:DesiredInstanceCount"}


@pytest.fixture
def endpoint(fast: Any) -> str:
    """Make an endpoint of one instance."""
    name: str = fast.unique("scaled")
    buffer = io.BytesIO()
    tarfile.open(fileobj=buffer, mode="w:gz").close()
    fast.s3.put_object(Bucket=fast.bucket, Key="scaled/model.tar.gz", Body=buffer.getvalue())
    container = {"Image": "image", "ModelDataUrl": f"s3://{fast.bucket}/scaled/model.tar.gz"}
    fast.sagemaker.create_model(ModelName=name, ExecutionRoleArn=fast.role, PrimaryContainer=container)
    variant = {
        "VariantName": "v",
        "ModelName": name,
        "InitialInstanceCount": 1,
        "InstanceType": "ml.m5.large",
    }
    fast.sagemaker.create_endpoint_config(EndpointConfigName=name, ProductionVariants=[variant])
    fast.sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=name)
    settled(fast, name)
    return name


def settled(rig: Any, name: str) -> Any:
    return rig.until(
        lambda: rig.sagemaker.describe_endpoint(EndpointName=name),
        lambda seen: seen["EndpointStatus"] == "InService",
    )


def instances(rig: Any, name: str) -> tuple[int, int]:
    variant = settled(rig, name)["ProductionVariants"][0]
    return variant["CurrentInstanceCount"], variant["DesiredInstanceCount"]


def ask(rig: Any, name: str, body: bytes = b"who") -> bytes:
    found = rig.sagemaker_runtime.invoke_endpoint(EndpointName=name, Body=body)["Body"]
    return bytes(found.read())


def resize(rig: Any, name: str, count: int, variant: str = "v") -> None:
    change = {"VariantName": variant, "DesiredInstanceCount": count}
    rig.sagemaker.update_endpoint_weights_and_capacities(
        EndpointName=name, DesiredWeightsAndCapacities=[change]
    )


@contextmanager
def load(rig: Any, name: str) -> Iterator[list[ClientError]]:
    """Send request after request until the block ends; what failed is in the list."""
    over, failed = threading.Event(), []

    def send() -> None:
        while not over.is_set():
            try:
                ask(rig, name, b"sleep=0.01")
            except ClientError as error:
                failed.append(error)

    thread = threading.Thread(target=send)
    thread.start()
    try:
        yield failed
    finally:
        over.set()
        thread.join()


def test_instances_come_and_go_while_others_serve(fast: Any, endpoint: str) -> None:
    """Three servers answer after one did, and one is left; no request fails meanwhile."""
    with load(fast, endpoint) as failed:
        resize(fast, endpoint, 3)
        with pytest.raises(ClientError, match="Cannot update in-progress endpoint"):
            resize(fast, endpoint, 2)
        assert instances(fast, endpoint) == (3, 3)
        # The load takes turns too, so any nine answers may come from two of the three.
        pids: set[bytes] = set()
        fast.until(lambda: pids.update([ask(fast, endpoint)]), lambda _: len(pids) == 3)
        assert len(pids | {ask(fast, endpoint) for _ in range(9)}) == 3
        resize(fast, endpoint, 1)
        assert instances(fast, endpoint) == (1, 1)
        assert len({ask(fast, endpoint) for _ in range(3)}) == 1
    assert not failed
    with pytest.raises(ClientError, match='Could not find variant "none"'):
        resize(fast, endpoint, 1, "none")


def test_a_policy_follows_the_load(fast: Any, endpoint: str) -> None:
    """Three minutes of AWS above the target scale out, to no more than the most; bounds hold without load."""
    target = {**DIMENSION, "ResourceId": f"endpoint/{endpoint}/variant/v"}
    scaling = fast.application_autoscaling
    scaling.register_scalable_target(**target, MinCapacity=1, MaxCapacity=2)
    scaling.put_scaling_policy(
        **target,
        PolicyName="invocations",
        PolicyType="TargetTrackingScaling",
        TargetTrackingScalingPolicyConfiguration={
            "TargetValue": 1.0,
            "PredefinedMetricSpecification": {
                "PredefinedMetricType": "SageMakerVariantInvocationsPerInstance"
            },
            "ScaleOutCooldown": 60,
        },
    )
    assert instances(fast, endpoint) == (1, 1)

    def loaded() -> int:
        for _ in range(10):
            ask(fast, endpoint)
        return instances(fast, endpoint)[0]

    fast.until(loaded, lambda count: count == 2)
    (activity, *_) = scaling.describe_scaling_activities(
        ServiceNamespace="sagemaker", ResourceId=target["ResourceId"]
    )["ScalingActivities"]
    assert activity["Description"] == "Setting desired instance count to 2."
    scaling.delete_scaling_policy(**target, PolicyName="invocations")
    scaling.register_scalable_target(**target, MinCapacity=1, MaxCapacity=1)
    fast.until(lambda: instances(fast, endpoint), lambda seen: seen == (1, 1))
    found = scaling.describe_scalable_targets(
        ServiceNamespace="sagemaker", ResourceIds=[target["ResourceId"]]
    )
    (described,) = found["ScalableTargets"]
    assert described["MaxCapacity"] == 1
    scaling.deregister_scalable_target(**target)
    with pytest.raises(ClientError, match="ObjectNotFoundException"):
        scaling.deregister_scalable_target(**target)
    with pytest.raises(ClientError, match="Could not find endpoint"):
        scaling.register_scalable_target(
            **{**target, "ResourceId": "endpoint/none/variant/v"}, MinCapacity=1, MaxCapacity=1
        )


@pytest.mark.parametrize(
    ("minutes", "present", "expected"),
    [
        ([300.0] * 15, 2, 6),
        ([300.0, 300.0, 90.0], 2, 2),
        ([95.0] * 15, 4, 4),
        ([45.0] * 15, 4, 2),
        ([45.0] * 14, 4, 4),
        ([None] * 15, 4, 4),
    ],
)
def test_target_tracking_counts_as_awss_alarms(
    minutes: list[float | None], present: int, expected: int
) -> None:
    """Out after three minutes above the target, in after fifteen below nine tenths; idle ones say nothing."""
    rule = tracking.TargetTrackingPolicy(target=100.0, out_cooldown=0.0, in_cooldown=0.0, scales_in=True)
    assert tracking.desired_instances(rule, minutes, present) == expected
