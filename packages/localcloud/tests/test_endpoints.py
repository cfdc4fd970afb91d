"""Endpoints: their creation, invocations, errors, metrics, data capture and deletion."""

from __future__ import annotations

import base64
import io
import json
import os
import re
import socket
import tarfile
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SHARED_DATA = Path(os.environ.get("SHARED_DATA", Path(__file__).parents[3] / "shared" / "data"))
MAX_BYTES = 6_291_456


def archive() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        member = tarfile.TarInfo("model.txt")
        member.size = 5
        tar.addfile(member, io.BytesIO(b"model"))
    return buffer.getvalue()


@pytest.fixture
def deploy(rig: Any) -> Iterator[Callable[..., str]]:
    """Create endpoints, and delete those that a test leaves."""
    names: list[str] = []

    def make(count: int = 1, environment: dict[str, str] | None = None, *, wait: bool = True) -> str:
        name: str = rig.unique("endpoint")
        rig.s3.put_object(Bucket=rig.bucket, Key="model/model.tar.gz", Body=archive())
        rig.sagemaker.create_model(
            ModelName=name,
            ExecutionRoleArn=rig.role,
            PrimaryContainer={
                "Image": "image",
                "ModelDataUrl": f"s3://{rig.bucket}/model/model.tar.gz",
                "Environment": environment or {},
            },
        )
        rig.sagemaker.create_endpoint_config(
            EndpointConfigName=name,
            ProductionVariants=[
                {
                    "VariantName": "AllTraffic",
                    "ModelName": name,
                    "InitialInstanceCount": count,
                    "InstanceType": "ml.m5.large",
                }
            ],
            DataCaptureConfig={
                "EnableCapture": True,
                "InitialSamplingPercentage": 100,
                "DestinationS3Uri": f"s3://{rig.bucket}/capture",
                "CaptureOptions": [{"CaptureMode": "Input"}, {"CaptureMode": "Output"}],
                "CaptureContentTypeHeader": {
                    "CsvContentTypes": ["text/csv"],
                    "JsonContentTypes": ["application/json"],
                },
            },
        )
        rig.sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=name)
        names.append(name)
        if wait:
            rig.until(lambda: status(rig, name), lambda current: current != "Creating")
        return name

    yield make
    for name in names:
        if status(rig, name):
            delete(rig, name)


def status(rig: Any, name: str) -> str:
    endpoints = rig.sagemaker.list_endpoints(NameContains=name)["Endpoints"]
    return str(endpoints[0]["EndpointStatus"]) if endpoints else ""


def delete(rig: Any, name: str) -> None:
    rig.sagemaker.delete_endpoint(EndpointName=name)
    rig.until(lambda: not status(rig, name))


def invoke(rig: Any, name: str, body: bytes, **more: Any) -> Any:
    answer = rig.sagemaker_runtime.invoke_endpoint(EndpointName=name, Body=body, **more)
    return {**answer, "Body": answer["Body"].read()}


def refusal(rig: Any, name: str, body: bytes, **more: Any) -> Any:
    with pytest.raises(ClientError) as caught:
        invoke(rig, name, body, **more)
    return caught.value.response


def test_an_endpoint_lives_from_creation_to_deletion(rig: Any, deploy: Callable[..., str]) -> None:
    """An endpoint is InService with its instances, and its processes end with it; errors have AWS's words."""
    name = deploy(2)
    description = rig.sagemaker.describe_endpoint(EndpointName=name)
    assert description["EndpointStatus"] == "InService"
    assert description["ProductionVariants"][0]["CurrentInstanceCount"] == 2
    assert description["DataCaptureConfig"]["CaptureStatus"] == "Started"
    assert (rig.cloud.root / ".local" / "endpoints" / name / "model" / "model.txt").read_text() == "model"
    pids = {invoke(rig, name, b"who")["Body"] for _ in range(4)}
    assert len(pids) == 2
    with pytest.raises(ClientError, match="Cannot create already existing endpoint"):
        rig.sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=name)
    with pytest.raises(ClientError, match='Could not find endpoint configuration "arn:aws:sagemaker'):
        rig.sagemaker.create_endpoint(EndpointName="other", EndpointConfigName="unknown")
    delete(rig, name)
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(int(pid), 0)
    with pytest.raises(ClientError, match=r'ValidationException.*Could not find endpoint "arn:aws:sagemaker'):
        rig.sagemaker.describe_endpoint(EndpointName=name)
    assert "not found" in refusal(rig, name, b"1")["Error"]["Message"]


