"""Compiled models on disk, beside the portable model: written by `train`, read by evaluation and serving."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from container.inference.compiled_model import (
    HOG_SVM,
    CompiledModel,
    CompiledPredictor,
    UnsupportedModelError,
)
from container.inference.native import boosting, forest, linear, tensor_file
from container.inference.native.boosting import BoostingPredictor
from container.inference.native.forest import ForestPredictor
from container.inference.native.library import UnavailableError
from container.inference.native.linear import LinearPredictor
from container.inference.native.load import load as load_library

if TYPE_CHECKING:
    from pathlib import Path

    from container.inference.native.library import Library

PORTABLE, COMPILED = "model.skops", "model.arrays"
# By the kind that is written to the file, which registered models have already.
PREDICTORS: dict[str, type[CompiledPredictor]] = {
    forest.KIND: ForestPredictor,
    boosting.KIND: BoostingPredictor,
    linear.KIND: LinearPredictor,
}
FINGERPRINT_BYTES = 1_000_000  # of a file's end: a zip has the checksums of all its members there


def write(directory: Path, compiled: CompiledModel) -> None:
    """Write a compiled model into the directory of the portable model that it was made from."""
    fingerprint = _fingerprint(directory / PORTABLE)
    metadata = {"kind": compiled.kind, "portable": fingerprint, **compiled.metadata}
    tensor_file.write(directory / COMPILED, metadata, compiled.arrays)


def load(directory: Path, features: int, outputs: int) -> tuple[CompiledPredictor, Library]:
    """Load the compiled model of a directory, for rows of `features` numbers and `outputs` classes (or 1).

    Raises:
        UnsupportedModelError: it is missing, damaged, or does not fit the schema or the portable model.
    """
    path = directory / COMPILED
    if not path.exists():
        raise UnsupportedModelError(f"the artifact has no {COMPILED}")
    try:
        library = load_library()
        metadata, arrays = tensor_file.read(path)
        if metadata["portable"] != _fingerprint(directory / PORTABLE):
            raise UnsupportedModelError(f"{COMPILED} was made from another {PORTABLE}")
        predictor = _predictor(metadata["kind"])(library, metadata, arrays)
    except UnavailableError as error:
        raise UnsupportedModelError(str(error)) from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UnsupportedModelError(f"{COMPILED} is damaged: {type(error).__name__}: {error}") from error
    if (predictor.features, predictor.outputs) != (features, outputs):
        raise UnsupportedModelError(
            f"{COMPILED} and schema.json disagree on the number of features or classes"
        )
    return predictor, library


def _predictor(kind: str) -> type[CompiledPredictor]:
    if kind != HOG_SVM:
        return PREDICTORS[kind]
    from container.inference.hog_svm import HogSvmPredictor  # noqa: PLC0415 - a project of tables lacks it

    images: type[CompiledPredictor] = HogSvmPredictor
    return images


def _fingerprint(path: Path) -> str:
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - FINGERPRINT_BYTES))
        return hashlib.sha256(b"%d " % size + file.read()).hexdigest()
