"""python -m local: the project on this machine, with no AWS account and no Docker."""

from __future__ import annotations

import sys
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path  # noqa: TC003 - typer reads the annotations
from typing import TYPE_CHECKING, Annotated

try:
    import localcloud
    import typer
except ModuleNotFoundError as error:
    sys.exit(
        f"error: {sys.executable} has no {error.name}: 'make setup' installs it into .venv, and"
        " '.venv/bin/python -m local' runs the commands."
    )
from delivery.commands.completion import complete_file
from delivery.commands.local_cloud import SKIP, SPEED
from delivery.view import console, print_error, print_line
from localcloud import CloudError
from localcloud.files import explained

from local.project import LocalError, Project, find_project

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from local.code import ProjectCode
    from local.run import Delivery

app = typer.Typer(help=__doc__, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)

RUN_EXAMPLES = """Examples:

  python -m local run

  python -m local run --data sales.csv --target price --approve --speed 60"""
DRIFT_EXAMPLES = """Examples:

  python -m local drift --feature income --shift 1.5

  python -m local drift --scenario missing --new-data --approve"""


@app.command(epilog=RUN_EXAMPLES)
def run(  # noqa: PLR0913, PLR0917 - a command's options
    data: Annotated[
        Path | None,
        typer.Option(
            help="A CSV or Parquet file, or a folder of them; for images a zip too.",
            autocompletion=complete_file,
        ),
    ] = None,
    target: Annotated[
        str | None, typer.Option(help="The column to predict; by default the target in project.toml.")
    ] = None,
    rows: Annotated[int, typer.Option(min=0, help="Rows of the test split to predict at the end.")] = 100,
    approve: Annotated[bool, typer.Option("--approve", help="Approve the model at once.")] = False,  # noqa: FBT002 - so typer has flags
    speed: Annotated[float | None, SPEED] = None,
    skip: Annotated[bool | None, SKIP] = None,
) -> None:
    """Deliver the project and the data to production, by the project's own pipeline."""
    from delivery.commands.progress import progress
    from delivery.commands.project import refuse_other_endpoint
    from delivery.inference import calls

    from local import run as runs
    from local import run_lock

    project = find_project()
    refuse_other_endpoint(project)
    with ExitStack() as held:
        with reported(project):
            held.enter_context(run_lock.alone(project, f"run --data {data}" if data else "run"))
            chosen = code_of(project).choose_data(data, target)
            if chosen.remark:
                print_line(f"Data: {chosen.remark}")
            project, settings = runs.resolve_settings(project, chosen.target)
            with progress("Starting the local cloud"):
                cloud = localcloud.start(project.cloud, speed, skip=skip)
        for text in runs.deprecations(project):
            print_error(f"warning: {text}")
        shown(
            runs.deliver,
            runs.Delivery(cloud, project, chosen.files, rows, approve, settings, folder=chosen.folder),
        )
        if call := calls.of_api(cloud, project, code_of(project)):
            calls.show(call)


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
    skip: Annotated[bool | None, SKIP] = None,
) -> None:
    """Send requests that differ from the training data through the API, and follow the reaction to them."""
    from delivery.commands.project import running_cloud

    from local import drift as drifts
    from local import run as runs
    from local import run_lock

    project = find_project()
    wanted = drifts.parse_scenario(drifts.find_scenario(project, scenario), feature, shift, strength, rows)
    running_cloud(project)
    cloud = localcloud.start(project.cloud, skip=skip)
    delivery = runs.Delivery(cloud, project, approve=approve)
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

    from local import run as runs

    if not delivery.source:
        print_error(
            "Stopped following; 'python -m local follow' follows again, and 'stop' ends an execution."
        )
        return
    execution_id = delivery.execution_id or runs.find_started(delivery)
    ended = stop_started(delivery.cloud, delivery.pipeline, execution_id)
    print_error(ended)


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


def code_of(project: Project) -> ProjectCode:
    """Return what the commands of the package `delivery` ask of the container and the pipeline."""
    from local.code import ProjectCode

    return ProjectCode(project)


def main() -> None:
    """Run the command; an expected fault ends in one sentence and exit code 1."""
    try:
        from delivery.commands import application

        application.run(app, find_project, code_of)
    except ImportError as error:
        package = str(error.name).partition(".")[0]
        if package not in {"delivery", "localcloud"}:
            raise
        reason = f"The project needs another version of {package}: run 'make setup', which installs it."
        print_error(f"error: {reason}", "red")
        sys.exit(1)


if __name__ == "__main__":
    main()