def test_a_server_that_does_not_start_fails_the_endpoint(rig: Any, deploy: Callable[..., str]) -> None:
    """The reason has the end of the server's log; a failed endpoint can be deleted."""
    name = deploy(1, {"BROKEN": "1"})
    description = rig.sagemaker.describe_endpoint(EndpointName=name)
    assert description["EndpointStatus"] == "Failed"
    assert "did not pass the ping health check" in description["FailureReason"]
    assert "the model is broken" in description["FailureReason"]


def test_a_model_needs_its_data(rig: Any) -> None:
    """CreateModel refuses model data that do not exist."""
    container = {"Image": "image", "ModelDataUrl": f"s3://{rig.bucket}/none/model.tar.gz"}
    with pytest.raises(ClientError, match=r"ValidationException.*Could not find model data at"):
        rig.sagemaker.create_model(ModelName="m", ExecutionRoleArn=rig.role, PrimaryContainer=container)


@pytest.mark.parametrize(
    "address",
    ["https://artifacts.s3-eu-central-1.amazonaws.com", "https://s3.eu-central-1.amazonaws.com/artifacts"],
)
def test_a_model_may_have_the_https_address_of_its_data(rig: Any, address: str) -> None:
    """Protects models of callers who give the address of an object as a browser has it."""
    rig.s3.put_object(Bucket=rig.bucket, Key="model/model.tar.gz", Body=archive())
    container = {"Image": "image", "ModelDataUrl": f"{address}/model/model.tar.gz"}
    request = {"ExecutionRoleArn": rig.role, "PrimaryContainer": container}
    rig.sagemaker.create_model(ModelName=rig.unique("model"), **request)
    container["ModelDataUrl"] = f"{address}/none.tar.gz"
    with pytest.raises(ClientError, match="Could not find model data at s3://artifacts/none"):
        rig.sagemaker.create_model(ModelName=rig.unique("model"), **request)


def test_an_invocation_passes_through_unchanged(rig: Any, deploy: Callable[..., str]) -> None:
    """Body and content types are passed on as by SageMaker; other headers are removed."""
    name = deploy()
    answer = invoke(rig, name, b'{"a": 1}', ContentType="application/json", Accept="application/json")
    assert (answer["Body"], answer["ContentType"]) == (b'{"a": 1}', "application/json")
    assert answer["InvokedProductionVariant"] == "AllTraffic"
    assert "x-own" not in answer["ResponseMetadata"]["HTTPHeaders"]
    assert invoke(rig, name, b"x" * MAX_BYTES)["Body"] == b"x" * MAX_BYTES
    assert invoke(rig, name, b"1", TargetVariant="AllTraffic")["ContentType"] == "text/csv; charset=utf-8"


@pytest.mark.parametrize("code", [400, 415, 500, 503])
def test_a_containers_error_is_a_model_error(rig: Any, deploy: Callable[..., str], code: int) -> None:
    """4xx and 5xx of the container are ModelError 424 with the original status and message."""
    response = refusal(rig, deploy(), b"status=%d" % code)
    assert (response["Error"]["Code"], response["ResponseMetadata"]["HTTPStatusCode"]) == ("ModelError", 424)
    assert (response["OriginalStatusCode"], response["OriginalMessage"]) == (code, '{"error":"as asked"}')
    assert response["LogStreamArn"].startswith("arn:aws:logs:")


def test_sagemaker_refuses_invalid_invocations(rig: Any, deploy: Callable[..., str]) -> None:
    """Too large a body and an unknown variant never reach the container."""
    name = deploy()
    too_large = refusal(rig, name, b"x" * (MAX_BYTES + 1))
    assert too_large["Error"]["Code"] == "ValidationError"
    assert too_large["ResponseMetadata"]["HTTPStatusCode"] == 400
    assert "Variant other not found" in refusal(rig, name, b"1", TargetVariant="other")["Error"]["Message"]


