"""The API's function as an image: its own command and packages, before Lambda's Runtime API."""

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

from scripts.templates.read import read_template
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
    """Give the instructions of the image's stage by their name, the last where there are several."""
    text = (ROOT / "container" / "Dockerfile").read_text(encoding="utf-8")
    (found,) = re.findall(r"(?ms)^FROM \S+ AS lambda\n(.*?)^FROM ", text)
    return dict(re.findall(r"(?m)^([A-Z]+) (.+)$", found))


def command() -> list[str]:
    """Give what the image starts."""
    instructions = stage()
    return [*json.loads(instructions["ENTRYPOINT"]), *json.loads(instructions["CMD"])]


def pinned(path: Path) -> set[str]:
    """Name the distributions of a requirements file."""
    return set(PINNED.findall(path.read_text(encoding="utf-8")))


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make the image's directory, and a Python with the packages of its requirements file alone."""
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
    """Lambda's Runtime API, as far as a runtime calls it, and what runs behind it."""

    def __init__(self) -> None:
        self.events: Queue[dict[str, Any] | None] = Queue()
        self.posted: Queue[Call] = Queue()
        self.process: subprocess.Popen[bytes]

    def answer(self, call: Call) -> Reply:
        """Give the next event when there is one; keep what the runtime posts."""
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
        """Send an event, and return what was posted of it and where."""
        self.events.put(event)
        return self.told()

    def told(self) -> tuple[str, Any]:
        """Wait for what the runtime posts."""
        call = self.posted.get(timeout=SECONDS)
        return call.path.removeprefix(VERSION), call.json()


@contextmanager
def running(image: Path, endpoint_url: str, settings: dict[str, str]) -> Iterator[Lambda]:
    """Start the image's command as Lambda does, for as long as the block runs."""
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


def test_the_image_holds_what_the_function_needs_and_no_more() -> None:
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
def test_the_image_answers_and_tells_of_errors(image: Path) -> None:
    """What Lambda sends reaches the endpoint and comes back; a failing model is an error of the version."""
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
def test_an_image_that_cannot_start_says_so(image: Path) -> None:
    """A variable that the template does not set fails the deployment, and names itself."""
    settings = {name: value for name, value in SETTINGS.items() if name != "ENDPOINT_NAME"}
    with serving(lambda _: Reply()) as endpoint, running(image, endpoint.url, settings) as started:
        where, error = started.told()
        assert (where, error["errorType"]) == ("/init/error", "KeyError")
        assert "ENDPOINT_NAME" in error["errorMessage"]
        assert started.process.wait(SECONDS) == 1
    assert not endpoint.calls
