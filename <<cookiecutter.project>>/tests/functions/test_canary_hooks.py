"""The hooks: CodeDeploy gets the outcome of each, and only a valid endpoint gets traffic."""

from __future__ import annotations

import io
import json
import time
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from functions.canary import clients as canary_clients
from functions.canary import endpoints, golden_requests, hook, post_traffic, pre_traffic, synthetic, verify
from functions.canary.deadline import Deadline, DeadlineExceededError
from functions.canary.golden_set import GoldenRequest, GoldenSet
from functions.canary.settings import PostTrafficSettings, PreTrafficSettings, SyntheticSettings
from functions.canary.validation import ValidationFailedError
from tests.functions.aws import Call, Context, Reply, Server, model_error, refuses, says, serving

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

NEW, OLD = "house-prd-2", "house-prd-1"
EVENT = {"DeploymentId": "d-1", "LifecycleEventHookExecutionId": "hook-1"}
GOLDEN_URL = "s3://bucket/models/2/golden.json"
ROWS = [(f"golden-{number:04}", f"{number}.5,1", float(number), number + 0.25) for number in range(1, 11)]
PRE = PreTrafficSettings(1e-9, 0.1, 400, NEW, GOLDEN_URL, "house-api", "live", 4)
POST = PostTrafficSettings(1e-9, 0.1, 400, NEW, GOLDEN_URL, f"s3://bucket/capture/{NEW}/", 100)


class Aws:
    """An account with two endpoints, of which a test can break a part."""

    def __init__(self) -> None:
        self.answers: dict[str, Callable[[Call], Reply]] = {NEW: self.good, OLD: self.good}
        self.described: dict[str, dict[str, Any]] = {NEW: self.endpoint(1), OLD: self.endpoint(1)}
        self.statuses: list[str] = []
        self.codedeploy: Callable[[Call], Reply] = self.listen
        self.functions: dict[str, Reply] = {
            "aliases/live": Reply(200, b'{"FunctionVersion": "7"}'),
            "configuration?Qualifier=7": Reply(
                200, json.dumps({"Environment": {"Variables": {"ENDPOINT_NAME": OLD}}}).encode()
            ),
        }
        self.objects: dict[str, tuple[datetime, bytes]] = {"models/2/golden.json": (now(), golden_json())}
        self.began = now()
        self.server: Server

    def endpoint(self, count: int, **facts: Any) -> dict[str, Any]:
        """Describe an endpoint."""
        capture = {"EnableCapture": True, "CaptureStatus": "Started"}
        variant = {"VariantName": "AllTraffic", "CurrentInstanceCount": count}
        standard = {"EndpointStatus": "InService", "DataCaptureConfig": capture}
        return {**standard, "ProductionVariants": [variant], **facts}

    def good(self, call: Call) -> Reply:
        """Answer as the evaluated model does."""
        return predictions(next(answer for _, body, _, answer in ROWS if body == call.body.decode()))

    def listen(self, call: Call) -> Reply:
        """Answer as CodeDeploy."""
        if call.operation == "GetDeployment":
            return says({"deploymentInfo": {"createTime": self.began.timestamp()}})
        self.statuses.append(call.json()["status"])
        return says({"lifecycleEventHookExecutionId": "hook-1"})

    def answer(self, call: Call) -> Reply:
        """Answer as the service that was called."""
        if call.path.endswith("/invocations"):
            return self.answers[call.endpoint](call)
        if call.headers.get("x-amz-target", "").startswith("CodeDeploy"):
            return self.codedeploy(call)
        if call.headers.get("x-amz-target", "").startswith("SageMaker"):
            return self.sagemaker(call)
        if "/functions/" in call.path:
            known = {key: reply for key, reply in self.functions.items() if call.path.endswith(key)}
            return next(iter(known.values()), refuses("ResourceNotFoundException", status=404))
        return self.s3(call)

    def sagemaker(self, call: Call) -> Reply:
        """Answer as SageMaker."""
        name = call.json()["EndpointName"]
        if name not in self.described:
            return refuses("ValidationException", f"Could not find endpoint {name}.")
        if call.operation == "UpdateEndpointWeightsAndCapacities":
            (change,) = call.json()["DesiredWeightsAndCapacities"]
            variant = self.described[name]["ProductionVariants"][0]
            assert change["VariantName"] == variant["VariantName"]
            variant["CurrentInstanceCount"] = change["DesiredInstanceCount"]
        return says({"EndpointName": name, **self.described[name]})

    def s3(self, call: Call) -> Reply:
        """Answer as S3."""
        key = call.path.partition("?")[0].removeprefix("/bucket/")
        if key in self.objects:
            return Reply(200, self.objects[key][1])
        prefix = f"capture/{NEW}/"
        found = "".join(
            f"<Contents><Key>{key}</Key><LastModified>{when:%Y-%m-%dT%H:%M:%S.000Z}</LastModified></Contents>"
            for key, (when, _) in self.objects.items()
            if key.startswith(prefix)
        )
        return Reply(200, f"<ListBucketResult>{found}</ListBucketResult>".encode())

    def capture(self, key: str, when: datetime, modified: datetime | None = None) -> None:
        """Capture a request."""
        record = {"eventMetadata": {"inferenceTime": f"{when:%Y-%m-%dT%H:%M:%SZ}"}, "captureData": {}}
        self.objects[key] = (modified or when, json.dumps(record).encode() + b"\n")


