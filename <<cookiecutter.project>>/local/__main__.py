"""python -m local: the project on this machine, with no AWS account and no Docker."""

from __future__ import annotations

import csv
import sys
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path  # noqa: TC003 - typer reads the annotations
from typing import TYPE_CHECKING, Annotated

import localcloud
import typer
from delivery.view import console, errors
from localcloud import CloudError
from localcloud.files import explained

from local.project import LocalError, Project, find_project

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from container.data.schema import Schema, Target
    from local.endpoint import Ask
    from local.prediction import Table
    from local.run import Delivery

app = typer.Typer(help=__doc__, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)

RUN_EXAMPLES = """Examples:

  python -m local run

  python -m local run --data sales.csv --target price --approve --speed 60"""
DRIFT_EXAMPLES = """Examples:

  python -m local drift --feature income --shift 1.5

  python -m local drift --scenario missing --new-data --approve"""
SPEED = typer.Option(min=1.0, max=3600.0, help="The number that divides each wait which AWS imposes.")


class Method(StrEnum):
    """The ways in which a request reaches the model."""

    boto3 = "boto3"
    direct = "direct"


@app.command(epilog=RUN_EXAMPLES)
def run(
    data: Annotated[
        Path | None,
        typer.Option(help="A CSV or Parquet file, or a folder of them; for images a zip too."),
    ] = None,
    target: Annotated[
        str | None, typer.Option(help="The column to predict; by default the target in project.toml.")
    ] = None,
    rows: Annotated[int, typer.Option(min=0, help="Rows of the test split to predict at the end.")] = 100,
    approve: Annotated[bool, typer.Option("--approve", help="Approve the model at once.")] = False,  # noqa: FBT002 - so typer has flags
    speed: Annotated[float | None, SPEED] = None,
) -> None:
    """Deliver the project and the data to production, by the project's own pipeline."""
    from delivery.commands.progress import progress
    from delivery.commands.project import refuse_other_endpoint

    from local import run as runs
    from local import run_lock

    project = find_project()
    refuse_other_endpoint(project)
    with ExitStack() as held:
        with reported(project):
            held.enter_context(run_lock.alone(project, f"run --data {data}" if data else "run"))
            files, target = chosen_data(project, data, target)
            project, settings = runs.resolve_settings(project, target)
            with progress("Starting the local cloud"):
                cloud = localcloud.start(project.cloud, speed)
        for text in runs.deprecations(project):
            errors.print(f"warning: {text}", markup=False, highlight=False, soft_wrap=True)
        folder = data if data and data.is_dir() and not project.is_image else None
        shown(runs.deliver, runs.Delivery(cloud, project, files, rows, approve, settings, folder=folder))


@app.command(epilog=DRIFT_EXAMPLES)
def drift(  # noqa: PLR0913, PLR0917 - a command's options
    scenario: Annotated[
        str | None,
        typer.Option(
            help="How the requests differ: shift, scale, missing, category, fraction, absent, additional; "
            "for images darker, blurred, class."
        ),
    ] = None,
    feature: Annotated[
        str | None,
        typer.Option(help="The feature that differs; by default the feature that matters most to the model."),
    ] = None,
    shift: Annotated[
        float | None, typer.Option(help="The standard deviations by which a number moves.")
    ] = None,
    strength: Annotated[
        float | None, typer.Option(help="The size of the difference, in the scenario's unit.")
    ] = None,
    rows: Annotated[int, typer.Option(min=1, help="The number of rows to send.")] = 2000,
    new_data: Annotated[bool, typer.Option("--new-data", help="Add labelled rows that differ too.")] = False,  # noqa: FBT002 - so typer has flags
    approve: Annotated[bool, typer.Option("--approve", help="Approve the new model at once.")] = False,  # noqa: FBT002 - so typer has flags
) -> None:
    """Send requests that differ from the training data through the API, and follow the reaction to them."""
    from delivery.commands.project import running_cloud

    from local import drift as drifts
    from local import run as runs
    from local import run_lock

    project = find_project()
    wanted = drifts.parse_scenario(drifts.find_scenario(project, scenario), feature, shift, strength, rows)
    delivery = runs.Delivery(running_cloud(project), project, approve=approve)
    with run_lock.alone(project, "drift"):
        found = drifts.find_target(delivery, wanted)  # what is refused leaves the last run's report as it is
        shown(lambda one: drifts.follow(one, wanted, found, new_data=new_data), delivery)


