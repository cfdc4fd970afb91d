"""The interface of a prepared split, of a table or of images, and how it is read."""

from pathlib import Path
from typing import Protocol

from container.data import encode
from container.data.schema import TABULAR, Schema
from container.data.split_keys import SplitKeys
from container.runtime.typing import FloatArray


class Dataset(Protocol):
    """Hold the rows of a split as the numbers that a model sees, and as requests."""

    @property
    def features(self) -> FloatArray:
        """Return (n, n_features), NaN where missing; the features of an image are its bytes."""

    @property
    def target(self) -> FloatArray:
        """Return (n,) numbers or class codes."""

    @property
    def keys(self) -> SplitKeys | None:
        """Return the keys by which the rows were split; None for images, or where they are not known."""

    @property
    def content_type(self) -> str:
        """Return the content type of the requests."""

    def body(self, row: int) -> str:
        """Return a row as the body of a request."""

    def features_for(self, ours: Schema, theirs: Schema) -> FloatArray:
        """Return the (n, n_features) that a model of another schema sees.

        Raises:
            UserError: such a model cannot predict these rows.
        """


def read(directory: Path, schema: Schema) -> Dataset:
    """Read the prepared split of a directory.

    Raises:
        UserError: the split is missing, damaged, or does not fit the schema.
    """
    if schema.workload == TABULAR:
        return encode.read(directory, schema)
    import container.images.dataset as images  # noqa: PLC0415 - tables need no image libraries

    split: Dataset = images.read(directory, schema)
    return split
