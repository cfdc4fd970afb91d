"""The API's function: clients get answers, and Lambda counts each failure that is not a client's."""

from __future__ import annotations

import base64
import json
import time
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError, ConnectionClosedError, ReadTimeoutError
from hypothesis import given
from hypothesis import strategies as st

from functions.api import endpoint, proxy
from functions.api.settings import Settings
from tests.functions.aws import Answer, Reply, Server, model_error, refuses, serving

if TYPE_CHECKING:
    from collections.abc import Iterator

SETTINGS = Settings("house-prd-1", "1", "ab" * 32, "house")
GATEWAY = {"requestContext": {"apiId": "api"}}
CSV = {"Content-Type": "text/csv"}


class Api:
    """The parts of the handler, in front of a server of the test."""

    def __init__(self) -> None:
        self.answer: Answer = lambda _: Reply(200, b"4.5\n", {"content-type": "text/csv"})
        self.server: Server
        self.runtime: Any

    def post(self, body: Any = "1,2", headers: Any = CSV, **event: Any) -> dict[str, Any]:
        """Send an event and return the proxy result."""
        full = {"headers": headers, "body": body, "isBase64Encoded": False, **GATEWAY, **event}
        try:
            request = proxy.parse_event(full, "request-1")
        except proxy.RequestError as error:
            return proxy.proxy_result(error.response(), {})
        return proxy.proxy_result(endpoint.invoke(self.runtime, SETTINGS, request), {})


@pytest.fixture
def api() -> Iterator[Api]:
    api = Api()
    with serving(lambda call: api.answer(call)) as server:  # noqa: PLW0108 - tests replace it
        api.server, api.runtime = server, server.client("sagemaker-runtime")
        yield api


def test_returns_the_models_answer_as_text(api: Api) -> None:
    """The answer is that of the container, byte for byte."""
    result = api.post("1,2", {**CSV, "Accept": "text/csv", "X-Inference-Id": "mine"})
    assert result == {
        "statusCode": 200,
        "headers": {"content-type": "text/csv"},
        "body": "4.5\n",
        "isBase64Encoded": False,
    }
    (call,) = api.server.calls
    assert (call.endpoint, call.body, call.headers["content-type"]) == ("house-prd-1", b"1,2", "text/csv")
    assert (call.headers["accept"], call.headers["x-amzn-sagemaker-inference-id"]) == ("text/csv", "mine")


@given(st.binary(max_size=200), st.binary(max_size=200))
def test_any_bytes_pass_both_ways(sent: bytes, answered: bytes) -> None:
    """Images reach the model and come back unchanged."""
    event = {"headers": {}, "body": base64.b64encode(sent).decode(), "isBase64Encoded": True}
    assert proxy.parse_event(event, "id").body == sent
    for kind in ("image/png", "text/csv", "application/json"):
        result = proxy.proxy_result(proxy.Response(200, answered, kind), {})
        body = result["body"]
        assert (base64.b64decode(body) if result["isBase64Encoded"] else body.encode()) == answered


@pytest.mark.parametrize("status", [400, 404, 406, 413, 415, 429])
def test_a_client_error_of_the_container_is_unchanged(api: Api, status: int) -> None:
    """Clients see the container's own message, and Lambda counts no error."""
    words = '{"error": {"code": "x", "message": "Größe: 12 %"}}'
    api.answer = lambda _: model_error(status, words)
    result = api.post()
    assert (result["statusCode"], result["body"]) == (status, words)
    assert result["headers"]["content-type"] == "application/json"


@pytest.mark.parametrize(("status", "counted"), [(400, 0), (413, 0), (415, 0), (404, 1), (429, 1)])
def test_only_statuses_that_a_client_cannot_cause_are_counted(
    api: Api, capsys: pytest.CaptureFixture[str], status: int, counted: int
) -> None:
    """A serving that lost its route raises an alarm; a client's mistake does not."""
    api.answer = lambda _: model_error(status, "no")
    api.post()
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(lines) == counted
    for line in lines:
        (metric,) = line["_aws"]["CloudWatchMetrics"]
        assert (metric["Namespace"], metric["Dimensions"]) == ("house", [["EndpointName"]])
        assert (line["EndpointName"], line["HandledFailures"]) == ("house-prd-1", 1)


@pytest.mark.parametrize(
    "reply",
    [
        model_error(500, "boom"),
        model_error(503, "loading"),
        refuses("InternalFailure", status=500),
        refuses("ThrottlingException", status=429),
        refuses("ValidationError", "Endpoint house-prd-1 of account not found."),
    ],
)
def test_other_errors_raise(api: Api, reply: Reply) -> None:
    """A failing model is an error of the version, which rolls it back, and the call is not retried."""
    api.answer = lambda _: reply
    with pytest.raises(ClientError):
        api.post()
    assert len(api.server.calls) == 1


def test_a_time_out_raises(api: Api) -> None:
    """A model that hangs counts as an error."""

    def hang(_: Any) -> Reply:
        time.sleep(1)
        return Reply()

    api.answer, api.runtime = hang, api.server.client("sagemaker-runtime", read_timeout=0.5)
    with pytest.raises(ReadTimeoutError):
        api.post()
    assert len(api.server.calls) == 1


