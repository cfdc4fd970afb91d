"""The source of predictions, an endpoint or a saved model, and the rows that it is given."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import localcloud

from delivery.cloud import DeliveryError
from delivery.hints import closest
from delivery.inference import clients, model_server, scores, served
from delivery.inference import predictions as requests
from delivery.inference.methods import Endpoint, Method, UnavailableError
from delivery.inference.result import Result

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from contextlib import AbstractContextManager

    from localcloud import Cloud

    from delivery.commands.project import LocalProject
    from delivery.commands.project_code import ProjectCode, Schema
    from delivery.inference.predictions import Ask
    from delivery.inference.rows import Table

S3 = "s3://"
MOST_COLUMNS = 10  # in a message


@dataclass(frozen=True)
class Source:
    """A model that predicts: its name, its files, its test split, and the ways to reach it."""

    code: ProjectCode
    name: str
    folder: Path
    schema: Schema
    read_test_split: Callable[[], bytes]
    reach: Callable[[Method, str], AbstractContextManager[Ask]]
    method: Method | None = None  # the only one that reaches it


def of_endpoint(project: LocalProject, code: ProjectCode, cloud: Cloud, name: str) -> Source:
    """Return an endpoint of the local cloud.

    Raises:
        DeliveryError: The endpoint's model has no schema.

    """
    endpoint, url = Endpoint(cloud, project, name), served.model_url(cloud, name)
    folder = endpoint.model_folder
    return Source(
        code,
        f"the endpoint {name}",
        folder,
        code.read_schema(folder),
        lambda: served.read_test_split(cloud, served.find_model(cloud, url)),
        endpoint.reach,
    )


@contextmanager
def of_artifact(project: LocalProject, code: ProjectCode, artifact: str) -> Iterator[Source]:
    """Yield a saved model, which is served for as long as the context lasts.

    Raises:
        DeliveryError: The file does not exist, or its model cannot be served.

    """
    cloud = localcloud.find(project.cloud)
    with (
        _local_file(cloud, artifact) as path,
        model_server.serving(project.root, project.state, path) as served_by,
    ):
        port, folder = served_by

        @contextmanager
        def reach(_: Method, kind: str) -> Iterator[Ask]:
            yield clients.direct(port, kind)

        yield Source(
            code,
            artifact,
            folder,
            code.read_schema(folder),
            lambda: split_of_file(cloud, path),
            reach,
            Method.direct,
        )


@contextmanager
def _local_file(cloud: Cloud | None, artifact: str) -> Iterator[Path]:
    if not artifact.startswith(S3):
        if not Path(artifact).is_file():
            raise DeliveryError(f"{artifact} does not exist: name a model.tar.gz, or its s3:// address.")
        yield Path(artifact)
        return
    if cloud is None:
        raise DeliveryError(
            f"No local cloud is running here that could have {artifact}; 'python -m local up' starts it."
        )
    model = served.find_model(cloud, artifact)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "model.tar.gz"
        cloud.client("s3").download_file(model.bucket, model.key, str(path))
        yield path


def split_of_file(cloud: Cloud | None, path: Path) -> bytes:
    """Return the test split of the training that made a file.

    Raises:
        DeliveryError: No local cloud runs, or it has no such training.

    """
    if cloud is None:
        raise DeliveryError(
            f"No local cloud is running here that could have the test split of {path}: name a file to "
            "predict, or 'python -m local up' starts it."
        )
    found = served.find_file(cloud, path)
    if found is None:
        raise DeliveryError(f"The local cloud has no training that made {path}: name a file to predict.")
    return served.read_test_split(cloud, found)


def read_rows(source: Source, file: Path | None) -> tuple[Table, str]:
    """Return the rows of a file, or of the test split of the model's training, and the name of either.

    Raises:
        DeliveryError: The rows can't be read, or have none of the model's columns.

    """
    code, schema = source.code, source.schema
    if file is None:
        return code.read_split(source.read_test_split(), schema), "the test split of the model's training"
    table = code.read_file(file, schema)
    names = [feature.name for feature in schema.features]
    if names and not set(names).intersection(table.columns):
        raise DeliveryError(
            f"{file}: the header names none of the model's columns ({', '.join(names[:MOST_COLUMNS])})"
            f"{_meant(names, table.columns)}."
        )
    return table, str(file)


def predict(
    source: Source, table: Table, rows: str, methods: Sequence[Method], rows_a_request: int | None = None
) -> Result:
    """Predict by each method, and compare the predictions where there are several.

    Raises:
        DeliveryError: A prediction differs between two methods, or fewer than two of several can be used.

    """
    found: dict[str, requests.Predictions] = {}
    left_out: dict[str, str] = {}
    for method in [source.method] if source.method else methods:
        try:
            with source.reach(method, table.content_type_of_files) as ask:
                found[method.value] = requests.predict(table, ask, rows_a_request)
        except UnavailableError as error:
            if len(methods) == 1:
                raise
            left_out[method.value] = str(error)
    if len(found) < min(len(methods), 2):
        raise DeliveryError(f"Nothing is compared: {' '.join(left_out.values())}")
    _compare(found)
    return _with_remarks(source, Result(source.name, rows, table, source.schema.target, found, left_out))


def _compare(found: dict[str, requests.Predictions]) -> None:
    (first, reference), *others = found.items()
    for name, each in others:
        position = requests.first_difference(reference.values, each.values)
        if position is not None:
            raise DeliveryError(
                f"The predictions differ: row {position + 1} is {reference.values[position]} by {first} and "
                f"{each.values[position]} by {name}."
            )


def _with_remarks(source: Source, result: Result) -> Result:
    table, schema, code = result.table, source.schema, source.code
    labels = table.written_labels(schema.target.name)
    result.warnings += table.warnings
    if labels is None:
        unused = [name for name in table.columns if name not in [feature.name for feature in schema.features]]
        meant = _meant([schema.target.name], unused)
        result.remarks.append(f"The file has no labels of '{schema.target.name}'{meant}: nothing is scored.")
    result.remarks += [*table.remarks, *(code.describe_cells(table, schema) if schema.features else ())]
    if absent := absent_columns(table, schema):
        result.warnings.append(absent)
    if labels is None:
        return result
    if reason := scores.unreadable_label(labels, schema.target):
        result.remarks.append(f"The first label that can't be read is in {reason}.")
    learned = code.count_learned(source.folder, table, schema)
    if learned:
        result.warnings.append(
            f"{learned} of the {len(labels)} rows are training rows: the model has learned from them, and "
            "their scores do not say how it predicts new rows."
        )
    return result


def absent_columns(table: Table, schema: Schema) -> str:
    """Return which of the model's columns a table lacks, in a sentence, or nothing."""
    names = [feature.name for feature in schema.features]
    absent = [name for name in names if name not in table.columns]
    if not absent:
        return ""
    unused = [name for name in table.columns if name not in names]
    return (
        f"The file lacks {len(absent)} of the model's {len(names)} columns: {', '.join(absent)}"
        f"{_meant(absent, unused)}. "
        "They are missing values in every row, and the predictions are made without them."
    )


def _meant(absent: Sequence[str], unused: Sequence[str]) -> str:
    pairs = [(name, closest(name, unused)) for name in absent]
    said = [f"the file's '{found}' may be '{name}'" for name, found in pairs if found]
    return f" ({'; '.join(said[:MOST_COLUMNS])})" if said else ""
