"""The monitor on several instances of the project's own container: same results as on one instance."""

from __future__ import annotations

import json
import random
import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pathlib import Path

HOUR = "2026/01/31/14"
WINDOW = {"Start": "2026-01-31T14:00:00Z", "End": "2026-01-31T15:00:00Z"}
INPUT = "/opt/ml/processing/input/data"
OUTPUT = "/opt/ml/processing/output"


def rows(count: int, shift: float, seed: int) -> list[str]:
    chance = random.Random(seed)
    return [f"{chance.gauss(shift, 1)!r},{chance.choice('ab')}" for _ in range(count)]


def capture_of(table: list[str]) -> str:
    """Return requests as an endpoint captures them, one row in each."""
    return "".join(
        json.dumps(
            {
                "captureData": {
                    "endpointInput": {
                        "observedContentType": "text/csv",
                        "mode": "INPUT",
                        "data": row,
                        "encoding": "CSV",
                    }
                },
                "eventMetadata": {"eventId": row, "inferenceTime": "2026-01-31T14:30:00Z"},
                "eventVersion": "0",
            }
        )
        + "\n"
        for row in table
    )


def put_baseline(cloud: Any) -> None:
    """Create a baseline with the container, as the training does."""
    name = cloud.unique("baseline")
    data = cloud.put("prepared/baseline.csv", "\n".join(["x,c", *rows(1000, 0.0, seed=0)]))
    s3_input = {"S3Uri": data, "S3DataType": "S3Prefix", "S3InputMode": "File", "LocalPath": INPUT}
    output = {"S3Uri": f"s3://{cloud.bucket}/models/1", "LocalPath": OUTPUT, "S3UploadMode": "EndOfJob"}
    cloud.sagemaker.create_processing_job(
        ProcessingJobName=name,
        RoleArn=cloud.role,
        AppSpecification={"ImageUri": "image", "ContainerArguments": ["monitor"]},
        Environment={"dataset_source": INPUT, "output_path": OUTPUT},
        ProcessingInputs=[{"InputName": "data", "S3Input": s3_input}],
        ProcessingOutputConfig={"Outputs": [{"OutputName": "baseline", "S3Output": output}]},
        ProcessingResources={
            "ClusterConfig": {"InstanceCount": 1, "InstanceType": "ml.m5.large", "VolumeSizeInGB": 1}
        },
    )
    ended = cloud.until(
        lambda: cloud.sagemaker.describe_processing_job(ProcessingJobName=name),
        lambda job: job["ProcessingJobStatus"] != "InProgress",
    )
    assert ended["ProcessingJobStatus"] == "Completed", ended


def analyse(cloud: Any, definition: str, project: str, instances: int) -> str:
    """Start the project's own state machine, and return the execution's ARN."""
    given = {
        "ArtifactBucket": cloud.bucket,
        "EndpointName": "watched-prd-2",
        "ExecutionId": "1",
        "GovernorArn": "unused",
        "GroundTruthDelaySeconds": "0",
        "GroundTruthPrefix": "",
        "ImageUri": "image",
        "InstanceCount": str(instances),
        "InstanceType": "ml.m5.large",
        "KmsKeyArn": "arn:aws:kms:eu-central-1:000000000000:key/1",
        "MaxRuntimeInSeconds": "60",
        "MaxUnusable": "0.05",
        "MetricNamespace": "drift",
        "MinimumRecords": "100",
        "NotificationTopicArn": cloud.sns.create_topic(Name=project)["TopicArn"],
        "Project": project,
        "SageMakerRoleArn": cloud.role,
        "SecurityGroupIds": "",
        "SubnetIds": "",
        "VolumeKmsKeyArn": "",
        "VolumeSizeInGB": "1",
        "WindowSeconds": "3600",
    }
    text = re.sub(r"\$\{(\w+)\}", lambda found: given[found[1]], definition)
    states = cloud.stepfunctions
    machine = states.create_state_machine(name=f"{project}-monitor", definition=text, roleArn=cloud.role)
    execution = states.start_execution(stateMachineArn=machine["stateMachineArn"], input=json.dumps(WINDOW))
    return str(execution["executionArn"])


