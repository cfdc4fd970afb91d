"""Scaling: instances that start and stop, and a policy that follows the load."""

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
    """Create an endpoint of one instance."""
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
        lambda description: description["EndpointStatus"] == "InService",
    )


def instances(rig: Any, name: str) -> tuple[int, int]:
    variant = settled(rig, name)["ProductionVariants"][0]
    return variant["CurrentInstanceCount"], variant["DesiredInstanceCount"]


def invoke(rig: Any, name: str, body: bytes = b"who") -> bytes:
    stream = rig.sagemaker_runtime.invoke_endpoint(EndpointName=name, Body=body)["Body"]
    return bytes(stream.read())


def resize(rig: Any, name: str, count: int, variant: str = "v") -> None:
    change = {"VariantName": variant, "DesiredInstanceCount": count}
    rig.sagemaker.update_endpoint_weights_and_capacities(
        EndpointName=name, DesiredWeightsAndCapacities=[change]
    )


@contextmanager
def load(rig: Any, name: str) -> Iterator[list[ClientError]]:
    """Send requests until the block ends, and collect the errors."""
    ended, errors = threading.Event(), []

    def send() -> None:
        while not ended.is_set():
            try:
                invoke(rig, name, b"sleep=0.01")
            except ClientError as error:
                errors.append(error)

    thread = threading.Thread(target=send)
    thread.start()
    try:
        yield errors
    finally:
        ended.set()
        thread.join()


def test_instances_start_and_stop_while_others_serve(fast: Any, endpoint: str) -> None:
    """Three servers answer instead of one, and then one again; no request fails meanwhile."""
    with load(fast, endpoint) as errors:
        resize(fast, endpoint, 3)
        with pytest.raises(ClientError, match="Cannot update in-progress endpoint"):
            resize(fast, endpoint, 2)
        assert instances(fast, endpoint) == (3, 3)
        # Requests of the load take turns too, so any nine answers may come from two of the three servers.
        pids: set[bytes] = set()
        fast.until(lambda: pids.update([invoke(fast, endpoint)]), lambda _: len(pids) == 3)
        assert len(pids | {invoke(fast, endpoint) for _ in range(9)}) == 3
        resize(fast, endpoint, 1)
        assert instances(fast, endpoint) == (1, 1)
        assert len({invoke(fast, endpoint) for _ in range(3)}) == 1
    assert not errors
    with pytest.raises(ClientError, match='Could not find variant "none"'):
        resize(fast, endpoint, 1, "none")


def test_a_policy_follows_the_load(fast: Any, endpoint: str) -> None:
    """Three minutes of AWS above the target scale out, up to MaxCapacity; without load the bounds apply."""
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
            invoke(fast, endpoint)
        return instances(fast, endpoint)[0]

    fast.until(loaded, lambda count: count == 2)
    (activity, *_) = scaling.describe_scaling_activities(
        ServiceNamespace="sagemaker", ResourceId=target["ResourceId"]
    )["ScalingActivities"]
    assert activity["Description"] == "Setting desired instance count to 2."
    scaling.delete_scaling_policy(**target, PolicyName="invocations")
    scaling.register_scalable_target(**target, MinCapacity=1, MaxCapacity=1)
    fast.until(lambda: instances(fast, endpoint), lambda counts: counts == (1, 1))
    response = scaling.describe_scalable_targets(
        ServiceNamespace="sagemaker", ResourceIds=[target["ResourceId"]]
    )
    (described,) = response["ScalableTargets"]
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
def test_target_tracking_counts_as_the_alarms_of_aws(
    minutes: list[float | None], present: int, expected: int
) -> None:
    """Out after three minutes above the target, in after fifteen below 90 %; idle minutes do not count."""
    rule = tracking.TargetTrackingPolicy(target=100.0, out_cooldown=0.0, in_cooldown=0.0, scales_in=True)
    assert tracking.desired_instances(rule, minutes, present) == expected
