"""The call of an endpoint or of the project's API as a person types it: by curl, and in Python."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from localcloud import files

from delivery.cloud import DeliveryError
from delivery.inference import served
from delivery.inference.methods import Endpoint
from delivery.view import print_line

if TYPE_CHECKING:
    from localcloud import Cloud

    from delivery.commands.project import LocalProject
    from delivery.commands.project_code import ProjectCode

ROWS = 3  # of the example
SCHEMA = "schema.json"  # of a model
VARIABLES = 'eval "$(.venv/bin/python -m local up --export)"  # once in a terminal: the address and the key'
CURL = """\
curl --fail-with-body --aws-sigv4 "aws:amz:{region}:{service}" \\
    --user "$AWS_ACCESS_KEY_ID:$AWS_SECRET_ACCESS_KEY" \\
    --header "content-type: {content_type}" --data-binary @{file} \\
    "$AWS_ENDPOINT_URL{path}"
"""
PYTHON = """\
import os, requests
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

body = open("{file}", "rb").read()
url = os.environ["AWS_ENDPOINT_URL"] + "{path}"
request = AWSRequest("POST", url, {{"content-type": "{content_type}"}}, body)
key = Credentials(os.environ["AWS_ACCESS_KEY_ID"], os.environ["AWS_SECRET_ACCESS_KEY"])
SigV4Auth(key, "{service}", "{region}").add_auth(request)
print(requests.post(request.url, request.data, headers=dict(request.headers.items())).text)
"""


@dataclass(frozen=True)
class Call:
    """A signed request: its address, the service that it is signed for, and the file of its body."""

    url: str
    service: str
    region: str
    content_type: str
    file: Path

    @property
    def path(self) -> str:
        """The part of the address that a restart of the local cloud, at another port, does not change."""
        return urlsplit(self.url).path

    @property
    def curl(self) -> str:
        """The command for a shell."""
        return CURL.format(**vars(self) | {"path": self.path, "file": shlex.quote(str(self.file))})

    @property
    def python(self) -> str:
        """The program in Python."""
        return PYTHON.format(**vars(self), path=self.path)


def of_api(cloud: Cloud, project: LocalProject, code: ProjectCode) -> Call | None:
    """Return the call of the project's API, with a request of test rows; None before it is deployed."""
    outputs = served.deployed(cloud, project.slug, "deploy-prd")
    if "ApiUrl" not in outputs:
        return None
    endpoint = Endpoint(cloud, project, outputs["EndpointName"])
    return _call(endpoint, code, endpoint.api_url(), "execute-api")


def of_endpoint(endpoint: Endpoint, code: ProjectCode) -> Call:
    """Return the call of InvokeEndpoint, with a request of test rows where the model's training is known."""
    url = f"{endpoint.cloud.endpoint_url}/endpoints/{endpoint.name}/invocations"
    return _call(endpoint, code, url, "sagemaker")


def show(call: Call) -> None:
    """Print the call by curl and in Python."""
    print_line(VARIABLES)
    print_line(call.curl)
    print_line(f"# or in Python, with requests and botocore:\n{call.python}")


def _call(endpoint: Endpoint, code: ProjectCode, url: str, service: str) -> Call:
    file, content_type = _request(endpoint, code)
    return Call(url, service, endpoint.cloud.region, content_type, file)


def _request(endpoint: Endpoint, code: ProjectCode) -> tuple[Path, str]:
    """Write a request of the first test rows; return its file, or a name for a person's, and content type."""
    is_image = endpoint.project.is_image
    ending, content_type = ("json", "application/json") if is_image else ("csv", "text/csv")
    try:
        model = served.find_model(endpoint.cloud, served.model_url(endpoint.cloud, endpoint.name))
        split = served.read_test_split(endpoint.cloud, model)
        with TemporaryDirectory() as folder:
            (Path(folder) / SCHEMA).write_bytes(served.read_schema(endpoint.cloud, model))
            table = code.read_split(split, code.read_schema(Path(folder)))
    except DeliveryError:
        return Path(f"rows.{ending}"), content_type
    path = files.folder(endpoint.project.state, "requests") / f"{endpoint.name}.{ending}"
    files.write_whole(path, table.body(0, min(ROWS, len(table.rows))))
    return path.relative_to(endpoint.project.root), content_type