def now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)


def predictions(*values: Any) -> Reply:
    return Reply(200, json.dumps({"predictions": values}).encode(), {"content-type": "application/json"})


def golden_json() -> bytes:
    requests = [dict(zip(("id", "body", "label", "answer"), row, strict=True)) for row in ROWS]
    return json.dumps({"version": 1, "content_type": "text/csv", "requests": requests}).encode()


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[Aws]:
    monkeypatch.setattr(endpoints, "POLL_SECONDS", 0.01)
    monkeypatch.setattr("functions.canary.capture.POLL_SECONDS", 0.01)
    aws = Aws()
    with serving(aws.answer) as aws.server:
        yield aws


def before(
    aws: Aws, settings: PreTrafficSettings = PRE, seconds: float = 20, **config: Any
) -> hook.HookResult:
    """Run the check before traffic."""
    client = aws.server.client
    runtime = client("sagemaker-runtime", **config)
    clients = pre_traffic.Clients(client("lambda"), runtime, client("s3"), client("sagemaker"))
    return pre_traffic.check(settings, clients, Deadline(time.monotonic() + seconds))


def after(aws: Aws, settings: PostTrafficSettings = POST, seconds: float = 20) -> hook.HookResult:
    """Run the check after traffic."""
    clients = post_traffic.Clients(*map(aws.server.client, ("codedeploy", "sagemaker-runtime", "s3")))
    return post_traffic.check(settings, clients, "d-1", Deadline(time.monotonic() + seconds))


def invocations(aws: Aws, endpoint: str) -> list[Call]:
    """Return the requests to an endpoint."""
    return [c for c in aws.server.calls if c.path.endswith("/invocations") and c.endpoint == endpoint]


def test_a_good_model_passes(aws: Aws) -> None:
    """Every golden request reaches both endpoints once, under its own id."""
    facts = before(aws)
    assert (facts["requests"], facts["champion_note"]) == (10, OLD)
    assert facts["error"] == facts["champion_error"] == pytest.approx(0.1)
    for endpoint in (NEW, OLD):
        ids = [call.headers["x-amzn-sagemaker-inference-id"] for call in invocations(aws, endpoint)]
        assert ids == [row[0] for row in ROWS]


@contextmanager
def validation_fails(words: str) -> Iterator[None]:
    with pytest.raises(ValidationFailedError, match=words):
        yield


def test_a_model_that_is_not_the_evaluated_one_is_stopped(aws: Aws) -> None:
    """A wrong model archive is found, even if the model predicts well."""
    aws.answers[NEW] = lambda call: predictions(float(call.body.decode().split(".")[0]))
    with validation_fails("another model is served"):
        before(aws)


def test_a_model_worse_than_the_champion_is_stopped(aws: Aws) -> None:
    """A model that is worse by more than the tolerance is stopped, and no other."""
    aws.answers[OLD] = lambda call: predictions(float(call.body.decode().split(".")[0]))
    with validation_fails("more than the tolerance of 0.05"):
        before(aws, replace(PRE, golden_tolerance=0.05))
    assert before(aws, replace(PRE, golden_tolerance=0.11))["champion_error"] == 0


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (model_error(500, "boom"), "status 500, boom"),
        (model_error(400, "no such column"), "status 400, no such column"),
        (refuses("InternalFailure", status=500), "InternalFailure"),
        (Reply(200, b"4.5\n", {"content-type": "text/csv"}), "no prediction"),
        (Reply(200, b'{"predictions": [1, 2]}'), "no prediction"),
        (Reply(body=None), "Connection was closed"),
    ],
)
def test_a_model_that_does_not_answer_is_stopped_soon(aws: Aws, reply: Reply, words: str) -> None:
    """Three failures are enough, and the message has their reason."""
    aws.answers[NEW] = lambda _: reply
    with validation_fails(words):
        before(aws)
    assert len(invocations(aws, NEW)) == golden_requests.MAX_FAILURES


