"""The API's function as an image: its command and packages, run by Lambda's Runtime API."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import venv
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from queue import Queue
from typing import TYPE_CHECKING, Any

import pytest
from delivery.templates.read import read_template

from tests.functions.aws import KEYS, Call, Reply, model_error, serving

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[2]
REQUIREMENTS = ROOT / "functions" / "api" / "requirements.txt"
PINNED = re.compile(r"(?m)^([\w.-]+)==")
VERSION = "/2018-06-01/runtime"
SECONDS = 30
SETTINGS = {
    "ENDPOINT_NAME": "house-prd-1",
    "EXECUTION_ID": "1",
    "DEPLOYMENT_HASH": "ab" * 32,
    "METRIC_NAMESPACE": "house",
}
EVENT = {
    "requestContext": {"apiId": "api"},
    "headers": {"Content-Type": "text/csv"},
    "body": "1,2",
    "isBase64Encoded": False,
}
on_linux = pytest.mark.skipif(sys.platform != "linux", reason="awslambdaric is made for Linux alone")


def stage() -> dict[str, str]:
    """Return the instructions of the image's stage by name, the last one of each."""
    text = (ROOT / "container" / "Dockerfile").read_text(encoding="utf-8")
    (found,) = re.findall(r"(?ms)^FROM \S+ AS lambda\n(.*?)^FROM ", text)
    return dict(re.findall(r"(?m)^([A-Z]+) (.+)$", found))


def command() -> list[str]:
    """Return the command of the image."""
    instructions = stage()
    return [*json.loads(instructions["ENTRYPOINT"]), *json.loads(instructions["CMD"])]


def pinned(path: Path) -> set[str]:
    """Return the distributions of a requirements file."""
    return set(PINNED.findall(path.read_text(encoding="utf-8")))


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Create the image's directory, and a Python with only the packages of its requirements file."""
    folder = tmp_path_factory.mktemp("image")
    (folder / "api").symlink_to(ROOT / "functions" / "api")
    venv.create(folder / "python", symlinks=True)
    (packages,) = (folder / "python" / "lib").glob("python*/site-packages")
    for name in pinned(REQUIREMENTS):
        for file in metadata.files(name) or ():
            link = packages / file.parts[0]
            if file.parts[0] not in {"..", "__pycache__"} and not link.exists():
                link.symlink_to(Path(str(file.locate())).parents[len(file.parts) - 1] / file.parts[0])
    return folder


class Lambda:
    """The part of Lambda's Runtime API that a runtime calls, and the process of the runtime."""

    def __init__(self) -> None:
        self.events: Queue[dict[str, Any] | None] = Queue()
        self.posted: Queue[Call] = Queue()
        self.process: subprocess.Popen[bytes]

    def answer(self, call: Call) -> Reply:
        """Return the next event when there is one; keep the runtime's posts."""
        if call.path != f"{VERSION}/invocation/next":
            self.posted.put(call)
            return Reply(202)
        event = self.events.get()
        if event is None:  # it ends, and so does the runtime's connection
            return Reply(body=None)
        headers = {
            "content-type": "application/json",
            "lambda-runtime-aws-request-id": "request-1",
            "lambda-runtime-deadline-ms": "4102444800000",
            "lambda-runtime-invoked-function-arn": "arn:aws:lambda:eu-central-1:1:function:house-api-image:7",
        }
        return Reply(200, json.dumps(event).encode(), headers)

    def invoke(self, event: dict[str, Any]) -> tuple[str, Any]:
        """Send an event, and return the path and content of the runtime's post."""
        self.events.put(event)
        return self.next_post()

    def next_post(self) -> tuple[str, Any]:
        """Wait for the runtime's next post."""
        call = self.posted.get(timeout=SECONDS)
        return call.path.removeprefix(VERSION), call.json()


@contextmanager
def running(image: Path, endpoint_url: str, settings: dict[str, str]) -> Iterator[Lambda]:
    """Start the image's command as Lambda does, for the duration of the block."""
    api = Lambda()
    with serving(api.answer) as server:
        environment = {
            "PATH": f"{image / 'python' / 'bin'}{os.pathsep}{os.environ['PATH']}",
            "AWS_LAMBDA_RUNTIME_API": server.url.removeprefix("http://"),
            "AWS_LAMBDA_FUNCTION_NAME": "house-api-image",
            "AWS_REGION": KEYS["region_name"],
            "AWS_DEFAULT_REGION": KEYS["region_name"],
            "AWS_ACCESS_KEY_ID": KEYS["aws_access_key_id"],
            "AWS_SECRET_ACCESS_KEY": KEYS["aws_secret_access_key"],
            "AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME": endpoint_url,
            **settings,
        }
        api.process = subprocess.Popen(command(), cwd=image, env=environment)
        try:
            yield api
        finally:
            api.process.kill()
            api.process.wait(SECONDS)
            api.events.put(None)


def test_the_image_has_only_the_packages_of_the_function() -> None:
    """A training or serving package would cost every cold start."""
    asked = [path.read_text(encoding="utf-8") for path in (ROOT / "container").glob("requirements*.in")]
    container = {name for text in asked for name in re.findall(r"(?m)^([\w.-]+)", text)}
    assert {"awslambdaric", "boto3"} <= pinned(REQUIREMENTS)
    assert container >= {"numpy", "scikit-learn"}
    assert not pinned(REQUIREMENTS) & container
    assert "://" not in REQUIREMENTS.read_text(encoding="utf-8")
    assert stage()["USER"] not in {"root", "0"}


def test_the_image_runs_the_handler_of_the_zip() -> None:
    """Both packages are the same function."""
    template = read_template(ROOT / "stacks" / "deploy-model-prd.yml")
    assert command()[-1] == template["Resources"]["ApiFunction"]["Properties"]["Handler"]


@on_linux
def test_the_image_answers_and_reports_errors(image: Path) -> None:
    """Events reach the endpoint and answers come back; a failing model is an error of the version."""
    replies = [Reply(200, b"4.5\n", {"content-type": "text/csv"}), model_error(500, "boom"), Reply(200, b"6")]
    with (
        serving(lambda _: replies.pop(0)) as endpoint,
        running(image, endpoint.url, SETTINGS) as started,
    ):
        where, answer = started.invoke(EVENT)
        assert where == "/invocation/request-1/response"
        assert (answer["statusCode"], answer["body"]) == (200, "4.5\n")
        assert answer["headers"]["x-model-version"] == "1"
        assert (endpoint.calls[0].endpoint, endpoint.calls[0].body) == ("house-prd-1", b"1,2")
        where, error = started.invoke(EVENT)
        assert (where, error["errorType"]) == ("/invocation/request-1/error", "ModelError")
        assert "Received error" in error["errorMessage"]
        where, answer = started.invoke(EVENT)
        assert (where, answer["statusCode"]) == ("/invocation/request-1/response", 200)


@on_linux
def test_an_image_that_cannot_start_reports_an_error(image: Path) -> None:
    """A variable that the template does not set fails the deployment, and is named."""
    settings = {name: value for name, value in SETTINGS.items() if name != "ENDPOINT_NAME"}
    with serving(lambda _: Reply()) as endpoint, running(image, endpoint.url, settings) as started:
        where, error = started.next_post()
        assert (where, error["errorType"]) == ("/init/error", "KeyError")
        assert "ENDPOINT_NAME" in error["errorMessage"]
        assert started.process.wait(SECONDS) == 1
    assert not endpoint.calls
