"""The front: who is answered, by whom, and in which protocol."""

from __future__ import annotations

import http.client
import importlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

front = importlib.import_module("local.cloud.front")
protocol = importlib.import_module("local.cloud.protocol")
errors = importlib.import_module("local.cloud.errors")


def status_of(rig: Any, headers: dict[str, str], path: str = "/_local/health") -> int:
    connection = http.client.HTTPConnection("127.0.0.1", rig.cloud.port, timeout=5)
    connection.request("GET", path, headers=rig.cloud.key.header | headers)
    status = connection.getresponse().status
    connection.close()
    return status


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Host": "localhost:4566"}, 200),
        ({"Host": "bucket.s3.eu-central-1.amazonaws.com"}, 200),
        ({"Origin": "https://attacker.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"User-Agent": "Mozilla/5.0 (X11)"}, 403),
        ({"Host": "attacker.example"}, 403),
        ({"Host": "127.0.0.1.attacker.example"}, 403),
        ({"Host": "localhost.attacker.example:80"}, 403),
        ({"Host": "evil.amazonaws.com.attacker.example"}, 403),
    ],
)
def test_no_browser_and_no_foreign_name_is_answered(rig: Any, headers: dict[str, str], status: int) -> None:
    """What is behind runs code: a web page must not reach it, by whatever name, not even with the key."""
    assert status_of(rig, headers) == status


def test_a_browser_reaches_ministack_no_more_than_ours(rig: Any) -> None:
    """The refusal stands before everything, CORS preflights included."""
    connection = http.client.HTTPConnection("127.0.0.1", rig.cloud.port, timeout=5)
    connection.request("OPTIONS", "/bucket", headers={"Origin": "https://attacker.example"})
    answer = connection.getresponse()
    assert answer.status == 403
    assert answer.getheader("access-control-allow-origin") is None


def test_every_operation_is_one_of_sagemakers(rig: Any) -> None:
    """No operation has a name that boto3 can't call; others of SageMaker's are refused by name."""
    context = importlib.import_module("local.cloud.context")
    sagemaker = importlib.import_module("local.cloud.sagemaker")
    state = rig.cloud.root / ".local"
    catalog = importlib.import_module("local.cloud.service").Service("servicecatalog")
    made = context.Context(rig.cloud.root, state, rig.cloud.region)
    service = sagemaker.service(made, rig.cloud.client, catalog)
    assert set(service.operations) <= set(protocol.model("sagemaker").operation_names)
    with pytest.raises(rig.sagemaker.exceptions.ClientError, match="not part of the local cloud"):
        rig.sagemaker.list_monitoring_schedules()


def test_a_body_that_is_no_object_is_a_serialization_error(rig: Any) -> None:
    """What can't be read is refused in the protocol."""
    connection = http.client.HTTPConnection("127.0.0.1", rig.cloud.port, timeout=5)
    connection.request("POST", "/", b"[1]", {"X-Amz-Target": "SageMaker.ListModels"} | rig.cloud.key.header)
    answer = connection.getresponse()
    assert (answer.status, json.loads(answer.read())["__type"]) == (400, "SerializationException")


@pytest.mark.parametrize(
    ("request_body", "text"),
    [
        ({}, "Value null at 'modelName' failed to satisfy constraint: Member must not be null"),
        ({"ModelName": "a" * 64}, "length less than or equal to 63"),
        ({"ModelName": "a_b"}, "Member must satisfy regular expression pattern"),
        ({"ModelName": "a", "Tags": [{"Key": "", "Value": ""}]}, "at 'tags.1.member.key'"),
        ({"ModelName": "a", "InferenceExecutionConfig": {"Mode": "Odd"}}, "enum value set: [Serial, Direct]"),
        ({"ModelName": "a", "Colour": "blue"}, "Unknown parameter: Colour"),
    ],
)
def test_requests_are_held_against_the_model(request_body: dict[str, Any], text: str) -> None:
    """What AWS's model of a request forbids is refused in AWS's words."""
    shape = protocol.model("sagemaker").operation_model("CreateModel").input_shape
    with pytest.raises(errors.ServiceError) as caught:
        protocol.check(request_body, shape)
    assert text in caught.value.message


@given(
    st.recursive(
        st.none() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_no_request_breaks_the_validation(body: Any) -> None:
    """Whatever a client sends is either valid or refused with an AWS error."""
    shape = protocol.model("sagemaker").operation_model("CreateTrainingJob").input_shape
    with pytest.raises(errors.ServiceError):
        protocol.check({"AlgorithmSpecification": body, "Tags": body}, shape)
