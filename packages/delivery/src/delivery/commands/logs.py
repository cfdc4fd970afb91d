"""Show the logs of jobs, endpoints and the local cloud."""

from __future__ import annotations

from typing import Annotated

import typer

from delivery.commands.project import find_project
from delivery.logs import find_log, list_logs, tail
from delivery.view import print_line


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(logs)


def logs(
    context: typer.Context,
    name: Annotated[str | None, typer.Argument(help="The name of a job or an endpoint, or 'cloud'.")] = None,
    lines: Annotated[
        int, typer.Option("--lines", "-n", min=1, help="The number of lines, from the end.")
    ] = 50,
) -> None:
    """Show the end of a log, or list the logs."""
    folder = find_project(context).state / "logs"
    for line in list_logs(folder) if name is None else tail(find_log(folder, name), lines):
        print_line(line)
