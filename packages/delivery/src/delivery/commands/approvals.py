"""Answer the approval that a model waits for."""

from __future__ import annotations

from typing import Annotated

import typer

from delivery import approval
from delivery.commands.project import find_project, running_cloud
from delivery.view import print_line

SUMMARY = typer.Option(help="A comment on the decision.")


def register(app: typer.Typer) -> None:
    """Add the commands."""
    for command in (approve, reject):
        app.command(epilog=f"Example: python -m local {command.__name__} --summary 'looked at the report'")(
            command
        )


def approve(context: typer.Context, summary: Annotated[str, SUMMARY] = "approved locally") -> None:
    """Approve the model that waits for production."""
    answer(context, "Approved", summary)


def reject(context: typer.Context, summary: Annotated[str, SUMMARY] = "rejected locally") -> None:
    """Reject the model that waits for production."""
    answer(context, "Rejected", summary)


def answer(context: typer.Context, status: str, summary: str) -> None:
    """Approve or reject the pending approval."""
    project = find_project(context)
    pending = approval.reply(running_cloud(project), f"{project.slug}-pipeline", status, summary)
    print_line(f"{status}: {pending.question}.")
    print_line("'python -m local follow' shows what happens next.")