def test_a_closed_connection_is_opened_again(api: Api) -> None:
    """A connection closed while the function was frozen fails no request; a server that closes twice does."""
    replies = [Reply(body=None), Reply(200, b"1")]
    api.answer = lambda _: replies.pop(0)
    assert api.post()["statusCode"] == 200
    replies[:] = [Reply(body=None), Reply(body=None)]
    with pytest.raises(ConnectionClosedError):
        api.post()


@pytest.mark.parametrize(
    ("headers", "words"),
    [
        ({"x-inference-id": "golden-0001"}, "golden-"),
        ({"X-Inference-Id": "synthetic-1"}, "synthetic-"),
        ({"x-inference-id": "a" * 65}, "64"),
        ({"x-inference-id": "ü"}, "ASCII"),
        ({"content-type": "text/csv\t"}, "printable"),
        ({"accept": "a" * 1025}, "1024"),
    ],
)
def test_unsuitable_headers_are_refused(api: Api, headers: dict[str, str], words: str) -> None:
    """The client gets the message; forwarded, the request would count as an error of the function."""
    result = api.post(headers=headers)
    assert result["statusCode"] == 400
    assert words in json.loads(result["body"])["error"]["message"]
    assert not api.server.calls


def test_unsuitable_bodies_are_refused(api: Api) -> None:
    """Too large and undecodable bodies are answered, not forwarded."""
    assert api.post("a" * (proxy.MAX_BODY_BYTES + 1))["statusCode"] == 413
    assert api.post("no base64!", isBase64Encoded=True)["statusCode"] == 400
    assert not api.server.calls


@pytest.mark.parametrize(
    ("kind", "one", "bytes_each"),
    [
        ("text/csv", b"4.5\n", 5),
        ("application/json", b'"no"', 6),
        ("text/csv", "größer\n".encode(), 18),
        ("application/x-npy", b"\0\0\0", 4),
    ],
)
def test_an_answer_above_lambdas_limit_is_refused(api: Api, kind: str, one: bytes, bytes_each: int) -> None:
    """Lambda would count an error, which rolls a canary back, for a client's many rows."""
    envelope = len(json.dumps(proxy.proxy_result(proxy.Response(200, b"", kind), {})))
    most = (proxy.MAX_RESULT_BYTES - envelope) // bytes_each
    api.answer = lambda _: Reply(200, one * most, {"content-type": kind})
    result = api.post()
    assert result["statusCode"] == 200
    assert envelope + most * bytes_each == len(json.dumps(result)) <= proxy.MAX_RESULT_BYTES
    api.answer = lambda _: Reply(200, one * (most + 1), {"content-type": kind})
    result = api.post()
    error = json.loads(result["body"])["error"]
    assert (result["statusCode"], error["code"]) == (413, "answer_too_large")
    assert error["message"].endswith("send fewer rows.")


def test_every_request_has_an_inference_id() -> None:
    """Only direct callers of the function may use the reserved ones."""
    assert (
        proxy.parse_event({**GATEWAY, "headers": None, "body": None}, "request-1").inference_id == "request-1"
    )
    assert (
        proxy.parse_event({**GATEWAY, "headers": {"x-inference-id": ""}}, "request-1").inference_id
        == "request-1"
    )
    direct = {"headers": {"x-inference-id": "synthetic-golden-0001"}, "body": "1"}
    assert proxy.parse_event(direct, "request-1").inference_id == "synthetic-golden-0001"


def test_handler_names_the_version_that_answered(monkeypatch: pytest.MonkeyPatch, api: Api) -> None:
    """Requests can be counted by version during a canary."""
    for name, value in vars(SETTINGS).items():
        monkeypatch.setenv(name.upper(), value)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    from functions.api import handler  # noqa: PLC0415 - it reads the environment when imported
    from tests.functions.aws import Context  # noqa: PLC0415 - beside the other import of this test

    monkeypatch.setattr(handler, "RUNTIME", api.runtime)
    event = {"headers": CSV, "body": "1,2", **GATEWAY}
    assert handler.handler(event, Context())["headers"] == {
        "content-type": "text/csv",
        "x-model-version": "1",
        "x-inference-id": "request-1",
    }
    event["headers"] = {"x-inference-id": "golden-1"}
    refused = handler.handler(event, Context())
    assert (refused["statusCode"], refused["headers"]["x-model-version"]) == (400, "1")


def test_the_functions_own_part_takes_less_than_a_millisecond() -> None:
    """The delay of the API is small beside the model's."""
    body = base64.b64encode(b"1.5,2.5,3.5\n" * 100).decode()
    headers = {f"x-header-{number}": "value" for number in range(20)} | CSV
    event = {"headers": headers, "body": body, "isBase64Encoded": True, **GATEWAY}
    answer = proxy.Response(200, b"4.5\n" * 100, "text/csv")
    times = []
    for _ in range(50):
        began = time.perf_counter()
        proxy.parse_event(event, "id")
        proxy.proxy_result(answer, {"x-model-version": "1"})
        times.append(time.perf_counter() - began)
    assert min(times) < 0.001