@app.command(epilog="Example: python -m local follow")
def follow() -> None:
    """Follow the pipeline's latest execution to its end, as 'run' does."""
    from delivery.commands.project import running_cloud
    from delivery.history.executions import list_executions

    from local import run as runs

    project = find_project()
    delivery = runs.Delivery(running_cloud(project), project)
    found = list_executions(delivery.cloud, delivery.pipeline)
    if not found:
        raise LocalError("Nothing was delivered here; 'python -m local run' does.")
    delivery.execution_id, delivery.began = found[0]["pipelineExecutionId"], found[0]["startTime"]
    shown(runs.follow, delivery)


def shown(act: Callable[[Delivery], None], delivery: Delivery) -> None:
    """Show the steps while they run, and write the report in any case."""
    from delivery.history import results
    from delivery.history import view as history_view

    from local import report

    report.forget_report(delivery.project)
    try:
        with history_view.follow(console, delivery.records):
            act(delivery)
    except KeyboardInterrupt:
        end_started(delivery)
        raise
    except Exception as error:
        delivery.fail(error)
        raise
    finally:
        console.print(history_view.stages(delivery.records()))
        path = leave_report(delivery)
    content = report.read_report(path)
    console.print(results.loop(delivery.analysis, delivery.violations, content["loop"]))
    console.print(results.data(content["data"]))
    console.print(results.scores(content["metrics"], content["evaluation"]["intervals"]))
    console.print(results.importances(content["evaluation"]["importances"]))
    console.print(results.warnings(content["evaluation"]["warnings"]))
    console.print(f"endpoint: {delivery.endpoint_name}", highlight=False, soft_wrap=True)


def end_started(delivery: Delivery) -> None:
    """Stop the execution that an interrupted command has started; one that it only follows continues."""
    from delivery.jobs.executions import stop_started

    if not delivery.started:
        errors.print(
            "Stopped following; 'python -m local follow' follows again, and 'stop' ends an execution."
        )
        return
    ended = stop_started(delivery.cloud, delivery.pipeline, delivery.execution_id)
    errors.print(ended, highlight=False, soft_wrap=True)


def leave_report(delivery: Delivery) -> Path:
    """Write the report and print its path.

    Raises:
        LocalError: the report cannot be written; the message also says why the run failed, if it did.
    """
    from local import report

    try:
        path = report.write_report(delivery)
    except OSError as error:
        raise LocalError(without_report(delivery.failure, error)) from None
    console.print(f"report: {path}", highlight=False, soft_wrap=True)
    return path


def without_report(failure: str, error: OSError) -> str:
    """Return why the run failed, if it did, and why it has no report."""
    before = f"{failure.rstrip('.')}. " if failure else ""
    return f"{before}There is no report of this run: {explained(error)}"


@contextmanager
def reported(project: Project) -> Iterator[None]:
    """Write a report of a run that cannot begin on this machine; a refused run keeps the last report."""
    from local import report

    began = datetime.now(UTC)
    try:
        yield
    except (CloudError, OSError) as error:
        report.forget_report(project)
        reason = explained(error)
        try:
            report.write_failure(project, began, reason)
        except OSError as unwritten:
            raise LocalError(without_report(reason, unwritten)) from None
        raise


