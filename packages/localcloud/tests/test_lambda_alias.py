"""Lambda: aliases that route by weight, metrics by version, the names of errors, and limits."""

from __future__ import annotations

import io
import json
import math
import os
import signal
import time
import zipfile
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from importlib import import_module
from typing import TYPE_CHECKING, Any

import pytest
from cloud_harness import project_at

if TYPE_CHECKING:
    from pathlib import Path

executions: Any = import_module("localcloud.services.awslambda.executions")
embedded: Any = import_module("localcloud.services.awslambda.embedded_metrics")
SOURCE = """
import json, os, sys, time
class OwnError(Exception): pass
STARTED = time.time()
def handler(event, context):
    order = event.get("order")
    if order == "raise":
        raise OwnError("as asked")
    if order == "exit":
        os._exit(3)
    if isinstance(order, int):
        return "a" * (order - 2)
    if order == "wait":
        time.sleep(1.5)
    if order == "measure":
        print(json.dumps({"_aws": {"Timestamp": 0, "CloudWatchMetrics": [{"Namespace": "own",
            "Dimensions": [["Of"]], "Metrics": [{"Name": "Handled"}]}]}, "Of": "embedded", "Handled": 2}))
    return {"version": context.function_version, "arn": context.invoked_function_arn, "started": STARTED}
"""


@pytest.fixture(scope="module")
def function(fast: Any) -> str:
    """Return a function that several tests invoke, so none of them may count all its invocations."""
    return create_with_alias(fast)


def create_with_alias(fast: Any) -> str:
    """Create a function with two versions, and an alias that routes half of the invocations to each."""
    name, client = create(fast), fast.lambda_
    client.publish_version(FunctionName=name)
    client.update_function_configuration(FunctionName=name, Environment={"Variables": {"A": "B"}})
    client.publish_version(FunctionName=name)
    weights = {"AdditionalVersionWeights": {"2": 0.5}}
    client.create_alias(FunctionName=name, Name="live", FunctionVersion="1", RoutingConfig=weights)
    return name


@pytest.fixture
def unused_function(fast: Any) -> str:
    """Create a function without invocations, so that its metrics are those of one test."""
    return create(fast)


def create(fast: Any) -> str:
    """Create a function, and return its name."""
    name: str = fast.unique("function")
    fast.lambda_.create_function(
        FunctionName=name,
        Runtime="python3.13",
        Role=fast.role,
        Handler="index.handler",
        Code={"ZipFile": packed(SOURCE)},
    )
    return name


def packed(source: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("index.py", source)
    return buffer.getvalue()


def invoke(rig: Any, name: str, order: str | int = "", qualifier: str = "live") -> tuple[Any, Any]:
    payload = json.dumps({"order": order})
    response = rig.lambda_.invoke(FunctionName=name, Qualifier=qualifier, Payload=payload)
    return response, json.loads(response["Payload"].read())


def test_an_alias_draws_a_version_by_weight() -> None:
    """The new version gets a tenth, within four standard errors; without weights, the old one gets all."""
    alias = {"FunctionVersion": "1", "RoutingConfig": {"AdditionalVersionWeights": {"2": 0.1}}}
    drawn = Counter(executions.draw(alias) for _ in range(20_000))
    assert abs(drawn["2"] / 20_000 - 0.1) < 4 * math.sqrt(0.1 * 0.9 / 20_000)
    assert executions.draw({"FunctionVersion": "1"}) == "1"


def test_both_versions_answer_and_are_named(fast: Any, function: str) -> None:
    """The answer's header names the version that ran, and the handler sees the ARN of the alias."""
    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(lambda _: invoke(fast, function), range(30)))
    assert {body["version"] for _, body in answers} == {"1", "2"}
    assert all(response["ExecutedVersion"] == body["version"] for response, body in answers)
    assert {body["arn"].rpartition(":")[2] for _, body in answers} == {"live"}
    described = fast.lambda_.get_function_configuration(FunctionName=function, Qualifier="live")
    assert (described["Version"], described["FunctionArn"].rpartition(":")[2]) == ("1", "live")


def machine(rig: Any, states: dict[str, Any]) -> Any:
    definition = {"QueryLanguage": "JSONata", "StartAt": "Task", "States": states}
    arn = rig.stepfunctions.create_state_machine(
        name=rig.unique("machine"), definition=json.dumps(definition), roleArn=rig.role
    )["stateMachineArn"]
    execution = rig.stepfunctions.start_execution(stateMachineArn=arn)["executionArn"]
    return rig.until(
        lambda: rig.stepfunctions.describe_execution(executionArn=execution),
        lambda description: description["status"] != "RUNNING",
    )


def task(function: str, order: str = "", **more: Any) -> dict[str, Any]:
    arn = f"arn:aws:lambda:eu-central-1:000000000000:function:{function}:live"
    return {
        "Type": "Task",
        "Resource": "arn:aws:states:::lambda:invoke",
        "Arguments": {"FunctionName": arn, "Payload": {"order": order}},
        "End": True,
        **more,
    }


