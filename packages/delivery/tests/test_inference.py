"""Requests, their responses and the files of predictions, without a project."""

from __future__ import annotations

import json
import sys
import tarfile
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import localcloud
import pytest
from botocore.exceptions import ClientError

from delivery import hints, model_endpoints
from delivery.cloud import DeliveryError
from delivery.commands import infer
from delivery.inference import calls, clients, methods, output, predictions, rows, served, source

if TYPE_CHECKING:
    from collections.abc import Iterator

# In place of the SDK: what `predictor` calls of it, and a remark that the SDK prints.
SDK = """\
import io
from types import SimpleNamespace

class Endpoint:
    @classmethod
    def get(cls, endpoint_name):
        if endpoint_name == "unknown":
            raise ValueError("Could not find endpoint unknown")
        print("a remark of the SDK")
        return cls()

    def invoke(self, body, content_type, accept):
        if body == b"end":
            raise SystemExit("ended")
        if body == b"many":
            error = RuntimeError("ModelError: long")
            error.response = {"OriginalMessage": '{"error":{"code":"not-a-number","message":"row 1"}}'}
            raise error
        return SimpleNamespace(body=io.BytesIO(b'["' + content_type.encode() + b'",' + body + b"]"))
"""


@pytest.fixture
def sdk(tmp_path: Path) -> dict[str, str]:
    """Return the environment of a program that finds the stand-in for the SDK."""
    folder = tmp_path / "sagemaker" / "core"
    folder.mkdir(parents=True)
    (folder / "resources.py").write_text(SDK)
    return {"PYTHONPATH": str(tmp_path)}


def test_the_sdk_runs_in_a_process_of_its_own(sdk: dict[str, str]) -> None:
    """Protects answers from what the SDK prints, and a person from a traceback in place of its message."""
    python = Path(sys.executable)
    with clients.predictor(python, sdk, "known", "text/csv") as ask:
        assert [ask("1"), ask("2")] == [b'["text/csv",1]', b'["text/csv",2]']
        with pytest.raises(DeliveryError, match="SDK ended without an answer: a remark of the SDK\nended"):
            ask("end")
    refusal = r"refused the SageMaker SDK's request: row 1 \(code not-a-number\)$"
    with (
        pytest.raises(DeliveryError, match=refusal),
        clients.predictor(python, sdk, "known", "text/csv") as ask,
    ):
        ask("many")
    with (
        pytest.raises(DeliveryError, match="ValueError: Could not find endpoint unknown"),
        clients.predictor(python, sdk, "unknown", "text/csv"),
    ):
        pass
    with (
        pytest.raises(
            clients.IncompleteError,
            match=r"completely \(ModuleNotFoundError: No module named 'sagemaker'\): run 'make setup-sdk'",
        ),
        clients.predictor(python, {}, "known", "text/csv"),
    ):
        pass


class Api(BaseHTTPRequestHandler):
    """Answers with the signature of a request, and refuses the bodies `no` and `many`."""

    def do_POST(self) -> None:
        """Answer a request."""
        body = self.rfile.read(int(self.headers["content-length"]))
        answer = json.dumps([self.headers["authorization"], body.decode()]).encode()
        if body == b"many":
            answer = b'{"error":{"code":"not-a-number","message":"row 1, column \'a\': no","row":1}}'
        self.send_response({b"no": 403, b"many": 400}.get(body, 200))
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: Any) -> None:
        """Print nothing."""


@pytest.fixture
def api() -> Iterator[str]:
    """Yield the address of a server."""
    server = HTTPServer(("127.0.0.1", 0), Api)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/prd/invocations"
    server.shutdown()
    server.server_close()