def chosen_data(
    project: Project, data: Path | None, target: str | None
) -> tuple[tuple[Path, ...], str | None]:
    """Return the files to train on and the target: the user's, or those of a sample, which is named."""
    from delivery.commands.progress import progress

    folder = project.folder("data")
    if data is None:
        if project.is_image:
            from local.pictures import write_sample
        else:
            from local.sample import write_sample
        with progress("Fetching the sample"):
            sample = write_sample(folder)
        console.print(f"Data: {sample.description}.", highlight=False)
        return (sample.path,), target or sample.target or None
    if project.is_image:
        from local import pictures

        files, note = pictures.data_files(data, folder)
    else:
        from local.run import data_files

        files, note = data_files(data)
    if note:
        console.print(f"Data: {note}", highlight=False)
    return files, target


@app.command()
def infer(
    file: Annotated[
        Path,
        typer.Argument(
            help="A CSV file with a header; for images an image, or a zip or Parquet file of them."
        ),
    ],
    method: Annotated[
        Method, typer.Option(help="Through SageMaker's API, or directly to the server.")
    ] = Method.boto3,
    endpoint_name: Annotated[
        str | None,
        typer.Option(
            "--endpoint", help="An endpoint; by default that of production, or of dev while there is none."
        ),
    ] = None,
    model_artifact: Annotated[
        Path | None, typer.Option(help="A model.tar.gz, which predicts without an endpoint.")
    ] = None,
) -> None:
    """Predict a file, and score the predictions where the file has the target's column."""
    from delivery.commands.project import running_cloud

    from local import endpoint
    from local import prediction as inference

    project = find_project()
    if model_artifact is not None:
        serving: AbstractContextManager[tuple[Ask, Schema]] = endpoint.serving(project, model_artifact)
    else:
        cloud = running_cloud(project)
        name = endpoint_name or endpoint.in_service(cloud, project)
        ask = endpoint.reach(cloud, project, name, straight=method is Method.direct)
        serving = nullcontext((ask, endpoint.schema(project, name)))
    with serving as (ask, schema):
        target = schema.target
        if project.is_image:
            from local import pictures

            table: Table = pictures.read_file(file, project.served_target)
        else:
            table = inference.read_file(file, schema, project.delimiter)
        answers = inference.predict(table, ask)
    show_answers(table.labels, answers)
    show_scores(table.labels, answers, target)
    show_cells(table, schema)


def show_cells(table: Table, schema: Schema) -> None:
    """Write to standard error how images were read, or what of a table the model lacks or does not know."""
    from local import prediction as inference

    for remark in inference.describe_cells(table, schema) if schema.features else table.remarks:
        errors.print(remark, markup=False, highlight=False, soft_wrap=True)
    if absent := inference.absent_columns(table, schema):
        errors.print(f"warning: {absent}", style="red", markup=False, highlight=False, soft_wrap=True)


def show_scores(labels: tuple[str, ...] | None, answers: list[float | str], target: Target) -> None:
    """Write the scores to standard error, or why there are none."""
    from delivery.history import results

    from local import prediction as inference

    if labels is None:
        errors.print(f"The file has no labels of '{target.name}': nothing is scored.", highlight=False)
        return
    errors.print(results.scores(inference.score(labels, answers, target)))
    if reason := inference.unreadable_label(labels, target):
        errors.print(f"The first label that can't be read is in {reason}.", highlight=False)


def show_answers(labels: tuple[str, ...] | None, answers: list[float | str]) -> None:
    """Write the predictions as CSV to standard output, beside the labels where there are any."""
    writer = csv.writer(sys.stdout, lineterminator="\n")
    if labels is None:
        writer.writerow(["prediction"])
        writer.writerows([answer] for answer in answers)
        return
    writer.writerow(["label", "prediction"])
    writer.writerows(zip(labels, answers, strict=True))


def main() -> None:
    """Run the command; an expected fault ends in one sentence and exit code 1."""
    try:
        from delivery.commands import application

        application.run(app, find_project)
    except ImportError as error:
        if str(error.name).partition(".")[0] not in {"delivery", "localcloud"}:
            raise
        reason = f"The project needs another version of {error.name}: run 'make setup', which installs it."
        errors.print(f"error: {reason}", style="red", markup=False, highlight=False, soft_wrap=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
