"""Model Monitor's schedule of the project's own template, with a stand-in for the monitor's container."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

HOUR = timedelta(seconds=4)  # of AWS, at the speed of the fixture
SECOND = timedelta(seconds=1)  # to which the environment has times
PACKAGED = "DefinitionS3Location: monitor.asl.json"
BASELINE = {"statistics": '{"version": 0}', "constraints": '{"version": 1}'}


@pytest.fixture
def endpoint(hourly: Any) -> Iterator[Callable[[str], str]]:
    """Return a function that starts an endpoint with capture, by its name."""
    made: list[str] = []

    def start(name: str) -> str:
        client = hourly.sagemaker
        client.create_model(ModelName=name, ExecutionRoleArn=hourly.role, PrimaryContainer={"Image": "image"})
        variant = {"VariantName": "AllTraffic", "ModelName": name, "InitialInstanceCount": 1}
        client.create_endpoint_config(
            EndpointConfigName=name,
            ProductionVariants=[{**variant, "InstanceType": "ml.m5.large"}],
            DataCaptureConfig={
                "EnableCapture": True,
                "InitialSamplingPercentage": 100,
                "DestinationS3Uri": f"s3://{hourly.bucket}/capture",
                "CaptureOptions": [{"CaptureMode": "Input"}],
                "CaptureContentTypeHeader": {"CsvContentTypes": ["text/csv"]},
            },
        )
        client.create_endpoint(EndpointName=name, EndpointConfigName=name)
        made.append(name)
        hourly.until(
            lambda: client.describe_endpoint(EndpointName=name)["EndpointStatus"],
            lambda status: status == "InService",
        )
        return name

    yield start
    for name in made:
        hourly.sagemaker.delete_endpoint(EndpointName=name)


@pytest.fixture
def monitored(hourly: Any, local_folder: Path) -> Iterator[Callable[[str, str], None]]:
    """Return a function that deploys the monitor's own template for a project, with Model Monitor."""
    stacks, made = local_folder.parent / "stacks", set()
    template = (stacks / "monitor.yml").read_text(encoding="utf-8")
    assert PACKAGED in template

    def deploy(project: str, execution: str) -> None:
        made.add(f"{project}-monitor")
        hourly.put(f"{project}.asl.json", (stacks / "monitor.asl.json").read_text(encoding="utf-8"))
        place = json.dumps({"Bucket": hourly.bucket, "Key": f"{project}.asl.json"})
        for name, content in BASELINE.items():
            hourly.put(f"models/{execution}/{name}.json", content)
        topic = hourly.sns.create_topic(Name=project)["TopicArn"]
        parameters = {
            "Project": project,
            "ExecutionId": execution,
            "ImageUri": "image",
            "ArtifactBucket": hourly.bucket,
            "KmsKeyArn": "arn:aws:kms:eu-central-1:000000000000:key/1",
            "NotificationTopicArn": topic,
            "SageMakerRoleArn": hourly.role,
            "DriftEngine": "model-monitor",
            "AnalyzerImageUri": "sagemaker-model-monitor-analyzer",
            "WatchedFeatures": "x",
        }
        text = template.replace(PACKAGED, f"DefinitionS3Location: {place}")
        settled = hourly.deploy(f"{project}-monitor", text, parameters)
        assert settled["StackStatus"].endswith("_COMPLETE"), hourly.reasons(f"{project}-monitor")
        assert "ROLLBACK" not in settled["StackStatus"], hourly.reasons(f"{project}-monitor")

    yield deploy
    for stack in made:
        hourly.cloudformation.delete_stack(StackName=stack)


def ask(hourly: Any, name: str) -> None:
    """Send a request, which the endpoint captures."""
    hourly.sagemaker_runtime.invoke_endpoint(EndpointName=name, ContentType="text/csv", Body=b"1,2")


def executions(hourly: Any, project: str, status: str) -> list[Any]:
    """List the executions of a project's schedule with a status, oldest first."""
    listed = hourly.sagemaker.get_paginator("list_monitoring_executions")
    found = [
        each
        for page in listed.paginate(MonitoringScheduleName=f"{project}-monitor")
        for each in page["MonitoringExecutionSummaries"]
    ]
    return [each for each in reversed(found) if each["MonitoringExecutionStatus"] == status]


def alarm_is_on(hourly: Any, name: str) -> bool:
    """Return whether an alarm is or was in the ALARM state."""
    history = hourly.cloudwatch.describe_alarm_history(AlarmName=name, HistoryItemType="StateUpdate")
    return any("to ALARM" in each["HistorySummary"] for each in history["AlarmHistoryItems"])


def seen_by(hourly: Any, execution: Any) -> Any:
    """Return the environment and inputs of the stand-in, from the job's output."""
    name = execution["ProcessingJobArn"].rpartition("/")[2]
    job = hourly.sagemaker.describe_processing_job(ProcessingJobName=name)
    place = job["ProcessingOutputConfig"]["Outputs"][0]["S3Output"]["S3Uri"]
    return json.loads(hourly.get(f"{place.removeprefix(f's3://{hourly.bucket}/')}/seen.json"))


