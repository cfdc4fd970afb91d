"""The API's function gives users the model's answers, and lets Lambda see each failure that is not theirs."""

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
    """The function's parts put together as the handler does, before a server of the test's own."""

    def __init__(self) -> None:
        self.answer: Answer = lambda _: Reply(200, b"4.5\n", {"content-type": "text/csv"})
        self.server: Server
        self.runtime: Any

    def post(self, body: Any = "1,2", headers: Any = CSV, **event: Any) -> dict[str, Any]:
        """Send an event and give the proxy result."""
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


def test_gives_the_models_answer_as_text(api: Api) -> None:
    """A scored request comes back as it left the container."""
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
    """Images reach the model and come back whole."""
    event = {"headers": {}, "body": base64.b64encode(sent).decode(), "isBase64Encoded": True}
    assert proxy.parse_event(event, "id").body == sent
    for kind in ("image/png", "text/csv", "application/json"):
        result = proxy.proxy_result(proxy.Response(200, answered, kind), {})
        body = result["body"]
        assert (base64.b64decode(body) if result["isBase64Encoded"] else body.encode()) == answered


@pytest.mark.parametrize("status", [400, 404, 406, 413, 415, 429])
def test_a_refusal_of_the_container_is_unchanged(api: Api, status: int) -> None:
    """Users see the container's own words, and no error is counted."""
    words = '{"error": {"code": "x", "message": "Größe: 12 %"}}'
    api.answer = lambda _: model_error(status, words)
    result = api.post()
    assert (result["statusCode"], result["body"]) == (status, words)
    assert result["headers"]["content-type"] == "application/json"


@pytest.mark.parametrize(("status", "counted"), [(400, 0), (413, 0), (415, 0), (404, 1), (429, 1)])
def test_only_refusals_that_no_client_brings_about_are_counted(
    api: Api, capsys: pytest.CaptureFixture[str], status: int, counted: int
) -> None:
    """A serving that lost its route shows in an alarm; a client's mistakes do not."""
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
def test_what_is_not_the_clients_fault_raises(api: Api, reply: Reply) -> None:
    """A failing model shows as an error of the version, which rolls it back, and is not asked again."""
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


def test_a_connection_that_had_been_closed_is_made_again(api: Api) -> None:
    """A function that slept longer than its connection fails no user; a server that hangs up twice does."""
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
def test_headers_that_sagemaker_or_the_canary_would_mind_are_refused(
    api: Api, headers: dict[str, str], words: str
) -> None:
    """A client's mistake is told to the client; were it sent on, it would count as a failure of ours."""
    result = api.post(headers=headers)
    assert result["statusCode"] == 400
    assert words in json.loads(result["body"])["error"]["message"]
    assert not api.server.calls


def test_bodies_that_cannot_be_sent_are_refused(api: Api) -> None:
    """Too large and undecodable bodies are answered, not sent."""
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
    """Lambda would count an error, which undoes a canary, of what a caller's many rows bring about."""
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


def test_inference_ids() -> None:
    """Every captured record has an id, and only direct callers of the function may use the canary's."""
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
    """Whoever counts requests by version during a canary can."""
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
    """The API adds no delay that a user would notice to the model's."""
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