def test_requests_to_the_api_are_signed(api: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Protects calls that AWS would refuse, and those that a proxy would take from the local cloud."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    ask = clients.api(api, ("AKID", "secret"), "eu-central-1", "text/csv")
    signature, body = json.loads(ask("1,2"))
    assert signature.startswith("AWS4-HMAC-SHA256 Credential=AKID/")
    assert "/eu-central-1/execute-api/aws4_request" in signature
    assert body == "1,2"
    with pytest.raises(DeliveryError, match=r'The API answered 403: \["AWS4'):
        ask("no")


def test_a_refusal_is_a_sentence(api: str) -> None:
    """Protects people from JSON, and from a row of a request that is taken for the file's."""
    refused = r"row 1, column 'a': no \(code not-a-number\)"
    with pytest.raises(DeliveryError, match=f"The API answered 400: {refused}$"):
        clients.api(api, ("AKID", "secret"), "eu-central-1", "text/csv")("many")
    port = int(api.split(":")[2].partition("/")[0])
    with pytest.raises(DeliveryError, match=f"The server refused: {refused}$"):
        clients.direct(port, "text/csv")("many")
    response = {"Error": {"Code": "ModelError"}, "OriginalMessage": '{"error":{"code":"c","message":"m"}}'}

    def invoke(**_: Any) -> None:
        raise ClientError(response, "InvokeEndpoint")  # type: ignore[arg-type]  # a part of a response

    cloud: Any = SimpleNamespace(client=lambda _: SimpleNamespace(invoke_endpoint=invoke))
    ask = clients.invoke(cloud, "e", "text/csv")
    with pytest.raises(DeliveryError, match=r"^The endpoint e refused: m \(code c\)$"):
        predictions.predict(rows.Table(("a",), (("1",),), None), ask)
    answers = iter([b'{"predictions":[1,2]}'])
    with pytest.raises(DeliveryError, match=r"refused: m \(code c\), in the request of rows 3 to 3$"):
        predictions.predict(
            rows.Table(("a",), (("1",),) * 3, None), lambda body: next(answers, None) or ask(body), 2
        )
    for text in ("", "plain", "[]", '{"error":"text"}', '{"error":{}}'):
        assert clients.sentence(text) == text


def test_predictions_are_compared_to_the_last_bit() -> None:
    """Protects `--compare` from numbers that only print alike."""
    one = [{"label": "a", "probabilities": {"a": 0.1 + 0.2, "b": 0.7}}, 0.0]
    same = [{"probabilities": {"b": 0.7, "a": 0.30000000000000004}, "label": "a"}, 0.0]
    assert predictions.first_difference(one, same) is None
    assert predictions.first_difference(one, [one[0], -0.0]) == 1
    assert (
        predictions.first_difference(one, [{"label": "a", "probabilities": {"a": 0.3, "b": 0.7}}, 0.0]) == 0
    )


def test_percentiles_are_those_of_the_requests() -> None:
    found = predictions.Predictions([], [number / 1000 for number in range(1, 101)])
    assert found.latency == {"requests": 100, "p50": 50, "p90": 90, "p99": 99}
    assert predictions.Predictions([], [0.002]).latency == {"requests": 1, "p50": 2, "p90": 2, "p99": 2}


def test_json_lines_are_rows_by_name_or_by_position() -> None:
    text = '{"a": 1.50, "b": null, "y": 2}\r\n\n{"b": "x\u2028", "a": true, "y": "3"}\n'
    table = rows.read_json_lines(text, "y", ("a", "b"), {})
    assert (table.columns, table.rows, table.labels) == (
        ("a", "b"),
        (("1.5", ""), ("true", "x\u2028")),
        ("2", "3"),
    )
    table = rows.read_json_lines('[1, "x"]\n{"features": [2, null]}', "y", ("a", "b"), {})
    assert (table.columns, table.rows, table.labels) == (("a", "b"), (("1", "x"), ("2", "")), None)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no rows to predict"),
        ('{"a": 1}\nx', "line 2 is not JSON"),
        ("5", "line 1 is neither a JSON object nor an array"),
        ('{"a": 1}\n[1]', "objects and arrays"),
        ("[1]", "row 1 has 1 cells, and the model has 2 columns"),
    ],
)
def test_other_json_lines_are_refused(text: str, words: str) -> None:
    with pytest.raises(DeliveryError, match=words):
        rows.read_json_lines(text, "y", ("a", "b"), {})


