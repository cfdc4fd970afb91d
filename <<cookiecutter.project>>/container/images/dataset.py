"""A prepared split of pictures as the numbers that a model sees."""

import base64
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from container.data.schema import Schema
from container.images import decode, sources
from container.images.decode import PictureError
from container.images.sources import Labelled
from container.runtime.errors import UserError

LABEL = "label"
ENCODED = "b64"  # what a picture in JSON is called, as TensorFlow Serving calls it


@dataclass(frozen=True)
class Pictures:
    """Hold a split: its files, and what they show as rows of bytes of squares with a side."""

    files: list[Labelled]
    features: NDArray[Any]  # (n, side * side * 3) bytes
    target: NDArray[np.float64]  # (n,) class codes
    side: int

    content_type: ClassVar[str] = "application/json"

    def body(self, row: int) -> str:
        """Return a picture as a request: as the model sees it, however large its file is."""
        body = decode.encode(self.features[row], self.side)
        return json.dumps({"instances": [{ENCODED: base64.b64encode(body).decode()}]})

    def seen_by(self, ours: Schema, theirs: Schema) -> NDArray[Any]:
        """Return the features that a model of another schema sees; refuse one that knows other labels."""
        if theirs.target != ours.target or theirs.side is None:
            raise UserError("it tells other labels apart, or does not look at pictures")
        return _features(self.files, theirs.side)


def read(directory: Path, schema: Schema) -> Pictures:
    """Read the prepared zip of a directory; refuse one that does not fit the schema."""
    files = sources.find(directory)
    codes = {label: code for code, label in enumerate(schema.target.classes or ())}
    unknown = {file.label for file in files} - codes.keys()
    if unknown or schema.side is None:
        raise UserError(f"{files[0].name}: its labels are not the schema's: 'prepare' writes both")
    target = np.array([codes[file.label] for file in files], dtype=np.float64)
    return Pictures(files, _features(files, schema.side), target, schema.side)


def _features(files: Iterable[Labelled], side: int) -> NDArray[Any]:
    rows = []
    for file in files:
        try:
            rows.append(decode.pixels(decode.decode(file.read()), side))
        except PictureError as error:
            raise UserError(
                f"{file.name} is no picture any more ({error}): 'prepare' left such out"
            ) from error
    return np.stack(rows)
