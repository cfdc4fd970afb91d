"""Execute the project's notebooks on its local cloud."""

from __future__ import annotations

import os
import re
import sys
import time
from typing import TYPE_CHECKING, Annotated

import localcloud
import typer

from delivery import child_processes, notebook_endings, sagemaker_sdk, stacks
from delivery import notebooks as project_notebooks
from delivery.cloud import DeliveryError
from delivery.commands.local_cloud import exported
from delivery.commands.progress import progress
from delivery.commands.project import find_project, refuse_other_endpoint, running_cloud
from delivery.view import print_error, print_line

if TYPE_CHECKING:
    from localcloud import Cloud

    from delivery.commands.project import LocalProject
    from delivery.notebook_endings import Call

DELIVER = ("run", "--approve")
SPEED = ("--speed", "60")  # of a cloud that the delivery starts
# Variables that name another cloud or account, or a proxy on the way.
OTHER_CLOUD = re.compile(r"AWS_|SAGEMAKER_|\w+_proxy$", re.IGNORECASE)
EXAMPLE = "Example: python -m local notebooks 03 04"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(epilog=EXAMPLE)(notebooks)


def notebooks(
    context: typer.Context,
    names: Annotated[
        list[str] | None,
        typer.Argument(help="How the names of the notebooks begin, such as 03; by default all."),
    ] = None,
) -> None:
    """Execute the notebooks in order on the local cloud, and deliver the project first where it is not.

    The notebooks stay as they are; build/notebooks has copies with the outputs. 'make setup-sdk' installs
    what they need.
    """
    project = find_project(context)
    refuse_other_endpoint(project)
    root = project.cloud.root
    found = project_notebooks.find_notebooks(root, names or ())
    python = sagemaker_sdk.interpreter()
    project_notebooks.check(python)
    cloud = delivered(project)
    kept = {name: value for name, value in os.environ.items() if not OTHER_CLOUD.match(name)}
    variables = kept | exported(project, cloud)
    for notebook in found:
        began = time.monotonic()
        with progress(f"Executing {notebook.name}"):
            project_notebooks.execute(
                notebook, root / project_notebooks.RESULTS, python, variables, lambda calls: end(cloud, calls)
            )
        print_line(f"{notebook.stem:<24}{time.monotonic() - began:6.1f} s")
    print_line(f"The copies with outputs are in {root / project_notebooks.RESULTS}.")


def end(cloud: Cloud, calls: list[Call]) -> None:
    """End what an interrupted notebook has started, and say so."""
    for sentence in notebook_endings.end_started(cloud, calls):
        print_error(sentence)


def delivered(project: LocalProject) -> Cloud:
    """Return the project's running cloud, after a delivery where it serves no model in production.

    Raises:
        DeliveryError: The delivery failed.
    """
    cloud = localcloud.find(project.cloud)
    production = stacks.find(cloud, f"{project.slug}-deploy-prd") if cloud else None
    if cloud and production and production.get("Outputs"):
        return cloud
    command = [*DELIVER, *(() if cloud else SPEED)]
    print_line(f"Nothing is in production here: 'python -m local {' '.join(command)}' delivers the project.")
    process = [sys.executable, "-m", "local", *command]
    code, _ = child_processes.run(process, folder=project.cloud.root)
    if code:
        raise DeliveryError("The notebooks need a delivered project, and the delivery failed.")
    return running_cloud(project)