def test_predictions_are_written_as_the_name_says(tmp_path: Path) -> None:
    """Protects programs that read the file, and the former file when the new one cannot be written."""
    columns = {"label": ("1", ""), "prediction": [1.5, 2.0], "difference": [0.5, None]}
    output.write(tmp_path / "p.csv", columns, lambda *_: None)
    assert (tmp_path / "p.csv").read_text() == "label,prediction,difference\n1,1.5,0.5\n,2.0,\n"
    output.write(tmp_path / "p.jsonl", columns, lambda *_: None)
    lines = (tmp_path / "p.jsonl").read_text().splitlines()
    assert json.loads(lines[1]) == {"label": "", "prediction": 2.0, "difference": None}

    def fail(path: Path, _: Any) -> None:
        path.write_text("half")
        raise OSError

    (tmp_path / "p.parquet").write_text("former")
    with pytest.raises(OSError):  # noqa: PT011 - the function's own
        output.write(tmp_path / "p.parquet", columns, fail)
    assert {path.name for path in tmp_path.iterdir()} == {"p.csv", "p.jsonl", "p.parquet"}
    assert (tmp_path / "p.parquet").read_text() == "former"
    for name in ("p.txt", "none/p.csv"):
        with pytest.raises(DeliveryError, match=name):
            output.check(tmp_path / name)


def test_the_rows_to_predict_are_not_overwritten(tmp_path: Path) -> None:
    """Protects the only copy of a person's data."""
    (tmp_path / "images").mkdir()
    for written, read in (("rows.csv", "rows.csv"), ("images/p.csv", "images")):
        with pytest.raises(DeliveryError, match="name another file"):
            output.check(tmp_path / written, tmp_path / read)
    output.check(tmp_path / "predictions.csv", tmp_path / "rows.csv")


def test_a_saved_model_has_one_method() -> None:
    """Protects a comparison of methods from predictions that another method has made."""
    infer.check_choice(None, None, "s3://bucket/m.tar.gz", methods.Method.direct, compare=False)
    with pytest.raises(DeliveryError, match="--method api needs an endpoint"):
        infer.check_choice(None, None, "s3://bucket/m.tar.gz", methods.Method.api, compare=False)


def test_the_schema_is_that_of_the_last_update(tmp_path: Path) -> None:
    """Protects the names of columns from those of a model that the endpoint had before."""
    endpoint = methods.Endpoint(None, SimpleNamespace(state=tmp_path), "e")  # type: ignore[arg-type]
    assert endpoint.model_folder == tmp_path / "endpoints/e/model"
    for name in ("update-9", "update-10"):
        (tmp_path / "endpoints/e" / name / "model").mkdir(parents=True)
    assert endpoint.model_folder == tmp_path / "endpoints/e/update-10/model"


