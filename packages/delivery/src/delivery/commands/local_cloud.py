"""Start and stop the local cloud, and show what it holds."""

from __future__ import annotations

import shlex
import sys
from typing import TYPE_CHECKING, Annotated

import localcloud
import typer

from delivery.cloud import DeliveryError
from delivery.commands.json_output import AsJson, print_json
from delivery.commands.progress import progress
from delivery.commands.project import OWNER, LocalProject, find_project, reach, refuse_other_endpoint
from delivery.view import console, errors, print_error, print_line

if TYPE_CHECKING:
    from localcloud import Cloud

SPEED = typer.Option(min=1.0, max=3600.0, help="The number that divides each wait which AWS imposes.")
SKIP = typer.Option(
    help="Whether the local cloud's clock skips the time in which nothing runs and a command or a service "
    "waits.",
    show_default="skip",
)
COMMAND = "python -m local up --export"
UP_EXAMPLES = """Examples:

  python -m local up --speed 60

  eval "$(python -m local up --export)" && aws s3 ls

  python -m local up --profile local >> ~/.aws/config && aws --profile local s3 ls"""
DOWN_EXAMPLES = """Examples:

  python -m local down

  python -m local down --delete"""
STATUS_EXAMPLES = """Examples:

  python -m local status

  python -m local status --json | jq -r '.resources[] | select(.kind == "endpoint") | .name'"""


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command(epilog=UP_EXAMPLES)(up)
    app.command(epilog=DOWN_EXAMPLES)(down)
    app.command(epilog=STATUS_EXAMPLES)(status)


def up(
    context: typer.Context,
    speed: Annotated[float | None, SPEED] = None,
    skip: Annotated[bool | None, SKIP] = None,
    export: Annotated[
        bool,
        typer.Option("--export", help="Print the variables for 'eval' alone; the rest to standard error."),
    ] = False,
    profile: Annotated[
        str | None, typer.Option(help="Print a profile of this name for ~/.aws/config, valid until 'down'.")
    ] = None,
) -> None:
    """Start the local cloud, or change the speed of the running one, and say how to reach it."""
    project = find_project(context)
    refuse_other_endpoint(project)
    if export and profile:
        raise typer.BadParameter("--export and --profile print different things: give one of them.")
    with progress("Starting the local cloud"):
        cloud = localcloud.start(project.cloud, speed, skip=skip)
        variables = exported(project, cloud) if export else cloud.environment
    (errors if export or profile else console).print(address(cloud), highlight=False, soft_wrap=True)
    if profile:
        sys.stdout.write(profile_lines(profile, cloud))
        return
    if not export:
        print_line("Any AWS tool reaches it with these variables:")
    for name, value in variables.items():
        sys.stdout.write(f"{'' if export else '  '}export {name}={shlex.quote(value)}\n")
    if not export:
        print_error(f'This sets them in a shell: eval "$({COMMAND})"')


def down(
    context: typer.Context,
    delete: Annotated[bool, typer.Option("--delete", help="Delete what the cloud held as well.")] = False,
) -> None:
    """Stop the local cloud with its jobs and endpoints; what it held is kept for the next one."""
    project = find_project(context).cloud
    with progress("Stopping the local cloud"):
        stopped = localcloud.stop(project, keep=not delete)
    print_line("The local cloud is stopped." if stopped else "No local cloud was running.")
    for sentence in localcloud.delete_kept(project) if delete else localcloud.describe_kept(project):
        print_line(sentence)


def status(context: typer.Context, as_json: AsJson = False) -> None:
    """Show pipelines, stacks, endpoints, models and the latest jobs; 'jobs' lists all jobs."""
    from delivery.history import view
    from delivery.status import overview

    place = reach(find_project(context))
    with progress("Reading the cloud"):
        facts = overview(place.cloud)
    if as_json:
        content = {"endpoint": place.url, "resources": [fact._asdict() for fact in facts]}
        print_json(content, indent=2)
        return
    print_line(place.title)
    console.print(view.facts(facts))


def exported(project: LocalProject, cloud: Cloud) -> dict[str, str]:
    """Return the variables that point AWS tools and the SageMaker SDK at a local cloud."""
    from delivery.sagemaker_sdk import prepare

    sdk = prepare(cloud, project.state).environment
    return {**cloud.environment, **sdk, OWNER: str(project.cloud.state)}


def profile_lines(name: str, cloud: Cloud) -> str:
    """Return a profile in the form of ~/.aws/config.

    Raises:
        DeliveryError: the name is none that the file can hold.
    """
    if not name or set(name) & set("[]#;\n\"'"):
        raise DeliveryError(f"{name!r} cannot be a profile's name: take letters, digits, '-' and '_'.")
    variables = cloud.environment
    settings = {
        "endpoint_url": cloud.endpoint_url,
        "region": cloud.region,
        "aws_access_key_id": variables["AWS_ACCESS_KEY_ID"],
        "aws_secret_access_key": variables["AWS_SECRET_ACCESS_KEY"],
    }
    section = name if name == "default" else f"profile {shlex.quote(name)}"
    return f"[{section}]\n" + "".join(f"{key} = {value}\n" for key, value in settings.items())


def address(cloud: Cloud) -> str:
    """Return the sentence on where the local cloud answers."""
    return f"The local cloud answers at {cloud.endpoint_url} (process {cloud.pid})."