def test_one_failure_in_many_stops_the_model(aws: Aws) -> None:
    """A golden request is not retried."""
    aws.answers[NEW] = lambda call: model_error(500, "boom") if b"5.5" in call.body else aws.good(call)
    with validation_fails("golden-0005"):
        before(aws)


def test_a_slow_or_hanging_model_is_stopped(aws: Aws) -> None:
    """A late answer counts like a missing one."""

    def late(call: Call) -> Reply:
        time.sleep(0.03)
        return aws.good(call)

    aws.answers[NEW] = late
    with validation_fails("20 ms are allowed"):
        before(aws, replace(PRE, latency_threshold_ms=20))
    assert len(invocations(aws, NEW)) == 2  # of ten: the others could change nothing

    def hang(call: Call) -> Reply:
        time.sleep(0.7)
        return aws.good(call)

    aws.answers[NEW] = hang
    with validation_fails("Read timeout"):
        before(aws, read_timeout=0.5)


@pytest.mark.parametrize("failing", [model_error(400, "no such column"), model_error(500, "boom")])
def test_a_failing_champion_does_not_block_its_successor(aws: Aws, failing: Reply) -> None:
    """New columns can be introduced, and a broken model replaced."""
    aws.answers[OLD] = lambda _: failing
    facts = before(aws)
    assert facts["champion_error"] is None
    assert facts["champion_note"].startswith(f"{OLD} failed")


def test_a_slow_champion_does_not_block_its_successor(aws: Aws) -> None:
    """The check does not wait for all late answers of the old model."""

    def late(call: Call) -> Reply:
        time.sleep(0.25)
        return aws.good(call)

    aws.answers[OLD] = late
    assert before(aws, replace(PRE, latency_threshold_ms=200))["champion_note"] == f"{OLD} failed: it is late"
    assert len(invocations(aws, OLD)) == 2


def test_without_a_champion_the_model_is_validated_alone(aws: Aws) -> None:
    """This is so for the first version, and for one that is deployed again."""
    aws.functions.clear()
    assert before(aws)["champion_note"] == "no other endpoint serves"


def test_an_endpoint_that_is_not_in_service_or_captures_nothing_is_stopped(aws: Aws) -> None:
    """Traffic goes only to endpoints in service that capture their requests."""
    aws.described[NEW] = aws.endpoint(1, EndpointStatus="Failed", FailureReason="no capacity")
    with validation_fails("no capacity"):
        before(aws)
    for capture in ({}, {"EnableCapture": True, "CaptureStatus": "Stopped"}, {"EnableCapture": False}):
        aws.described[NEW] = aws.endpoint(1, DataCaptureConfig=capture)
        with validation_fails("capture"):
            before(aws)
    aws.described[NEW] = aws.endpoint(1, EndpointStatus="Creating")
    with pytest.raises(DeadlineExceededError, match="is Creating"):
        before(aws, seconds=0.1)
    assert not invocations(aws, NEW)


@pytest.mark.parametrize(("old", "new", "most", "becomes"), [(3, 1, 4, 3), (9, 1, 4, 4), (1, 2, 4, 2)])
def test_the_new_endpoint_is_as_large_as_the_old_one(
    aws: Aws, old: int, new: int, most: int, becomes: int
) -> None:
    """It gets the old endpoint's instance count within the scaling limit, and never fewer than it has."""
    aws.described |= {OLD: aws.endpoint(old), NEW: aws.endpoint(new)}
    assert before(aws, replace(PRE, max_capacity=most))["instances"] == becomes


def test_a_deleted_champion_needs_no_instances(aws: Aws) -> None:
    """The alias may name an endpoint that someone deleted."""
    del aws.described[OLD]
    aws.answers[OLD] = lambda _: refuses("ValidationError", "Endpoint not found.")
    assert before(aws)["instances"] == 1


def test_a_captured_request_ends_the_wait(aws: Aws) -> None:
    """Records may arrive minutes later."""

    def flush(call: Call) -> Reply:
        if len(invocations(aws, NEW)) == len(ROWS):
            aws.capture(f"capture/{NEW}/AllTraffic/1.jsonl", now())
        return aws.good(call)

    aws.answers[NEW] = flush
    assert after(aws)["captured"] == 1


