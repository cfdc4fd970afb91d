"""What models learn from and are measured by: a prepared split, of a table or of pictures."""

import importlib
from pathlib import Path
from typing import Protocol, cast

from container.data import encode
from container.data.schema import TABULAR, Schema
from container.runtime.typing import FloatArray


class Examples(Protocol):
    """Be a split: numbers as a model sees them, and the same as requests."""

    @property
    def features(self) -> FloatArray:
        """Return (n, n_features), NaN for missing; of pictures bytes."""

    @property
    def target(self) -> FloatArray:
        """Return (n,) numbers or class codes."""

    @property
    def content_type(self) -> str:
        """Return the content type of the requests."""

    def body(self, row: int) -> str:
        """Return an example as a request."""

    def seen_by(self, ours: Schema, theirs: Schema) -> FloatArray:
        """Return the features that a model of another schema sees. Raises `UserError` for one that can't."""


def read(directory: Path, schema: Schema) -> Examples:
    """Read the prepared split of a directory; refuse one that does not fit the schema."""
    if schema.workload == TABULAR:
        return encode.read(directory, schema)
    # Tables are read without what reads pictures.
    return cast("Examples", importlib.import_module("container.images.dataset").read(directory, schema))
