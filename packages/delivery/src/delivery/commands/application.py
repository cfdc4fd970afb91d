"""The application `python -m local`: the project's own commands with those of this package."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, NoReturn

from botocore.exceptions import BotoCoreError, ClientError
from localcloud import CloudError
from localcloud.files import explained

from delivery.cloud import DeliveryError
from delivery.commands import approvals, local_cloud, logs, notebooks
from delivery.view import errors

if TYPE_CHECKING:
    from collections.abc import Callable

    import typer

    from delivery.commands.project import LocalProject

GROUPS = (local_cloud, approvals, logs, notebooks)


def run(app: typer.Typer, find_project: Callable[[], LocalProject]) -> None:
    """Run a command of the project or of this package; an expected error ends in a sentence and code 1."""
    for group in GROUPS:
        group.register(app)
    try:
        app(prog_name="python -m local", obj=find_project)
    except (BotoCoreError, ClientError, CloudError, DeliveryError, OSError) as error:
        fail(explained(error))


def fail(reason: str) -> NoReturn:
    """Print why the command failed, and end with exit code 1."""
    errors.print(f"error: {reason}", style="red", markup=False, highlight=False, soft_wrap=True)
    sys.exit(1)
