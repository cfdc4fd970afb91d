"""The front: who is answered, by whom, and in which protocol."""

from __future__ import annotations

import http.client
import importlib
import json
import socket
import time
from typing import Any
from urllib.parse import urlsplit

import boto3
import pytest
from botocore.awsrequest import AWSResponse
from botocore.config import Config
from botocore.exceptions import ClientError
from hypothesis import given
from hypothesis import strategies as st

access: Any = importlib.import_module("localcloud.core.access")
front = importlib.import_module("localcloud.core.gateway")
protocol = importlib.import_module("localcloud.core.protocol")
errors = importlib.import_module("localcloud.core.errors")


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
    """The refusal comes before everything, CORS preflights included."""
    connection = http.client.HTTPConnection("127.0.0.1", rig.cloud.port, timeout=5)
    connection.request("OPTIONS", "/bucket", headers={"Origin": "https://attacker.example"})
    answer = connection.getresponse()
    assert answer.status == 403
    assert answer.getheader("access-control-allow-origin") is None


OFFER = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAoAAA\r\n"
WEBSOCKET = (
    b"Connection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
)
HOST = b"Host: localhost\r\n"
HEALTH = b"GET /_local/health HTTP/1.1\r\nHost: localhost\r\n%b\r\n"
DESCRIBE = b"POST / HTTP/1.1\r\nHost: localhost\r\nX-Amz-Target: SageMaker.DescribeModel\r\n"
NAMED = b'{"ModelName": "none"}'
CLOSE = b"Connection: close\r\n"


def raw(rig: Any, content: bytes, size: int = 1_000_000) -> list[tuple[int, bytes]]:
    """Send bytes in packets of a size; return the status and body of each answer until the cloud closes.

    Each request gets the cloud's access key.
    """
    content = content.replace(HOST, HOST + f"Authorization: Bearer {rig.cloud.key.id}\r\n".encode())
    with socket.create_connection(("127.0.0.1", rig.cloud.port), timeout=5) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for start in range(0, len(content), size):
            connection.sendall(content[start : start + size])
            time.sleep(0.001)
        answered = b"".join(iter(lambda: connection.recv(65536), b""))
    parts = answered.split(b"HTTP/1.1 ")[1:]
    return [(int(part[:3]), part.partition(b"\r\n\r\n")[2]) for part in parts]


def chunked(body: bytes, size: int) -> bytes:
    pieces = [body[start : start + size] for start in range(0, len(body), size)]
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in (*pieces, b""))


@pytest.mark.parametrize("offer", [OFFER, WEBSOCKET])
@pytest.mark.parametrize("size", [70, 1_000_000])
def test_an_offer_of_another_protocol_is_ignored(rig: Any, offer: bytes, size: int) -> None:
    """Java's HttpClient and `curl --http2` offer HTTP/2; bodies arrive, and the connection stays."""
    length, chunks = b"Content-Length: %d\r\n\r\n" % len(NAMED), b"Transfer-Encoding: chunked \r\n\r\n"
    with_length = DESCRIBE + offer + length + NAMED
    in_chunks = DESCRIBE + offer + chunks + chunked(NAMED, 5)
    closing = with_length.replace(b"Upgrade", b"Upgrade, close", 1)
    plain = HEALTH % b""
    old = closing.replace(b"HTTP/1.1", b"HTTP/1.0")
    answers = raw(rig, with_length + plain + in_chunks + with_length + HEALTH % OFFER + closing, size)
    assert [status for status, _ in answers] == [400, 200, 400, 400, 200, 400]
    for status, body in [*answers, *raw(rig, old, size)]:
        assert status == 200 or b"Could not find model" in body