def test_the_capture_of_an_hour_is_analysed_and_a_violation_raises_the_alarms(
    hourly: Any, endpoint: Callable[[str], str], monitored: Callable[[str, str], None]
) -> None:
    """The container gets Model Monitor's contract, and the results are processed as with the other engine."""
    project = hourly.unique("m")[:13]
    name = endpoint(f"{project}-prd-1")
    monitored(project, "1")
    for _ in range(3):
        ask(hourly, name)
    first = hourly.until(lambda: executions(hourly, project, "CompletedWithViolations"), seconds=30.0)[0]
    seen = seen_by(hourly, first)
    given = seen["environment"]
    start, end = (datetime.fromisoformat(given[side]) for side in ("start_time", "end_time"))
    assert abs(end - start - HOUR) <= SECOND
    assert abs(first["ScheduledTime"] - end) <= SECOND
    assert given["sagemaker_endpoint_name"] == first["EndpointName"] == name
    assert given["sagemaker_monitoring_schedule_name"] == f"{project}-monitor"
    assert given["publish_cloudwatch_metrics"] == "Enabled"
    assert json.loads(given["dataset_format"]).keys() == {"sagemakerCaptureJson"}
    assert seen["baseline"] == BASELINE
    assert {json.loads(line)["captureData"]["endpointInput"]["data"] for line in seen["lines"]} == {"1,2"}
    for alarm in ("any", "feature-x"):
        hourly.until(lambda alarm=alarm: alarm_is_on(hourly, f"{project}-drift-{alarm}"), seconds=30.0)


def test_an_hour_without_capture_starts_no_job(
    hourly: Any, endpoint: Callable[[str], str], monitored: Callable[[str, str], None]
) -> None:
    """The execution has the reason, as on AWS, and the state machine is not started."""
    project = hourly.unique("m")[:13]
    endpoint(f"{project}-prd-1")
    monitored(project, "1")
    failed = hourly.until(lambda: executions(hourly, project, "Failed"), seconds=30.0)[0]
    assert failed["FailureReason"] == "Job inputs had no data"
    assert "ProcessingJobArn" not in failed
    machine = hourly.outputs(f"{project}-monitor")["StateMachineArn"]
    assert not hourly.stepfunctions.list_executions(stateMachineArn=machine)["executions"]


def test_a_deployment_changes_the_schedule_in_place(
    hourly: Any, endpoint: Callable[[str], str], monitored: Callable[[str, str], None]
) -> None:
    """The schedule then watches the new endpoint and keeps its history; it is deleted with its stack."""
    project = hourly.unique("m")[:13]
    for number in "12":
        endpoint(f"{project}-prd-{number}")
    monitored(project, "1")
    named = {"MonitoringScheduleName": f"{project}-monitor"}
    before = hourly.sagemaker.describe_monitoring_schedule(**named)
    monitored(project, "2")
    after = hourly.sagemaker.describe_monitoring_schedule(**named)
    assert (before["EndpointName"], after["EndpointName"]) == (f"{project}-prd-1", f"{project}-prd-2")
    assert after["CreationTime"] == before["CreationTime"] < after["LastModifiedTime"] <= datetime.now(UTC)
    ask(hourly, f"{project}-prd-2")
    found = hourly.until(lambda: executions(hourly, project, "CompletedWithViolations"), seconds=30.0)[0]
    assert found["EndpointName"] == f"{project}-prd-2"
    hourly.cloudformation.delete_stack(StackName=f"{project}-monitor")
    hourly.until(lambda: gone(hourly, named))


def gone(hourly: Any, named: dict[str, str]) -> bool:
    """Return whether the schedule is deleted."""
    try:
        hourly.sagemaker.describe_monitoring_schedule(**named)
    except ClientError as error:
        return "Could not find monitoring schedule" in str(error)
    return False


def test_another_schedule_expression_is_refused(hourly: Any) -> None:
    """The message has the expression that the local cloud supports."""
    output = {"S3Uri": "s3://artifacts/m", "LocalPath": "/opt/ml/processing/output"}
    definition = {
        "BaselineConfig": {},
        "MonitoringInputs": [
            {"EndpointInput": {"EndpointName": "e", "LocalPath": "/opt/ml/processing/input"}}
        ],
        "MonitoringOutputConfig": {"MonitoringOutputs": [{"S3Output": output}]},
        "MonitoringResources": {
            "ClusterConfig": {"InstanceCount": 1, "InstanceType": "ml.m5.large", "VolumeSizeInGB": 1}
        },
        "MonitoringAppSpecification": {"ImageUri": "image"},
        "RoleArn": hourly.role,
    }
    pace = {"ScheduleExpression": "cron(0 12 ? * * *)"}
    with pytest.raises(ClientError, match=r"hourly: ScheduleExpression must be cron\(0 \* \? \* \* \*\)"):
        hourly.sagemaker.create_monitoring_schedule(
            MonitoringScheduleName=hourly.unique("m"),
            MonitoringScheduleConfig={"MonitoringJobDefinition": definition, "ScheduleConfig": pace},
        )
