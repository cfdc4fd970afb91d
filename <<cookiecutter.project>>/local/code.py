"""The functions of the project's container and pipeline that the commands of the package `delivery` need."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from delivery.commands.progress import progress
from delivery.commands.project_code import TrainingData
from delivery.hints import also_meant, did_you_mean
from delivery.inference import rows

from container.data import table_files
from container.data.schema import Schema
from container.runtime.errors import UserError
from local.project import LocalError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from delivery.inference.rows import Table
    from delivery.sagemaker_sdk import SdkSettings

    from local.project import Project

SCHEMA = "schema.json"  # of a model


@dataclass(frozen=True)
class ProjectCode:
    """The functions of a project that know its container's classes."""

    project: Project

    def choose_data(self, data: Path | None, target: str | None) -> TrainingData:
        """Return a person's files, or a sample.

        Raises:
            LocalError: the files can't be trained on, or have no such column.
        """
        if data is None:
            with progress("Fetching the sample"):
                sample = self._write_sample()
            chosen = TrainingData((sample.path,), target or sample.target or None, f"{sample.description}.")
        elif self.project.is_image:
            from local import pictures  # noqa: PLC0415 - a project of tables does not have it

            # Two commands at once may pack folders of one name.
            packed = Path(tempfile.mkdtemp(dir=self.project.folder("data")))
            atexit.register(shutil.rmtree, packed, ignore_errors=True)
            files, note = pictures.data_files(data, packed)
            chosen = TrainingData(files, target, note)
        else:
            from local.run import data_files  # noqa: PLC0415 - boto3 takes too long for --help

            files, note = data_files(data)
            chosen = TrainingData(files, target, note, data if data.is_dir() else None)
        if not self.project.is_image:
            self._check_target(chosen, sample=data is None)
        return chosen

    def _check_target(self, chosen: TrainingData, *, sample: bool) -> None:
        folder, target = chosen.folder or chosen.files[0].parent, chosen.target or self.project.target
        try:
            check_target(chosen.files, folder, target, self.project.delimiter)
        except LocalError as error:
            raise LocalError(f"{error} Without --data it is {chosen.remark}") if sample else error from None

    def _write_sample(self) -> Any:
        if self.project.is_image:
            from local.pictures import write_sample  # noqa: PLC0415 - a project of tables does not have it
        else:
            from local.sample import write_sample  # noqa: PLC0415 - scikit-learn takes a second
        return write_sample(self.project.folder("data"))

    def resolve_model(self, name: str) -> str:
        """Return the present name of a model, given by that or by a name that is valid for good.

        Raises:
            LocalError: the project does not have it.
        """
        from delivery.training import MODEL_NAMES  # noqa: PLC0415 - only a training needs it

        from container import models  # noqa: PLC0415 - NumPy takes too long for --help

        known = models.available(self.project.workload)
        if name not in known and MODEL_NAMES.get(name) in known:
            return MODEL_NAMES[name]
        try:
            return models.resolve(name, self.project.workload)
        except UserError as error:
            raise LocalError(f"{error}{also_meant(name, known)}") from None

    def training_input(
        self, name: str, settings: SdkSettings, model: str | None, target: str | None
    ) -> dict[str, Any]:
        """Return the input of the training machine for the training of a name.

        Raises:
            LocalError: project.toml is not that of a project.
        """
        from delivery.training import data_prefix  # noqa: PLC0415 - only a training needs it

        from pipeline.errors import SettingsError  # noqa: PLC0415 - the other commands do not need it
        from pipeline.inputs import workflow_input  # noqa: PLC0415 - as above
        from pipeline.reader import read_settings  # noqa: PLC0415 - as above
        from pipeline.run import Run  # noqa: PLC0415 - as above

        try:
            known = read_settings(self.project.root / "project.toml")
        except SettingsError as error:
            raise LocalError(f"project.toml: {error}") from None
        chosen = model or self.resolve_model(known.model.name)
        own = known.model.hyperparameters if chosen == self.resolve_model(known.model.name) else {}
        data = replace(known.data, target=target or known.data.target, interval_days=0)
        known = replace(known, data=data, model=replace(known.model, name=chosen, hyperparameters=own))
        image = settings.image(self.project.region, known.project.name)
        run = Run("local", name, name, image, settings.bucket, "", settings.role_arn, "", "train")
        given = workflow_input(known, run)
        return given | {"Data": given["Data"] | {"Prefix": data_prefix(name)}}

    def read_schema(self, folder: Path) -> Schema:
        """Read the schema of a model's folder.

        Raises:
            LocalError: there is none.
        """
        try:
            return Schema.read(folder / SCHEMA)
        except UserError as error:
            raise LocalError(f"The model has no schema: {error}.") from None

    def read_file(self, path: Path, schema: Schema) -> Table:
        """Read the rows of a file; of images also those of a folder.

        Raises:
            LocalError: it has none.
        """
        if self.project.is_image:
            from local import pictures  # noqa: PLC0415 - a project of tables does not have it

            table: Table = pictures.read_file(path, schema.target.name)
            return table
        from local import prediction  # noqa: PLC0415 - only a file of a table needs it

        return prediction.read_file(path, schema, self.project.delimiter)

    def read_split(self, content: bytes, schema: Schema) -> Table:
        """Read a split as `prepare` wrote it, which has plain numbers."""
        if self.project.is_image:
            return rows.read_pictures(content)
        return replace(rows.read_table(content.decode(), schema.target.name), formats=schema.number_formats)

    def describe_cells(self, table: Table, schema: Schema) -> list[str]:
        """Say which cells are missing, or unknown to the model, and which columns it does not have."""
        from local import prediction  # noqa: PLC0415 - NumPy takes too long for --help

        return prediction.describe_cells(table, schema)

    def count_learned(self, folder: Path, table: Table, schema: Schema) -> int | None:
        """Count the labelled rows that a folder's model has learned from; None where that is not known."""
        from local import prediction  # noqa: PLC0415 - NumPy takes too long for --help

        return prediction.count_learned(folder, table, schema)

    def write_parquet(self, path: Path, columns: Mapping[str, Sequence[Any]]) -> None:
        """Write columns as a Parquet file."""
        import polars as pl  # noqa: PLC0415 - only this needs it

        pl.DataFrame(dict(columns)).write_parquet(path)


def check_target(files: Sequence[Path], folder: Path, target: str, delimiter: str) -> None:
    """Check that a table can be read and has rows, and that the tables up to it have the target's column.

    Raises:
        LocalError: it does not, none can be read, or none has a row.
    """
    from container.data import tables  # noqa: PLC0415 - a terminal need not wait for polars

    reason = ""
    for path in (each for each in files if table_files.suffix(each.name)):
        try:
            table = tables.inspect(path, folder, delimiter)
        except UserError as error:
            reason = reason or f"{error}."
            continue
        if target not in table.columns:
            raise LocalError(f"{path} has no column '{target}': {did_you_mean(target, table.columns)}")
        if table.rows:
            return
        reason = reason or f"{path} has a header and no rows: training needs rows below the header."
    raise LocalError(reason)