def test_records_of_other_endpoints_and_earlier_ones_do_not_count(aws: Aws) -> None:
    """Records of another endpoint, and those captured or written before the deployment began."""
    before_it = aws.began - timedelta(seconds=10)
    aws.capture(f"capture/{OLD}/AllTraffic/1.jsonl", now())
    aws.capture(f"capture/{NEW}/AllTraffic/1.jsonl", before_it)
    aws.capture(f"capture/{NEW}/AllTraffic/2.jsonl", before_it, modified=now())
    with pytest.raises(DeadlineExceededError, match="captured"):
        after(aws, seconds=4.0)  # enough to ask on a busy machine, and then to wait in vain
    (listing,) = {c.path.partition("?")[2] for c in aws.server.calls if "list-type" in c.path}
    assert f"prefix=capture%2F{NEW}%2F" in listing


def test_a_small_capture_percentage_gets_more_requests(aws: Aws) -> None:
    """Then a missing record means that capture is broken; without capture, the hook does not wait."""
    aws.capture(f"capture/{NEW}/AllTraffic/1.jsonl", now())
    after(aws, replace(POST, capture_percentage=50))
    assert len(invocations(aws, NEW)) == 30
    assert after(aws, replace(POST, capture_percentage=0))["captured"] == 0


def test_a_model_that_broke_under_traffic_is_found_afterwards(aws: Aws) -> None:
    """The golden requests are sent once more."""
    aws.answers[NEW] = lambda _: model_error(500, "boom")
    with validation_fails("boom"):
        after(aws)


def run(
    aws: Aws, check: Callable[[Deadline], hook.HookResult], milliseconds: int = 60_000
) -> hook.HookResult:
    """Run a hook."""
    return hook.run(EVENT, Context(milliseconds), aws.server.client("codedeploy"), check)


def test_success_is_reported_once(aws: Aws) -> None:
    """The deployment continues."""
    assert run(aws, lambda _: {"requests": 1}) == {"Status": "Succeeded", "requests": 1}
    (call,) = aws.server.calls
    assert call.json() == {
        "deploymentId": "d-1",
        "lifecycleEventHookExecutionId": "hook-1",
        "status": "Succeeded",
    }


@pytest.mark.parametrize(
    "error",
    [
        ValidationFailedError("bad"),
        KeyError("x"),
        SystemExit(1),
        KeyboardInterrupt(),
        MemoryError(),
        RecursionError(),
    ],
)
def test_any_exception_is_reported_as_a_failure(aws: Aws, error: BaseException) -> None:
    """The hook does not raise, or Lambda would run it again."""

    def check(_: Deadline) -> hook.HookResult:
        raise error

    assert run(aws, check)["Error"] == type(error).__name__
    assert aws.statuses == ["Failed"]


def test_a_check_that_hangs_is_reported_before_lambda_ends_it(aws: Aws) -> None:
    """CodeDeploy would wait for an hour otherwise; a later result of the check is ignored."""
    began = time.monotonic()

    def check(_: Deadline) -> hook.HookResult:
        while not aws.statuses:
            time.sleep(0.01)
        assert time.monotonic() - began < 0.5
        return {}

    facts = run(aws, check, milliseconds=500)
    assert (facts["Status"], aws.statuses) == ("Failed", ["Failed"])


def test_waiting_ends_before_the_function_does(aws: Aws) -> None:
    """The message says what the check was waiting for."""

    def check(deadline: Deadline) -> hook.HookResult:
        deadline.pause(60, "nothing came.")
        return {}

    facts = run(aws, check, milliseconds=1000)
    assert facts["Reason"] == "Time ran out: nothing came."


def test_a_hook_that_cannot_report_raises(aws: Aws) -> None:
    """Lambda then invokes it again; a status that CodeDeploy has already is not an error."""
    aws.codedeploy = lambda _: refuses("ThrottlingException")
    with pytest.raises(ClientError):
        run(aws, lambda _: {})
    aws.codedeploy = lambda _: refuses("LifecycleEventAlreadyCompletedException")
    assert run(aws, lambda _: {})["Status"] == "Succeeded"


