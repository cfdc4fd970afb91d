"""Train a model without a delivery."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - typer reads the annotations
from typing import TYPE_CHECKING, Annotated

import localcloud
import typer

from delivery.commands.completion import complete_file, complete_model
from delivery.commands.json_output import AsJson, print_json
from delivery.commands.progress import progress
from delivery.commands.project import find_code, find_project, refuse_other_endpoint
from delivery.view import console, errors, print_error, print_line

if TYPE_CHECKING:
    from localcloud import Cloud

    from delivery.commands.project import LocalProject
    from delivery.commands.project_code import ProjectCode, TrainingData
    from delivery.training import Plan, Trained, Training

MODEL = typer.Option(
    help="A model of container/models, such as random_forest; by default the model of project.toml.",
    autocompletion=complete_model,
)
DATA = typer.Option(
    help="A CSV or Parquet file, or a folder of them; for images a zip too. By default a sample.",
    show_default=False,
    autocompletion=complete_file,
)
TARGET = typer.Option(help="The column to predict; by default the target in project.toml.")
BACKGROUND = typer.Option(
    "--background", help="Return when the jobs are accepted; they run in the local cloud."
)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        epilog="Example: python -m local train --model-type random_forest --data houses.csv --target price"
    )(train)


def train(  # noqa: PLR0913, PLR0917 - a command's options
    context: typer.Context,
    model_type: Annotated[str | None, MODEL] = None,
    data: Annotated[Path | None, DATA] = None,
    target: Annotated[str | None, TARGET] = None,
    background: Annotated[bool, BACKGROUND] = False,
    as_json: AsJson = False,
) -> None:
    """Prepare data, train a model and evaluate it by SageMaker's jobs, without a delivery."""
    from delivery import training

    project = find_project(context)
    refuse_other_endpoint(project)
    code = find_code(context, project)
    model = code.resolve_model(model_type) if model_type else None
    chosen = code.choose_data(data, target)
    if chosen.remark:
        print_error(f"Data: {chosen.remark}")
    with progress("Starting the training"):
        cloud, plan = make_plan(project, code, model, chosen)
        started = training.prepare(cloud, plan)
    try:
        training.start(cloud, plan, started)
        if background:
            training.wait_for_job(cloud, started)
            show_started(cloud, started, as_json=as_json)
            return
        follow(cloud, started)
    except KeyboardInterrupt:
        if training.stop(cloud, started):
            print_error(f"Interrupted: the training {started.name} and its jobs are stopped.")
        raise
    show_trained(cloud, started, training.read_result(cloud, started), as_json=as_json)


def make_plan(
    project: LocalProject, code: ProjectCode, model: str | None, chosen: TrainingData
) -> tuple[Cloud, Plan]:
    """Return the project's local cloud, which is started if it does not run, and the training to start."""
    from delivery import sagemaker_sdk, training

    workflow = project.root / training.WORKFLOW
    cloud = localcloud.start(project.cloud)
    settings = sagemaker_sdk.prepare(cloud, project.state)
    return cloud, training.Plan(
        project.slug,
        workflow,
        settings,
        chosen.by_name,
        lambda name: code.training_input(name, settings, model, chosen.target),
    )


def follow(cloud: Cloud, started: Training) -> None:
    """Show the jobs until they have ended."""
    from delivery import training
    from delivery.history import view
    from delivery.history.jobs import job_records

    with view.follow(errors, lambda: job_records(cloud, started.name)):
        training.wait(cloud, started)


def show_started(cloud: Cloud, started: Training, *, as_json: bool) -> None:
    """Say what runs, and where the model will be."""
    from delivery.history.jobs import job_records

    jobs = [record.name for record in job_records(cloud, started.name)]
    if as_json:
        found = {
            "training": started.name,
            "execution": started.arn,
            "jobs": jobs,
            "artifact": started.artifact,
        }
        print_json(found)
        return
    print_line(f"training: {started.name}")
    print_line(f"jobs: {', '.join(jobs)}; those that follow have {started.name} in their names too")
    print_line(f"artifact, when they have ended: {started.artifact}")
    print_line("These commands show the jobs, follow their logs, and stop the training:")
    for command in ("jobs --watch", f"logs {started.name} --follow", f"stop {started.name}"):
        print_line(f"  python -m local {command}")


def show_trained(cloud: Cloud, started: Training, trained: Trained, *, as_json: bool) -> None:
    """Say which jobs ran, how good the model is, and where it is."""
    from delivery.history import results, view
    from delivery.history.jobs import job_records

    records = job_records(cloud, started.name)
    if as_json:
        found = {
            "training": started.name,
            "execution": started.arn,
            "jobs": {record.name: record.status for record in records},
            "artifact": trained.artifact,
            "metrics": dict(trained.metrics),
            "intervals": dict(trained.intervals),
            "warnings": list(trained.warnings),
        }
        print_json(found)
        return
    console.print(view.stages(records))
    console.print(results.scores(trained.metrics, trained.intervals))
    console.print(results.warnings(list(trained.warnings)))
    print_line(f"artifact: {trained.artifact}")
    print_line("This command puts it behind an endpoint:")
    print_line(f"  python -m local deploy --model-artifact {trained.artifact} --endpoint-name {started.name}")
