"""Predict rows through an endpoint, or by a saved model."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from pathlib import Path  # noqa: TC003 - typer reads the annotations
from typing import TYPE_CHECKING, Annotated

import typer

from delivery.cloud import DeliveryError
from delivery.commands.completion import complete_endpoint, complete_file
from delivery.commands.json_output import AsJson, print_json
from delivery.commands.progress import progress
from delivery.commands.project import find_code, find_project, running_cloud
from delivery.inference.methods import Method
from delivery.view import print_line

if TYPE_CHECKING:
    from collections.abc import Iterator

    from delivery.commands.project import LocalProject
    from delivery.commands.project_code import ProjectCode
    from delivery.inference.result import Result
    from delivery.inference.source import Source

FILE = typer.Argument(
    help="A CSV, Parquet or JSON Lines file; for images an image, or a folder, zip or Parquet file of them. "
    "Without a file, the test split of the model's training is predicted.",
    show_default=False,
    autocompletion=complete_file,
)
METHOD = typer.Option(
    show_default="boto3",
    help="Through SageMaker's API by boto3, by the SageMaker SDK (predictor), through the project's signed "
    "API, or directly to the server.",
)
ENDPOINT = typer.Option(
    "--endpoint-name",
    "--endpoint",
    help="An endpoint; by default that of production, or of dev without it.",
    autocompletion=complete_endpoint,
)
ARTIFACT = typer.Option(
    help="A model.tar.gz, or its s3:// address, which predicts without an endpoint.",
    autocompletion=complete_file,
)
COMPARE = typer.Option(
    "--compare",
    help="Predict by every method that can be used, name the others, and fail unless all predictions are "
    "identical in every bit.",
)
OUTPUT = typer.Option(
    help="A .csv, .jsonl or .parquet file for label, prediction and difference.", autocompletion=complete_file
)
ROWS = typer.Option(min=1, help="The rows of a request; by default 500, and 10 images.", show_default=False)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(epilog="Example: python -m local infer rows.csv --method direct --output predictions.csv")(
        infer
    )


def infer(  # noqa: PLR0913, PLR0917 - a command's options
    context: typer.Context,
    file: Annotated[Path | None, FILE] = None,
    method: Annotated[Method | None, METHOD] = None,
    endpoint_name: Annotated[str | None, ENDPOINT] = None,
    model_artifact: Annotated[str | None, ARTIFACT] = None,
    compare: Annotated[bool, COMPARE] = False,
    output: Annotated[Path | None, OUTPUT] = None,
    as_json: AsJson = False,
    rows_a_request: Annotated[int | None, ROWS] = None,
) -> None:
    """Predict a file, and score the predictions where the file has the target's column."""
    from delivery.inference import output as outputs
    from delivery.inference import source

    project = find_project(context)
    check_choice(file, endpoint_name, model_artifact, method, compare=compare)
    if output:
        outputs.check(output, file)
    code = find_code(context, project)
    with open_source(project, code, endpoint_name, model_artifact) as opened:
        table, rows = source.read_rows(opened, file)
        methods = list(Method) if compare else [method or Method.boto3]
        with progress(f"Predicting {len(table.rows)} rows"):
            result = source.predict(opened, table, rows, methods, rows_a_request)
    if output:
        outputs.write(output, result.columns, code.write_parquet)
    show(result, output, as_json=as_json)


def check_choice(
    file: Path | None,
    endpoint_name: str | None,
    artifact: str | None,
    method: Method | None = None,
    *,
    compare: bool,
) -> None:
    """Check what is wrong with the options alone; raise DeliveryError."""
    if file and not file.exists():
        raise DeliveryError(f"{file} does not exist: name a file or a folder.")
    if artifact and endpoint_name:
        raise DeliveryError("--model-artifact predicts without an endpoint: leave out --endpoint-name.")
    if artifact and method not in (None, Method.direct):
        raise DeliveryError(
            f"--method {method.value} needs an endpoint: --model-artifact predicts by a server of its own."
        )
    if artifact and compare:
        raise DeliveryError(
            "--compare needs an endpoint, which every method reaches: leave out --model-artifact."
        )


@contextmanager
def open_source(
    project: LocalProject, code: ProjectCode, endpoint_name: str | None, artifact: str | None
) -> Iterator[Source]:
    """Yield what predicts: an endpoint, or a server for a saved model."""
    from delivery.inference import served, source

    if artifact:
        with source.of_artifact(project, code, artifact) as opened:
            yield opened
        return
    cloud = running_cloud(project)
    name = served.in_service(cloud, project.slug) if endpoint_name is None else endpoint_name
    with progress(f"Waiting for the endpoint {name}"):
        served.await_service(cloud, name)
    yield source.of_endpoint(project, code, cloud, name)


def show(result: Result, output: Path | None, *, as_json: bool) -> None:
    """Print the predictions, unless a file has them, and write the rest to standard error."""
    from delivery.inference import view
    from delivery.inference.output import as_csv

    if as_json:
        print_json(result.to_json())
        return
    if output is None:
        sys.stdout.write(as_csv(result.columns))
    else:
        print_line(f"predictions: {output}")
    view.show(result)