@pytest.mark.parametrize("module", [pre_traffic, post_traffic])
def test_a_hook_without_settings_reports_a_failure(
    aws: Aws, module: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Mistakes in the template do not leave CodeDeploy waiting."""
    use_server(monkeypatch, aws)
    facts = module.handler(EVENT, Context())
    assert (facts["Status"], facts["Error"], aws.statuses) == ("Failed", "SettingsError", ["Failed"])


def test_the_handlers_run_their_checks(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> None:
    """The handlers read the variables that the template sets."""
    use_server(monkeypatch, aws)
    for name, value in (vars(PRE) | vars(POST)).items():
        monkeypatch.setenv(name.upper(), str(value))
    aws.capture(f"capture/{NEW}/AllTraffic/1.jsonl", now())
    assert pre_traffic.handler(EVENT, Context())["Status"] == "Succeeded"
    assert post_traffic.handler(EVENT, Context())["Status"] == "Succeeded"
    assert verify.handler({"EndpointName": NEW, "GoldenUrl": GOLDEN_URL}, Context())["requests"] == 10


def use_server(monkeypatch: pytest.MonkeyPatch, aws: Aws) -> None:
    """Let clients be created as in Lambda, and connect to the test's server."""
    for name, value in {
        "AWS_ENDPOINT_URL": aws.server.url,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "eu-central-1",
    }.items():
        monkeypatch.setenv(name, value)
    canary_clients.control.cache_clear()


def test_a_failed_verification_raises(aws: Aws) -> None:
    """The state machine gets the name of the error and its message."""
    aws.answers[NEW] = lambda _: model_error(500, "boom")
    clients = verify.Clients(*map(aws.server.client, ("sagemaker-runtime", "s3", "sagemaker")))
    request = verify.VerificationRequest.read({"EndpointName": NEW, "GoldenUrl": GOLDEN_URL, "Champion": OLD})
    with validation_fails("boom"):
        verify.check(request, PRE, clients, Deadline(time.monotonic() + 20))


def test_synthetic_requests_go_through_the_alias() -> None:
    """They are counted by the version that answered, and a failure does not stop the rest."""
    replies = [
        Reply(200, b'{"statusCode": 200, "headers": {"x-model-version": "2"}, "body": "1"}'),
        Reply(200, b'{"errorType": "ModelError"}', {"X-Amz-Function-Error": "Unhandled"}),
        Reply(200, b'{"statusCode": 400, "headers": {}, "body": ""}'),
        refuses("TooManyRequestsException", status=429),
        Reply(200, b'{"statusCode": 200, "headers": {"x-model-version": "1"}, "body": "1"}'),
    ]
    two = GoldenSet(
        "text/csv",
        (GoldenRequest("golden-0001", "1,2", 1.0, 1.0), GoldenRequest("golden-0002", "3,4", 1.0, 1.0)),
    )
    with serving(lambda _: replies.pop(0)) as server:
        settings = SyntheticSettings(GOLDEN_URL, "house-api", "live", 5)
        facts = synthetic.send(server.client("lambda"), settings, two, 5, Deadline(time.monotonic() + 20))
    counts = {"2": 1, "ModelError": 1, "status 400": 1, "ClientError": 1, "1": 1}
    assert facts["sent"] == 5
    assert {("ClientError" if "Too" in name else name): n for name, n in facts["answered"].items()} == counts
    assert {call.path for call in server.calls} == {
        "/2015-03-31/functions/house-api/invocations?Qualifier=live"
    }
    sent = [json.load(io.BytesIO(call.body)) for call in server.calls]
    assert [event["body"] for event in sent] == ["1,2", "3,4", "1,2", "3,4", "1,2"]
    assert {event["headers"]["x-inference-id"] for event in sent} == {
        "synthetic-golden-0001",
        "synthetic-golden-0002",
    }


def test_synthetic_requests_end_in_time() -> None:
    """Requests do not pile up behind a hanging model."""
    settings = SyntheticSettings(GOLDEN_URL, "house-api", "live", 5)
    nothing = GoldenSet("text/csv", (GoldenRequest("golden-0001", "1,2", 1.0, 1.0),))
    assert synthetic.send(None, settings, nothing, 5, Deadline(0.0)) == {"sent": 0, "answered": {}}


@pytest.mark.parametrize(
    ("routing", "number"),
    [({}, 1), ({"AdditionalVersionWeights": {}}, 1), ({"AdditionalVersionWeights": {"2": 0.1}}, 60)],
)
def test_synthetic_requests_are_many_while_traffic_shifts(routing: dict[str, Any], number: int) -> None:
    """An alias after its move has empty weights, or none."""
    reply = says({"FunctionVersion": "1", "RoutingConfig": routing} if routing else {"FunctionVersion": "1"})
    with serving(lambda _: reply) as server:
        settings = SyntheticSettings(GOLDEN_URL, "house-api", "live", 60)
        assert synthetic.request_count(server.client("lambda"), settings) == number
    assert [call.path for call in server.calls] == ["/2015-03-31/functions/house-api/aliases/live"]
