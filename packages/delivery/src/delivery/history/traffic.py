"""The traffic of endpoints: how a deployment moved it, and how many requests were answered."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from delivery.cloud import Cloud

ROLLBACK = "codeDeployRollback"  # who makes the deployment that moves traffic back


def shift(deployments: Iterable[Mapping[str, Any]], stack: str, since: datetime) -> list[dict[str, Any]]:
    """Read how CodeDeploy moved the traffic of the stack's function after `since`, step by step.

    The deployments are those that the local cloud lists, with each step of their traffic.
    """
    return [
        {
            "seconds": round(step["time"] - deployment["created"], 3),
            "aws_seconds": step["aws_seconds"],
            "weights": step["weights"],
        }
        for deployment in deployments
        if deployment["applicationName"].startswith(f"{stack}-")
        and deployment["created"] >= since.timestamp()
        and deployment["creator"] != ROLLBACK
        for step in deployment["shifts"]
    ]


def answered(cloud: Cloud, endpoint_name: str, variant: str = "AllTraffic") -> int:
    """Count the requests that the endpoint answered well, from its metrics."""
    made = _metric_sum(cloud, "Invocations", endpoint_name, variant)
    refused = _metric_sum(cloud, "Invocation4XXErrors", endpoint_name, variant)
    broken = _metric_sum(cloud, "Invocation5XXErrors", endpoint_name, variant)
    return made - refused - broken


def _metric_sum(cloud: Cloud, metric: str, endpoint_name: str, variant: str) -> int:
    now = datetime.now(UTC)
    statistics = cloud.client("cloudwatch").get_metric_statistics(
        Namespace="AWS/SageMaker",
        MetricName=metric,
        Dimensions=[
            {"Name": "EndpointName", "Value": endpoint_name},
            {"Name": "VariantName", "Value": variant},
        ],
        StartTime=now - timedelta(days=1),
        EndTime=now + timedelta(minutes=1),
        Period=86400 + 120,
        Statistics=["Sum"],
    )
    return sum(round(point["Sum"]) for point in statistics["Datapoints"])