def test_an_alias_routes_a_state_machine(fast: Any, function: str) -> None:
    """A state machine that calls the alias reaches both versions."""
    processor = {
        "StartAt": "One",
        "States": {"One": task(function, Output="{% $states.result.Payload.version %}")},
    }
    map_state = {
        "Type": "Map",
        "Items": list(range(30)),
        "MaxConcurrency": 2,
        "ItemProcessor": processor,
        "End": True,
    }
    execution = machine(fast, {"Task": map_state})
    assert execution["status"] == "SUCCEEDED", execution
    assert set(json.loads(execution["output"])) == {"1", "2"}


def test_an_alias_routes_an_event_source(fast: Any, function: str) -> None:
    """The batches of an event source reach both versions, as the metrics show."""
    queue = fast.sqs.create_queue(QueueName=fast.unique("queue"))["QueueUrl"]
    arn = fast.sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    before = {version: total(fast, function, "Invocations", version) for version in "12"}
    for _ in range(2):
        entries = [{"Id": str(number), "MessageBody": "{}"} for number in range(10)]
        fast.sqs.send_message_batch(QueueUrl=queue, Entries=entries)
    mapping = fast.lambda_.create_event_source_mapping(
        EventSourceArn=arn, FunctionName=f"{function}:live", BatchSize=1
    )
    fast.until(
        lambda: [total(fast, function, "Invocations", version) - before[version] for version in "12"],
        lambda counts: min(counts) > 0,
    )
    fast.lambda_.delete_event_source_mapping(UUID=mapping["UUID"])


def total(rig: Any, function: str, metric: str, version: str = "", statistic: str = "Sum") -> float:
    now = datetime.now(UTC)
    dimensions = [{"Name": "FunctionName", "Value": function}]
    if version:
        dimensions += [
            {"Name": "Resource", "Value": f"{function}:live"},
            {"Name": "ExecutedVersion", "Value": version},
        ]
    points = rig.cloudwatch.get_metric_statistics(
        Namespace="AWS/Lambda",
        MetricName=metric,
        Dimensions=dimensions,
        StartTime=now - timedelta(hours=1),
        EndTime=now + timedelta(hours=1),
        Period=86400,
        Statistics=[statistic],
    )["Datapoints"]
    return float(sum(point[statistic] for point in points))


def test_metrics_are_by_function_and_by_version(fast: Any) -> None:
    """Invocations, errors and durations are counted; a duration does not include the start."""
    function = create_with_alias(fast)
    asked = 24  # one version gets all of these in one of eight million cases
    answers = [invoke(fast, function, "raise") for _ in range(asked)]
    failed = Counter(response["ExecutedVersion"] for response, _ in answers)
    assert sum(failed.values()) == asked
    fast.until(lambda: total(fast, function, "Errors") >= asked)
    assert total(fast, function, "Errors") == asked
    for version in "12":
        assert total(fast, function, "Errors", version) == failed[version]
        assert total(fast, function, "Invocations", version) >= failed[version]
        assert 0 < total(fast, function, "Duration", version, "Maximum") < 1000
    assert total(fast, function, "Throttles") == 0


def test_an_error_has_the_name_of_its_exception(fast: Any, function: str) -> None:
    """Invoke and a state machine's Catch report the name, and the worker that raised keeps running."""
    _, before = invoke(fast, function, qualifier="1")
    response, error = invoke(fast, function, "raise", "1")
    assert response["FunctionError"] == "Unhandled"
    assert (error["errorType"], error["errorMessage"]) == ("OwnError", "as asked")
    assert 'raise OwnError("as asked")' in error["stackTrace"][-1]
    _, after = invoke(fast, function, qualifier="1")
    assert before["started"] == after["started"]
    catch = [{"ErrorEquals": ["OwnError"], "Output": "{% $states.errorOutput.Error %}", "Next": "Caught"}]
    states = {"Task": task(function, "raise", Catch=catch), "Caught": {"Type": "Succeed"}}
    execution = machine(fast, states)
    assert (execution["status"], json.loads(execution["output"])) == ("SUCCEEDED", "OwnError")


def test_a_synchronous_request_has_its_limit(fast: Any, unused_function: str) -> None:
    """A request of 6 MB runs; one byte more is refused, and does not count as an error of the function."""
    max_bytes = 6_291_456
    payload = b'{"order": "", "more": "%b"}' % (b"a" * (max_bytes - 25))
    assert len(payload) == max_bytes
    answered = fast.lambda_.invoke(FunctionName=unused_function, Payload=payload)
    assert "FunctionError" not in answered
    with pytest.raises(fast.lambda_.exceptions.RequestTooLargeException) as caught:
        fast.lambda_.invoke(FunctionName=unused_function, Payload=payload + b" ")
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 413
    assert f"smaller than {max_bytes} bytes" in str(caught.value)
    fast.until(lambda: total(fast, unused_function, "Invocations") == 1)
    assert total(fast, unused_function, "Errors") == 0


