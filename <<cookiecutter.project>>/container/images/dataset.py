"""A prepared split of images, as the numbers that a model sees."""

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
from container.images.decode import ImageError
from container.images.labelled_file import LabelledFile
from container.runtime.errors import UserError

LABEL = "label"
ENCODED = "b64"  # the key of an image in JSON, as in TensorFlow Serving


@dataclass(frozen=True)
class ImageDataset:
    """Hold a split: its files, and their images as rows of bytes of squares with `side` pixels."""

    files: list[LabelledFile]
    features: NDArray[Any]  # (n, side * side * 3) bytes
    target: NDArray[np.float64]  # (n,) class codes
    side: int

    keys: ClassVar[None] = None
    content_type: ClassVar[str] = "application/json"

    def body(self, row: int) -> str:
        """Return an image as the body of a request, reduced to the square that the model sees."""
        body = decode.encode(self.features[row], self.side)
        return json.dumps({"instances": [{ENCODED: base64.b64encode(body).decode()}]})

    def features_for(self, ours: Schema, theirs: Schema) -> NDArray[Any]:
        """Return the (n, n_features) that a model of another schema sees.

        Raises:
            UserError: that model has other labels, or is not a model of images.
        """
        if theirs.target != ours.target or theirs.side is None:
            raise UserError("it has other labels, or is not a model of images")
        return _features(self.files, theirs.side)


def read(directory: Path, schema: Schema) -> ImageDataset:
    """Read the prepared zip of a directory.

    Raises:
        UserError: an image is damaged, or has a label that the schema does not have.
    """
    files = sources.find(directory).files
    codes = {label: code for code, label in enumerate(schema.target.classes or ())}
    unknown = {file.label for file in files} - codes.keys()
    if unknown or schema.side is None:
        raise UserError(f"{files[0].name}: its labels are not the schema's: 'prepare' writes both")
    target = np.array([codes[file.label] for file in files], dtype=np.float64)
    return ImageDataset(files, _features(files, schema.side), target, schema.side)


def _features(files: Iterable[LabelledFile], side: int) -> NDArray[Any]:
    rows = []
    for file in files:
        try:
            rows.append(decode.pixels(decode.decode(file.read()), side))
        except ImageError as error:
            raise UserError(
                f"{file.name} can't be read any more ({error}): 'prepare' leaves out such files"
            ) from error
    return np.stack(rows)
