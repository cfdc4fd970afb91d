"""The application `python -m local`: the project's own commands with those of this package."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any, NoReturn

from botocore.exceptions import BotoCoreError, ClientError
from localcloud import CloudError
from localcloud.files import explained

from delivery.cloud import UNREACHABLE, DeliveryError
from delivery.commands import (
    approvals,
    completion,
    deploy,
    doctor,
    infer,
    jobs,
    local_cloud,
    logs,
    notebooks,
    train,
)
from delivery.commands.project import ENDPOINT, Opener
from delivery.interrupts import Interrupts
from delivery.view import as_typed, print_error

if TYPE_CHECKING:
    from collections.abc import Callable

    import typer

    from delivery.commands.project import LocalProject
    from delivery.commands.project_code import ProjectCode

GROUPS = (local_cloud, approvals, train, deploy, infer, jobs, logs, notebooks, doctor, completion)


def run(
    app: typer.Typer, find_project: Callable[[], LocalProject], code_of: Callable[[Any], ProjectCode]
) -> None:
    """Run a command of the project or of this package; an expected error ends in a sentence and code 1.

    Ctrl-C ends in code 130, SIGTERM in 143 and a closed terminal's SIGHUP in 129, after the command has ended
    what it started.
    """
    for group in GROUPS:
        group.register(app)
    for command in app.registered_commands:
        command.epilog = as_typed(command.epilog or "")
    interrupts = Interrupts()
    try:
        opener = Opener(find_project, code_of)
        app(prog_name=as_typed("python -m local"), obj=opener, complete_var=completion.VARIABLE)
    except (BotoCoreError, ClientError, CloudError, DeliveryError, OSError) as error:
        fail(_sentence(error))
    except SystemExit as end:
        interrupts.ignore()  # a command that has ended says so, and not that a signal has ended it
        sys.exit(interrupts.exit_code(end.code))


def _sentence(error: Exception) -> str:
    text = explained(error)
    url = os.environ.get(ENDPOINT)
    if isinstance(error, UNREACHABLE) and url:
        way_out = f"'unset {ENDPOINT}' returns to the project's local cloud"
        return f"{text.rstrip('.')}. {ENDPOINT} is {url}; {way_out}."
    return text


def fail(reason: str) -> NoReturn:
    """Print why the command failed, and end with exit code 1."""
    print_error(f"error: {reason}", "red")
    sys.exit(1)
