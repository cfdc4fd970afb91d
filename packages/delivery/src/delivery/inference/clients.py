"""The ways in which a request reaches a model: SageMaker's API, the project's API, the SDK, or plain HTTP."""

from __future__ import annotations

import http.client
import json
import subprocess
import tempfile
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.exceptions import ClientError
from localcloud import OWN

from delivery.cloud import DeliveryError
from delivery.inference.rows import JSON

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from delivery.cloud import Cloud
    from delivery.inference.predictions import Ask

TIMEOUT_SECONDS = 60.0
STOP_SECONDS = 5.0
MISSING_MODULE = ("ModuleNotFoundError", "ImportError")
PROGRAM = Path(__file__).with_name("predictor_program.py")  # which the SDK's Python runs as a file
LOG_TAIL = 2000  # characters of what the SDK printed, where it ended without a message


class IncompleteError(DeliveryError):
    """An environment that lacks a part of the SDK."""


def invoke(cloud: Cloud, endpoint_name: str, kind: str) -> Ask:
    """Return a function that sends requests through InvokeEndpoint, as an application on AWS does."""
    runtime = cloud.client("sagemaker-runtime")

    def ask(body: str) -> bytes:
        try:
            answer = runtime.invoke_endpoint(
                EndpointName=endpoint_name, Body=body.encode(), ContentType=kind, Accept=JSON
            )
        except ClientError as error:
            refusal = error.response.get("OriginalMessage") or error.response["Error"]["Message"]
            raise DeliveryError(f"The endpoint {endpoint_name} refused: {sentence(str(refusal))}") from None
        return bytes(answer["Body"].read())

    return ask


def api(url: str, credentials: tuple[str, str], region: str, kind: str) -> Ask:
    """Return a function that sends signed requests to the project's API, which captures them.

    `credentials` are the id of an access key and its secret.
    """
    import requests  # noqa: PLC0415 - takes a tenth of a second, too long for the other ways

    signer = SigV4Auth(Credentials(*credentials), "execute-api", region)
    session = requests.Session()
    session.trust_env = False  # a proxy of the machine does not reach its local cloud

    def ask(body: str) -> bytes:
        headers = {"Content-Type": kind, "Accept": JSON, "User-Agent": OWN}
        request = AWSRequest("POST", url, headers, body.encode())
        signer.add_auth(request)
        signed = dict(request.headers.items())
        response = session.post(url, data=body.encode(), headers=signed, timeout=TIMEOUT_SECONDS)
        if response.status_code != http.HTTPStatus.OK:
            raise DeliveryError(f"The API answered {response.status_code}: {sentence(response.text)}")
        return bytes(response.content)

    return ask


def direct(port: int, kind: str) -> Ask:
    """Return a function that sends requests to the container's server directly: nothing is captured."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_SECONDS)

    def ask(body: str) -> bytes:
        connection.request("POST", "/invocations", body.encode(), {"Content-Type": kind, "Accept": JSON})
        response = connection.getresponse()
        content = response.read()
        if response.status != http.HTTPStatus.OK:
            raise DeliveryError(f"The server refused: {sentence(content.decode(errors='replace'))}")
        return content

    return ask


@contextmanager
def predictor(python: Path, environment: Mapping[str, str], endpoint_name: str, kind: str) -> Iterator[Ask]:
    """Yield a function that sends requests by the SageMaker SDK, in a process of the SDK's own Python.

    Raises:
        IncompleteError: The environment of that Python lacks a part of the SDK.
        DeliveryError: The SDK does not find the endpoint, or a request fails; the message is the SDK's.

    """
    command = [str(python), str(PROGRAM), endpoint_name, kind, JSON]
    pipe = subprocess.PIPE
    with (
        tempfile.TemporaryFile() as said,
        subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=said, env=dict(environment)) as process,
    ):
        try:
            _read_message(process, said)  # the SDK has found the endpoint
            yield lambda body: _exchange(process, body, said)
        finally:
            _end(process)


def sentence(refusal: str) -> str:
    """Return the message and the code of a container's error, or another text as it is."""
    try:
        error = json.loads(refusal)["error"]
        return f"{error['message']} (code {error['code']})"
    except (ValueError, KeyError, TypeError):
        return refusal


def _exchange(process: subprocess.Popen[bytes], body: str, said: IO[bytes]) -> bytes:
    assert process.stdin  # noqa: S101 - it is a pipe
    with suppress(BrokenPipeError):  # the program's last message has the reason
        process.stdin.write(json.dumps({"body": body}).encode() + b"\n")
        process.stdin.flush()
    return str(_read_message(process, said)["body"]).encode()


def _read_message(process: subprocess.Popen[bytes], said: IO[bytes]) -> dict[str, Any]:
    assert process.stdout  # noqa: S101 - it is a pipe
    line = process.stdout.readline()
    message = dict(json.loads(line)) if line else {}
    if "body" in message or message.get("ready"):
        return message
    if "refusal" in message:
        raise DeliveryError(
            f"The endpoint refused the SageMaker SDK's request: {sentence(message['refusal'])}"
        )
    said.seek(0)
    reason = message.get("error") or said.read().decode(errors="replace").strip()[-LOG_TAIL:]
    if reason.startswith(MISSING_MODULE):
        raise IncompleteError(
            f"The SageMaker SDK is not installed completely ({reason}): run 'make setup-sdk', or wait for "
            "its end."
        )
    raise DeliveryError(f"The SageMaker SDK ended without an answer: {reason}")


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the program by the end of its input."""
    if process.stdin:
        with suppress(OSError):
            process.stdin.close()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
