"""Requests to the container's server: through SageMaker's API, the project's API, or directly over HTTP."""

from __future__ import annotations

import http.client
import os
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.exceptions import ClientError
from botocore.httpsession import URLLib3Session
from delivery import local_stacks, stacks
from localcloud import OWN, containers

from container.data.schema import Schema
from container.runtime.errors import UserError
from local.prediction import Answer, read_answers
from local.project import LocalError, Project

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from localcloud import Cloud

Ask: TypeAlias = "Callable[[str], list[Answer]]"

START_TIMEOUT = 60.0
STOP_GRACE = 10.0
CSV, JSON = "text/csv", "application/json"
CSV_WITH_HEADER = f"{CSV}; header=present"  # a file's header may name none of the model's columns
SCHEMA = "schema.json"  # of a model


def content_type(project: Project) -> str:
    """Return the content type of the project's requests: JSON for images, else CSV."""
    return JSON if project.is_image else CSV


def _with_header(project: Project) -> str:
    return JSON if project.is_image else CSV_WITH_HEADER


def invoke(cloud: Cloud, endpoint_name: str, kind: str = CSV) -> Ask:
    """Return a function that sends requests through InvokeEndpoint, as an application on AWS does."""
    runtime = cloud.client("sagemaker-runtime")

    def ask(body: str) -> list[Answer]:
        try:
            answer = runtime.invoke_endpoint(
                EndpointName=endpoint_name, Body=body.encode(), ContentType=kind, Accept=JSON
            )
        except ClientError as error:
            refusal = error.response.get("OriginalMessage") or error.response["Error"]["Message"]
            raise LocalError(f"The endpoint {endpoint_name} refused: {refusal}") from None
        return read_answers(answer["Body"].read())

    return ask


def api(cloud: Cloud, url: str, kind: str = CSV) -> Ask:
    """Return a function that sends signed requests to the project's API, which captures them."""
    address = cloud.local_url(url)
    credentials = Credentials(cloud.key.id, cloud.key.secret)
    signer, session = SigV4Auth(credentials, "execute-api", cloud.region), URLLib3Session()

    def ask(body: str) -> list[Answer]:
        headers = {"Content-Type": kind, "Accept": JSON, "User-Agent": OWN}
        request = AWSRequest("POST", address, headers, body.encode())
        signer.add_auth(request)
        response = session.send(request.prepare())
        if response.status_code != http.HTTPStatus.OK:
            raise LocalError(f"The API answered {response.status_code}: {response.text}")
        return read_answers(response.content)

    return ask


def direct(port: int, kind: str = CSV) -> Ask:
    """Return a function that sends requests to the container's server directly: nothing is captured."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)

    def ask(body: str) -> list[Answer]:
        connection.request("POST", "/invocations", body.encode(), {"Content-Type": kind, "Accept": JSON})
        response = connection.getresponse()
        content = response.read()
        if response.status != http.HTTPStatus.OK:
            raise LocalError(f"The server refused: {content.decode(errors='replace')}")
        return read_answers(content)

    return ask


def reach(cloud: Cloud, project: Project, endpoint_name: str | None, *, straight: bool) -> Ask:
    """Return a function that sends requests to an endpoint, by default to the one in service.

    `straight` means directly to its server.

    Raises:
        LocalError: no such endpoint is in service.
    """
    name = endpoint_name or in_service(cloud, project)
    if not straight:
        return invoke(cloud, name, _with_header(project))
    port = project.state / "endpoints" / name / "port"
    try:
        return direct(int(port.read_text(encoding="utf-8")), _with_header(project))
    except FileNotFoundError:
        raise LocalError(
            f"No endpoint {name} is in service; 'python -m local status' lists those that are."
        ) from None


def in_service(cloud: Cloud, project: Project) -> str:
    """Return the name of production's endpoint, or of dev's while production has none.

    Raises:
        LocalError: no endpoint is in service.
    """
    for kind in ("deploy-prd", "deploy-dev"):
        # A stack that could not be made is there too, and has no outputs.
        if stacks.find(cloud, project.stack(kind)) is not None:
            found = local_stacks.outputs(cloud, project.stack(kind)).get("EndpointName")
            if found:
                return found
    raise LocalError("No endpoint is in service here; 'python -m local run' deploys one.")


def schema(project: Project, name: str) -> Schema:
    """Return the schema of the model that an endpoint serves.

    Raises:
        LocalError: no such endpoint is in service.
    """
    try:
        return Schema.read(project.state / "endpoints" / name / "model" / SCHEMA)
    except UserError as error:
        raise LocalError(f"The endpoint {name} has no model with a schema: {error}.") from None


@contextmanager
def serving(project: Project, archive: Path) -> Iterator[tuple[Ask, Schema]]:
    """Serve a model.tar.gz by the container's own server for as long as the context lasts."""
    with tempfile.TemporaryDirectory(dir=project.folder("tmp")) as folder:
        base, log = Path(folder), project.folder("logs") / "infer.log"
        _extract(archive, base / "model")
        port = containers.free_port()
        own = {"SAGEMAKER_BASE_DIR": folder, "SAGEMAKER_BIND_TO_PORT": str(port), "SERVING_HOST": "127.0.0.1"}
        job = containers.for_job(os.environ, base, own | {"MODEL_SERVER_WORKERS": "1"})
        child = containers.ManagedProcess(
            [sys.executable, "-m", "container", "serve"], project.root, job, log
        )
        try:
            _wait(child, port, log)
            yield direct(port, _with_header(project)), Schema.read(base / "model" / SCHEMA)
        finally:
            child.end(STOP_GRACE)


def _extract(archive: Path, into: Path) -> None:
    try:
        containers.extract(archive.read_bytes(), into)
    except containers.DataError as error:
        raise LocalError(f"{archive}: {error}.") from None


def _wait(child: containers.ManagedProcess, port: int, log: Path) -> None:
    deadline = time.monotonic() + START_TIMEOUT
    while time.monotonic() < deadline and child.running:
        if containers.answers(port):
            return
        time.sleep(0.05)
    raise LocalError(f"The model can't be served; the end of {log}:\n{containers.tail(log)}")