def results(cloud: Any, execution: str) -> dict[str, Any]:
    """Return the result files of an analysis, by name."""
    ended = cloud.until(
        lambda: cloud.stepfunctions.describe_execution(executionArn=execution),
        lambda seen: seen["status"] != "RUNNING",
        60.0,
    )
    assert ended["status"] == "SUCCEEDED", ended
    prefix = json.loads(ended["output"])["Results"].removeprefix(f"s3://{cloud.bucket}/")
    return {key.removeprefix(f"{prefix}/"): json.loads(cloud.get(key)) for key in cloud.keys(f"{prefix}/")}


def sort_sketch(statistics: dict[str, Any]) -> None:
    """Sort the numbers of each sketch, whose order depends on the order of the rows."""
    features = [each["numerical_statistics"] for each in statistics["features"] if each["name"] == "x"]
    for level in features[0]["distribution"]["kll"]["sketch"]["data"]:
        level.sort()


@pytest.mark.e2e  # for its time
def test_two_instances_and_a_merge_give_the_results_of_one_instance(
    container_cloud: Any, local_folder: Path
) -> None:
    """Statistics, violations and metrics of files that the instances share are equal to the last digit."""
    put_baseline(container_cloud)
    projects = [container_cloud.unique("m")[:13] for _ in range(2)]
    for project in projects:
        for number, endpoint in enumerate((1, 2, 2)):
            key = f"capture/{project}-prd-{endpoint}/AllTraffic/{HOUR}/{number}.jsonl"
            container_cloud.put(key, capture_of(rows(200, 1.0, seed=number)))
    definition = (local_folder.parent / "stacks" / "monitor.asl.json").read_text(encoding="utf-8")
    executions = [
        analyse(container_cloud, definition, project, instances)
        for instances, project in enumerate(projects, 1)
    ]
    one, two = (results(container_cloud, execution) for execution in executions)
    parts = {name: two.pop(name) for name in ("partial/algo-1.json", "partial/algo-2.json")}
    assert [part["rows"] for part in parts.values()] == [400, 200]
    assert one["statistics.json"]["dataset"]["item_count"] == 600
    (violation,) = one["constraint_violations.json"]["violations"]
    assert (violation["feature_name"], violation["constraint_check_type"]) == ("x", "baseline_drift_check")
    assert one.keys() == two.keys()
    for found in (one, two):
        sort_sketch(found["statistics.json"])
    assert json.dumps(one).replace(*projects) == json.dumps(two)


def test_captured_data_that_cannot_be_read_is_reported_and_is_not_drift(
    container_cloud: Any, local_folder: Path
) -> None:
    """Its share is a metric for people; the metric that starts retraining stays 0."""
    put_baseline(container_cloud)
    project = container_cloud.unique("m")[:13]
    content = capture_of(rows(200, 0.0, seed=1)) + "{\n" * 100
    container_cloud.put(f"capture/{project}-prd-2/AllTraffic/{HOUR}/0.jsonl", content)
    definition = (local_folder.parent / "stacks" / "monitor.asl.json").read_text(encoding="utf-8")
    found = results(container_cloud, analyse(container_cloud, definition, project, 1))
    (violation,) = found["constraint_violations.json"]["violations"]
    assert violation["constraint_check_type"] == "unusable_records_check"
    now = datetime.now(UTC)
    published = {
        name: container_cloud.cloudwatch.get_metric_statistics(
            Namespace="drift",
            MetricName=name,
            Dimensions=[
                {"Name": "Endpoint", "Value": "watched-prd-2"},
                {"Name": "MonitoringSchedule", "Value": f"{project}-monitor"},
            ],
            StartTime=now - timedelta(hours=1),
            EndTime=now + timedelta(hours=1),
            Period=7200,
            Statistics=["Maximum"],
        )["Datapoints"][0]["Maximum"]
        for name in ("unusable_records_share", "constraint_violations")
    }
    assert published == {"unusable_records_share": pytest.approx(1 / 3), "constraint_violations": 0}
