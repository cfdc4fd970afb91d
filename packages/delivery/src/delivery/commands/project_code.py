"""The functions of a project's own container and pipeline that the commands of this package need."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from delivery.inference.rows import NumberFormat, Table
    from delivery.inference.scores import Target
    from delivery.sagemaker_sdk import SdkSettings


class Feature(Protocol):
    """A column that a model sees."""

    @property
    def name(self) -> str:
        """The column's name."""


class Schema(Protocol):
    """The columns of a model and its target, as the project's container reads them."""

    @property
    def target(self) -> Target:
        """What the model predicts."""

    @property
    def features(self) -> Sequence[Feature]:
        """The columns; none for images."""

    @property
    def number_formats(self) -> Mapping[str, NumberFormat]:
        """How columns of numbers are written, by name."""


class TrainingData(NamedTuple):
    """The files of a training, the target where one was chosen, and a remark on the choice.

    The files' names begin at the folder, where there is one.
    """

    files: tuple[Path, ...]
    target: str | None
    remark: str = ""
    folder: Path | None = None

    @property
    def by_name(self) -> dict[str, Path]:
        """The files by their names below the folder of the data."""
        return {
            path.relative_to(self.folder).as_posix() if self.folder else path.name: path
            for path in self.files
        }


class ProjectCode(Protocol):
    """The functions of a project that know its container's classes."""

    def choose_data(self, data: Path | None, target: str | None) -> TrainingData:
        """Return a person's files, or a sample; raise DeliveryError for a wrong file or target."""

    def resolve_model(self, name: str) -> str:
        """Return the present name of a model; raise DeliveryError where the project does not have it."""

    def training_input(
        self, name: str, settings: SdkSettings, model: str | None, target: str | None
    ) -> dict[str, Any]:
        """Return the input of the training machine for the training of a name."""

    def read_schema(self, folder: Path) -> Schema:
        """Read the schema of a model's folder; raise DeliveryError where there is none."""

    def read_file(self, path: Path, schema: Any) -> Table:
        """Read the rows of a file or folder; raise DeliveryError where that has none."""

    def read_split(self, content: bytes, schema: Any) -> Table:
        """Read a split as `prepare` wrote it."""

    def describe_cells(self, table: Table, schema: Any) -> list[str]:
        """Say which cells are missing, or unknown to the model."""

    def count_learned(self, folder: Path, table: Table, schema: Any) -> int | None:
        """Count the labelled rows that a folder's model has learned from; None where that is not known."""

    def write_parquet(self, path: Path, columns: Mapping[str, Sequence[Any]]) -> None:
        """Write columns as a Parquet file."""
