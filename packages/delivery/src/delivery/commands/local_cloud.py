"""Start and stop the local cloud, and show what it holds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import localcloud
import typer

from delivery.commands.project import find_project, running_cloud
from delivery.view import console, print_line

if TYPE_CHECKING:
    from localcloud import Cloud

SPEED = typer.Option(min=1.0, max=3600.0, help="The number that divides each wait which AWS imposes.")


def register(app: typer.Typer) -> None:
    """Add the commands."""
    for command in (up, down, status):
        app.command()(command)


def up(context: typer.Context, speed: Annotated[float | None, SPEED] = None) -> None:
    """Start the local cloud and say how to reach it."""
    cloud = localcloud.start(find_project(context).cloud, speed)
    print_address(cloud)
    print_line("Any AWS tool reaches it with these variables:")
    for name, value in cloud.environment.items():
        print_line(f"  export {name}={value}")


def down(context: typer.Context) -> None:
    """Stop the local cloud with its jobs and endpoints; what it held is gone, logs and report stay."""
    stopped = localcloud.stop(find_project(context).cloud)
    print_line("The local cloud is stopped." if stopped else "No local cloud was running.")


def status(context: typer.Context) -> None:
    """Show the local cloud's stacks, endpoints and jobs."""
    from delivery.history import view  # noqa: PLC0415 - boto3 takes a third of a second, too long for --help
    from delivery.status import overview  # noqa: PLC0415 - as above

    cloud = running_cloud(find_project(context))
    print_address(cloud)
    console.print(view.facts(overview(cloud)))


def print_address(cloud: Cloud) -> None:
    """Print where the local cloud answers."""
    print_line(f"The local cloud answers at {cloud.endpoint_url} (process {cloud.pid}).")