def test_a_large_body_behind_an_offer_arrives_whole(rig: Any) -> None:
    content = b"0123456789abcdef" * 60_000
    bodies = {
        "length": b"Content-Length: %d\r\n\r\n%b" % (len(content), content),
        "chunks": b"Transfer-Encoding: chunked\r\n\r\n" + chunked(content, 9000),
    }
    for name, body in bodies.items():
        head = f"PUT /{rig.bucket}/{name} HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\n".encode()
        answers = raw(rig, head + OFFER + body + HEALTH % CLOSE)
        assert [status for status, _ in answers] == [100, 200, 200]
        assert rig.get(name) == content


def test_websocket_is_ministacks(rig: Any) -> None:
    """A handshake reaches ministack, which has nothing there; one of a page does not."""
    handshake = b"GET /nothing HTTP/1.1\r\nHost: localhost\r\n" + WEBSOCKET
    assert raw(rig, handshake + b"\r\n") == [(403, b"")]
    assert raw(rig, handshake + b"Origin: https://attacker.example\r\n\r\n") == [(403, b"")]


@pytest.mark.parametrize(
    "request_",
    [
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"CONNECT a:80 HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"CONNECT a:80 HTTP/1.1\r\nHost: localhost\r\n" + WEBSOCKET + b"\r\n",
        DESCRIBE + OFFER + b"Transfer-Encoding: gzip\r\n\r\n0\r\n\r\n",
        DESCRIBE + OFFER + b"Transfer-Encoding: chunked x\r\n\r\n0\r\n\r\n",
        DESCRIBE + OFFER + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        DESCRIBE + OFFER + b"Content-Length: 3\r\nContent-Length: 3\r\n\r\n1,2",
    ],
)
def test_what_is_not_http_1_or_has_no_certain_end_is_the_last(rig: Any, request_: bytes) -> None:
    ((status, body),) = raw(rig, request_ + HEALTH % b"")
    assert (status, body) == (400, b"Invalid HTTP request received.")


def test_every_operation_is_one_of_sagemakers(rig: Any) -> None:
    """No operation has a name that boto3 can't call; others of SageMaker's are refused by name."""
    context = importlib.import_module("localcloud.core.context")
    sagemaker = importlib.import_module("localcloud.services.sagemaker.service")
    catalog = importlib.import_module("localcloud.core.service").Service("servicecatalog")
    made = context.CloudContext(rig.cloud.project)
    service = sagemaker.service(made, rig.cloud.client, catalog)
    assert set(service.operations) <= set(protocol.model("sagemaker").operation_names)
    with pytest.raises(
        rig.sagemaker.exceptions.ClientError, match=r"not part of the local cloud; .*OPERATIONS\.md"
    ):
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


@pytest.mark.parametrize(
    ("service", "operation"),
    [
        ("cloudformation", "list_stacks"),
        ("s3", "list_buckets"),
        ("sagemaker", "list_models"),
        ("lambda", "list_functions"),
    ],
)
def test_every_client_understands_that_the_cloud_ends(service: str, operation: str) -> None:
    """Protects commands from botocore's ResponseParserError, which they do not expect."""

    def answer(request: Any, **_: Any) -> AWSResponse:
        parts = urlsplit(request.url)
        headers = {
            name.lower(): value.decode() if isinstance(value, bytes) else value
            for name, value in request.headers.items()
        }
        scope = {"path": parts.path, "query_string": parts.query.encode()}
        status, sent, body = access.ending(scope, headers)
        found = AWSResponse(
            request.url, status, {name.decode(): value.decode() for name, value in sent}, None
        )
        found._content = body  # noqa: SLF001 - botocore's own stubs set it so
        return found

    client: Any = boto3.Session().client(
        service,
        region_name="us-east-1",
        aws_access_key_id="a",
        aws_secret_access_key="b",
        config=Config(retries={"total_max_attempts": 1}),
    )
    client.meta.events.register("before-send", answer)
    with pytest.raises(ClientError) as refusal:
        getattr(client, operation)()
    error = refusal.value.response["Error"]
    assert (error["Code"], error["Message"]) == ("ServiceUnavailable", "The local cloud was stopped.")
