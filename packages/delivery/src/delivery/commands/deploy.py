"""Deploy a saved model behind an endpoint, without a delivery."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import localcloud
import typer

from delivery.commands.completion import complete_file
from delivery.commands.json_output import AsJson, print_json
from delivery.commands.progress import progress
from delivery.commands.project import find_code, find_project, refuse_other_endpoint, running_cloud
from delivery.view import print_line

if TYPE_CHECKING:
    from localcloud import Cloud

    from delivery.commands.project import LocalProject
    from delivery.commands.project_code import ProjectCode
    from delivery.inference.methods import Endpoint
    from delivery.inference.served import StoredModel
    from delivery.model_endpoints import Deployment
    from delivery.sagemaker_sdk import SdkSettings

ARTIFACT = typer.Option(
    help="A model.tar.gz, or its s3:// address in the local cloud.", autocompletion=complete_file
)
NAME = typer.Option(help="The endpoint's name.")
PORT = typer.Option(
    min=1024, max=65535, help="A port of 127.0.0.1 for the endpoint's server; by default a free one."
)
REPLACE = typer.Option("--replace", help="Delete an endpoint that has the name, before this is created.")
BACKGROUND = typer.Option("--background", help="Return when the endpoint is being created.")
S3 = "s3://"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        epilog="Example: python -m local deploy --model-artifact m.tar.gz --endpoint-name houses --port 8080"
    )(deploy)


def deploy(  # noqa: PLR0913, PLR0917 - a command's options
    context: typer.Context,
    model_artifact: Annotated[str, ARTIFACT],
    endpoint_name: Annotated[str, NAME],
    port: Annotated[int | None, PORT] = None,
    replace: Annotated[bool, REPLACE] = False,
    background: Annotated[bool, BACKGROUND] = False,
    as_json: AsJson = False,
) -> None:
    """Put a saved model behind an endpoint of the local cloud, which is started if it does not run."""
    from delivery import model_endpoints
    from delivery.inference import served
    from delivery.inference.methods import Endpoint

    project = find_project(context)
    refuse_other_endpoint(project)
    wanted = model_endpoints.Deployment(endpoint_name, project.slug, port, replace=replace)
    cloud, settings, model = check(project, model_artifact, wanted)
    own, ready = model_endpoints.own_name(wanted), False
    try:
        with progress(f"Waiting for the endpoint {endpoint_name}"):
            model_endpoints.create(cloud, settings, model, wanted, own)
            if not background:
                served.await_service(cloud, endpoint_name)
        ready = True
        endpoint = Endpoint(cloud, project, endpoint_name)
        show(endpoint, find_code(context, project), model, as_json=as_json)
    except BaseException as error:  # an interrupt too leaves nothing behind, until all is said
        if not ready or isinstance(error, KeyboardInterrupt):
            model_endpoints.delete_created(cloud, endpoint_name, own)
        raise


def check(project: LocalProject, artifact: str, wanted: Deployment) -> tuple[Cloud, SdkSettings, StoredModel]:
    """Check everything that can be wrong before anything is created, and return the model in S3."""
    from delivery import model_endpoints, sagemaker_sdk
    from delivery.inference import served

    if not artifact.startswith(S3):
        model_endpoints.check_archive(Path(artifact))
    if wanted.port and wanted.port != port_of(project, wanted.name):  # else the name is what is taken
        model_endpoints.check_port(wanted.port)
    if artifact.startswith(S3):
        cloud = running_cloud(project)
        model = served.find_model(cloud, artifact)
        model_endpoints.check_name(cloud, wanted)
        return cloud, sagemaker_sdk.prepare(cloud, project.state), model
    cloud = localcloud.start(project.cloud)
    model_endpoints.check_name(cloud, wanted)
    settings = sagemaker_sdk.prepare(cloud, project.state)
    return cloud, settings, model_endpoints.store(cloud, settings, Path(artifact))


def port_of(project: LocalProject, name: str) -> int | None:
    """Return the port of an endpoint's server; None where no endpoint has the name."""
    path = project.state / "endpoints" / name / "port"
    return int(path.read_text(encoding="utf-8")) if path.is_file() else None


def show(endpoint: Endpoint, code: ProjectCode, model: StoredModel, *, as_json: bool) -> None:
    """Say what serves, and how to call it."""
    from delivery.inference import calls

    name = endpoint.name
    status = endpoint.cloud.client("sagemaker").describe_endpoint(EndpointName=name)["EndpointStatus"]
    call, port = calls.of_endpoint(endpoint, code), port_of(endpoint.project, name)
    if as_json:
        found = {"endpoint": name, "status": status, "artifact": model.url, "url": call.url, "port": port}
        print_json(found)
        return
    print_line(f"endpoint: {name}, {status}")
    print_line(f"artifact: {model.url}")
    if port:
        print_line(f"server: http://127.0.0.1:{port}/invocations, which any user of this machine can call")
    calls.show(call)