def test_a_response_is_streamed_as_events(rig: Any, deploy: Callable[..., str]) -> None:
    """Protects clients of streamed responses, and those of operations that are not here from ten retries."""
    name, runtime = deploy(), rig.sagemaker_runtime
    request = {"EndpointName": name, "ContentType": "text/csv", "Accept": "text/plain"}
    answer = runtime.invoke_endpoint_with_response_stream(**request, Body=b"x" * 3_000_000)
    assert (answer["ContentType"], answer["InvokedProductionVariant"]) == ("text/plain", "AllTraffic")
    parts = [event["PayloadPart"]["Bytes"] for event in answer["Body"]]
    assert (b"".join(parts), len(parts) > 1) == (b"x" * 3_000_000, True)
    with pytest.raises(ClientError, match="ModelError"):
        runtime.invoke_endpoint_with_response_stream(**request, Body=b"status=500")
    with pytest.raises(
        ClientError, match=r"UnknownOperationException.*not part of the local cloud"
    ) as refused:
        runtime.invoke_endpoint_async(EndpointName=name, InputLocation="s3://bucket/key")
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 501


def test_an_update_replaces_the_servers(rig: Any, deploy: Callable[..., str]) -> None:
    """Protects callers: the former servers answer until the new ones do, and stay if these do not start."""
    name, other = deploy(), deploy()
    first = invoke(rig, name, b"who")
    answer = rig.sagemaker.update_endpoint(EndpointName=name, EndpointConfigName=other)
    assert answer["EndpointArn"].endswith(f"endpoint/{name}")
    assert invoke(rig, name, b"who")
    described = rig.until(
        lambda: rig.sagemaker.describe_endpoint(EndpointName=name),
        lambda seen: seen["EndpointStatus"] == "InService",
    )
    assert described["EndpointConfigName"] == other
    assert invoke(rig, name, b"who") != first
    port = rig.cloud.root / ".local" / "endpoints" / name / "port"
    assert port.is_file()

    broken = rig.unique("broken")
    data = f"s3://{rig.bucket}/model/model.tar.gz"
    container = {"Image": "image", "ModelDataUrl": data, "Environment": {"BROKEN": "1"}}
    rig.sagemaker.create_model(ModelName=broken, ExecutionRoleArn=rig.role, PrimaryContainer=container)
    variant = {"VariantName": "AllTraffic", "ModelName": broken, "InitialInstanceCount": 1}
    variants = [{**variant, "InstanceType": "ml.m5.large"}]
    rig.sagemaker.create_endpoint_config(EndpointConfigName=broken, ProductionVariants=variants)
    rig.sagemaker.update_endpoint(EndpointName=name, EndpointConfigName=broken)
    described = rig.until(
        lambda: rig.sagemaker.describe_endpoint(EndpointName=name),
        lambda seen: seen["EndpointStatus"] == "InService",
    )
    assert described["EndpointConfigName"] == other
    assert "did not pass the ping" in described["FailureReason"]
    assert invoke(rig, name, b"who")


def test_a_dead_server_is_started_again(rig: Any, deploy: Callable[..., str]) -> None:
    """A request that kills its server is not sent again, and the endpoint recovers by itself."""
    name = deploy()
    pid = invoke(rig, name, b"who")["Body"]
    assert refusal(rig, name, b"die")["OriginalStatusCode"] == 503

    def answering_pid() -> Any:
        try:
            return invoke(rig, name, b"who")["Body"]
        except ClientError as error:
            assert "(503)" in str(error)  # noqa: PT017 - one of several errors is right
            return None

    assert rig.until(answering_pid) != pid


def test_deletion_waits_for_requests_in_flight(rig: Any, deploy: Callable[..., str]) -> None:
    """A request from before the deletion gets its answer."""
    name = deploy()
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(invoke, rig, name, b"sleep=1")
        time.sleep(0.4)
        delete(rig, name)
        assert slow.result()["Body"] == b"sleep=1"