def test_an_answer_has_its_limit(fast: Any, unused_function: str) -> None:
    """An answer of 6 MB and a hundred bytes passes; one byte more counts as an error of the function."""
    max_bytes = 6_291_556
    answered, body = invoke(fast, unused_function, max_bytes, "$LATEST")
    assert ("FunctionError" in answered, len(body)) == (False, max_bytes - 2)
    refused, error = invoke(fast, unused_function, max_bytes + 1, "$LATEST")
    assert (refused["FunctionError"], error["errorType"]) == ("Unhandled", "Function.ResponseSizeTooLarge")
    assert error["errorMessage"] == (
        "Response payload size exceeded maximum allowed payload size (6291556 bytes)."
    )
    fast.until(lambda: total(fast, unused_function, "Errors") == 1)


def test_a_function_that_exits_or_cannot_start_has_lambdas_error(fast: Any, function: str) -> None:
    """The errors are Runtime.ExitError and Runtime.ImportModuleError."""
    assert invoke(fast, function, "exit")[1]["errorType"] == "Runtime.ExitError"
    name = fast.unique("broken")
    fast.lambda_.create_function(
        FunctionName=name,
        Runtime="python3.13",
        Role=fast.role,
        Handler="index.handler",
        Code={"ZipFile": packed("import nowhere")},
    )
    _, error = invoke(fast, name, qualifier="$LATEST")
    assert error["errorType"] == "Runtime.ImportModuleError"
    assert error["errorMessage"] == "Unable to import module 'index': No module named 'nowhere'"


def test_an_update_does_not_break_a_running_invocation(fast: Any, function: str) -> None:
    """A function that is updated while it runs still answers, by its old settings."""
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(invoke, fast, function, "wait", "$LATEST")
        time.sleep(0.5)
        fast.lambda_.update_function_configuration(FunctionName=function, Description="another")
        response, body = answer.result()
    assert "FunctionError" not in response, body


def test_a_worker_ends_with_its_cloud(tmp_path: Path) -> None:
    """A running function ends when its cloud is killed."""
    process: Any = import_module("localcloud.core.process")
    root = tmp_path / "project"
    root.mkdir()
    cloud = process.start(project_at(root))
    client, path = cloud.client("lambda"), tmp_path / "pid"
    source = (
        f"import os, pathlib, time\ndef handler(event, context):\n    pathlib.Path({str(path)!r}).write_text("
    )
    client.create_function(
        FunctionName="endless",
        Runtime="python3.13",
        Role="arn:aws:iam::000000000000:role/service-role",
        Handler="index.handler",
        Timeout=60,
        Code={"ZipFile": packed(source + "str(os.getpid()))\n    time.sleep(60)")},
    )
    client.invoke(FunctionName="endless", InvocationType="Event")
    deadline = time.monotonic() + 20
    while not path.exists() or not path.read_text():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    os.kill(cloud.pid, signal.SIGKILL)
    while alive(int(path.read_text())):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.stop(project_at(root))


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_log_line_can_be_a_metric(fast: Any, function: str) -> None:
    """CloudWatch's embedded metric format is read, and other lines are left alone."""
    invoke(fast, function, "measure")
    now = datetime.now(UTC)
    fast.until(
        lambda: fast.cloudwatch.get_metric_statistics(
            Namespace="own",
            MetricName="Handled",
            Dimensions=[{"Name": "Of", "Value": "embedded"}],
            StartTime=now - timedelta(hours=1),
            EndTime=now + timedelta(hours=1),
            Period=86400,
            Statistics=["Sum"],
        )["Datapoints"],
        lambda points: [point["Sum"] for point in points] == [2.0],
    )
    assert not list(embedded.metrics('{"_aws": 1}\n{"_aws": {"CloudWatchMetrics": [{}]}}\nwords "_aws"'))


def test_an_invocation_does_not_wait_for_output(fast: Any, function: str) -> None:
    """An invocation without output returns at once; ministack alone would wait for 50 ms."""
    invoke(fast, function, qualifier="1")
    started = time.monotonic()
    for _ in range(20):
        invoke(fast, function, qualifier="1")
    assert time.monotonic() - started < 20 * 0.05


def test_only_a_call_by_an_alias_has_an_executed_version() -> None:
    """The metrics of a call by a version's number do not have the dimension ExecutedVersion, as on AWS."""
    call = executions.Invocation("f", "1", "1", by_alias=False, record={})
    assert call.dimensions[-1] == (("FunctionName", "f"), ("Resource", "f:1"))
    call = executions.Invocation("f", "live", "1", by_alias=True, record={})
    assert call.dimensions[-1] == (("FunctionName", "f"), ("Resource", "f:live"), ("ExecutedVersion", "1"))