def test_what_infer_needs_of_a_cloud_is_named_with_the_way_out(
    cloud: localcloud.Cloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Protects from 'nothing is in service' beside an endpoint, and from a search in a cloud that is off."""
    with pytest.raises(
        DeliveryError, match=r"Neither production nor dev has an endpoint here; 'python -m loc"
    ):
        served.in_service(cloud, "p")
    with pytest.raises(methods.UnavailableError, match=r"can't reach the endpoint e: .* no endpoint yet\.$"):
        methods.Endpoint(cloud, SimpleNamespace(slug="p"), "e").api_url()  # type: ignore[arg-type]
    names = [f"own-{number}" for number in range(7)]
    monkeypatch.setattr(served, "names_in_service", lambda _: names)
    with pytest.raises(DeliveryError, match=r"--endpoint-name NAME .* own-0, own-1, .*, own-4 and 2 more\.$"):
        served.in_service(cloud, "p")
    stopped: Any = SimpleNamespace(cloud=localcloud.Project(tmp_path, "p", "eu-central-1"))
    with (
        pytest.raises(DeliveryError, match=r"could have s3://b/m\.tar\.gz; 'python -m local up' starts it"),
        source.of_artifact(stopped, None, "s3://b/m.tar.gz"),  # type: ignore[arg-type]
    ):
        pass
    with pytest.raises(
        DeliveryError, match=r"No local cloud is running here .* test split of .*: name a file"
    ):
        source.split_of_file(None, tmp_path / "m.tar.gz")


@pytest.mark.parametrize("name", ["", "a b", "x'y", "-a", "a" * 64, "a\n"])
def test_names_that_no_endpoint_can_have_are_refused(name: str) -> None:
    cloud: Any = SimpleNamespace(client=lambda _: None)
    with pytest.raises(DeliveryError, match="at most 63 letters"):
        model_endpoints.check_name(cloud, model_endpoints.Deployment(name, "p"))


def test_printed_calls_outlive_a_restart() -> None:
    """Protects a saved call: the local cloud has another port after each start."""
    call = calls.Call("http://127.0.0.1:4711/a/b", "sagemaker", "us-east-1", "text/csv", Path("r.csv"))
    assert '"$AWS_ENDPOINT_URL/a/b"' in call.curl
    assert 'os.environ["AWS_ENDPOINT_URL"] + "/a/b"' in call.python
    assert "4711" not in call.curl + call.python


@pytest.mark.parametrize(
    ("name", "meant"), [("medinc", "MedInc"), ("med_inc", "MedInc"), ("Latitud", "Latitude"), ("zzz", "")]
)
def test_the_closest_name_is_found(name: str, meant: str) -> None:
    assert hints.closest(name, ["MedInc", "Latitude", "AveRooms"]) == meant


@pytest.mark.parametrize("last", ["InService", "Failed", "Deleting"])
def test_an_endpoint_that_is_being_created_is_awaited(last: str) -> None:
    """It is, for seconds after `up` and `deploy --background`; one that can't answer is refused."""
    statuses = iter(["Creating", "Creating", last])
    reasons = {"Failed": {"FailureReason": "no model"}}
    client = SimpleNamespace(
        describe_endpoint=lambda EndpointName: {  # noqa: ARG005, N803 - the SDK's name
            "EndpointStatus": next(statuses),
            **reasons.get(last, {}),
        }
    )
    cloud: Any = SimpleNamespace(client=lambda _: client)
    if last == "InService":
        served.await_service(cloud, "e")
    else:
        words = {"Failed": "is Failed: no model", "Deleting": "is Deleting: wait, and try again"}[last]
        with pytest.raises(DeliveryError, match=f"The endpoint e {words}"):
            served.await_service(cloud, "e")
    assert not list(statuses)


@pytest.mark.parametrize(
    ("name", "ending"),
    [
        ("p-trian", "; did you mean 'p-train-0c1d-1'?"),
        ("p-train-0c1d", "; did you mean 'p-train-0c1d-1'?"),
        ("clod", "; did you mean 'cloud'?"),
        ("something-else", "."),
    ],
)
def test_a_name_that_ends_in_an_id_is_found_by_its_beginning(name: str, ending: str) -> None:
    """The last of several is meant: it is the latest job."""
    names = ["cloud", "p-prep-0c1d-0", "p-train-0c1d-0", "p-train-0c1d-1"]
    assert hints.also_meant(name, names) == ending


def test_what_is_no_model_is_refused_before_anything_is_created(tmp_path: Path) -> None:
    """Protects people from waiting for an endpoint that would fail."""
    path = tmp_path / "model.tar.gz"
    with pytest.raises(DeliveryError, match="does not exist"):
        model_endpoints.check_archive(path)
    path.write_bytes(b"x")
    with pytest.raises(DeliveryError, match=r"is not a model\.tar\.gz, or is damaged"):
        model_endpoints.check_archive(path)
    with tarfile.open(path, "w:gz") as archive:
        archive.add(__file__, "model.json")
    with pytest.raises(DeliveryError, match=r"lacks schema\.json"):
        model_endpoints.check_archive(path)
    server = HTTPServer(("127.0.0.1", 0), Api)
    with pytest.raises(
        DeliveryError, match=rf"Port {server.server_port} of 127\.0\.0\.1 can't be used: Address"
    ):
        model_endpoints.check_port(server.server_port)
    server.server_close()