def test_metrics_count_invocations_and_errors(rig: Any, deploy: Callable[..., str]) -> None:
    """CloudWatch has the invocations, the errors of each kind and the latencies in microseconds."""
    name = deploy()
    for body in (b"1", b"2", b"status=400", b"status=500"):
        try:
            invoke(rig, name, body)
        except ClientError:
            continue
    delete(rig, name)

    def total(metric: str, statistic: str = "Sum") -> float:
        now = datetime.now(UTC)
        points = rig.cloudwatch.get_metric_statistics(
            Namespace="AWS/SageMaker",
            MetricName=metric,
            Dimensions=[
                {"Name": "EndpointName", "Value": name},
                {"Name": "VariantName", "Value": "AllTraffic"},
            ],
            StartTime=now - timedelta(minutes=5),
            EndTime=now + timedelta(minutes=5),
            Period=600,
            Statistics=[statistic],
        )["Datapoints"]
        return float(sum(point[statistic] for point in points))

    assert [total(metric) for metric in ("Invocations", "Invocation4XXErrors", "Invocation5XXErrors")] == [
        4,
        1,
        1,
    ]
    assert total("ModelLatency", "SampleCount") == 4
    assert 100 < total("ModelLatency", "Maximum") < 5e6
    assert total("OverheadLatency", "Maximum") < 5e6


def schema(value: Any) -> Any:
    """Return the keys and the types of a record, without its values."""
    return {key: schema(member) for key, member in value.items()} if isinstance(value, dict) else type(value)


def test_capture_has_sagemakers_layout(rig: Any, deploy: Callable[..., str]) -> None:
    """Keys, records and encodings are those of real captured files; errors aren't captured."""
    name = deploy()
    invoke(rig, name, b"1,2", ContentType="text/csv", Accept="application/json", InferenceId="golden-1")
    invoke(rig, name, b"\xff", ContentType="image/png")
    refusal(rig, name, b"status=400")
    delete(rig, name)
    (key,) = rig.keys(f"capture/{name}/")
    pattern = r"capture/[^/]+/AllTraffic/\d{4}/\d\d/\d\d/\d\d/\d\d-\d\d-\d{3}-[0-9a-f-]{36}\.jsonl"
    assert re.fullmatch(pattern, key)
    first, second = (json.loads(line) for line in rig.get(key).splitlines())
    assert first["captureData"]["endpointInput"] == {
        "observedContentType": "text/csv",
        "mode": "INPUT",
        "data": "1,2",
        "encoding": "CSV",
    }
    assert first["captureData"]["endpointOutput"]["encoding"] == "JSON"
    assert first["eventMetadata"].pop("inferenceId") == "golden-1"
    assert second["captureData"]["endpointInput"]["encoding"] == "BASE64"
    assert base64.b64decode(second["captureData"]["endpointInput"]["data"]) == b"\xff"
    real = [
        json.loads(line)
        for path in sorted((SHARED_DATA / "data_capture").glob("*.jsonl"))
        for line in path.read_text().splitlines()
    ]
    if not real:
        pytest.skip("the real captured files are not here")
    assert {json.dumps(schema(record), default=str) for record in real} == {
        json.dumps(schema(record), default=str) for record in (first, second)
    }


def test_configurations_and_models_are_described_listed_and_deleted(
    rig: Any, deploy: Callable[..., str]
) -> None:
    """Descriptions have the values of the request; a deleted resource is not found."""
    name = deploy(wait=True)
    config = rig.sagemaker.describe_endpoint_config(EndpointConfigName=name)
    assert config["ProductionVariants"][0]["InitialInstanceCount"] == 1
    assert rig.sagemaker.describe_model(ModelName=name)["PrimaryContainer"]["Image"] == "image"
    assert rig.sagemaker.list_models(NameContains=name)["Models"][0]["ModelName"] == name
    rig.sagemaker.delete_endpoint_config(EndpointConfigName=name)
    rig.sagemaker.delete_model(ModelName=name)
    assert not rig.sagemaker.list_endpoint_configs(NameContains=name)["EndpointConfigs"]
    with pytest.raises(ClientError, match='Could not find model "arn:aws:sagemaker'):
        rig.sagemaker.describe_model(ModelName=name)


def test_a_models_environment_names_the_port_of_the_server(rig: Any, deploy: Callable[..., str]) -> None:
    """Protects from the answers of another server at the port, which would pass for those of the endpoint."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        name = deploy(environment={"SAGEMAKER_BIND_TO_PORT": str(port)})
        assert status(rig, name) == "Failed"
        reason = rig.sagemaker.describe_endpoint(EndpointName=name)["FailureReason"]
        assert f"port {port} of 127.0.0.1 can't be used: Address already in use" in reason
    name = deploy(environment={"SAGEMAKER_BIND_TO_PORT": str(port)})
    assert status(rig, name) == "InService"
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/ping") as answer:
        assert answer.status == 200
