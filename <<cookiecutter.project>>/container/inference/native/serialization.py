"""The compiled form beside the portable one: written by `train`, and read by what predicts."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from container.inference.compiled_model import Form, Predictor, UnsuitableError
from container.inference.hog_svm import Gradients
from container.inference.native import library, tensor_file
from container.inference.native.boosting import Boosting
from container.inference.native.forest import Forest
from container.inference.native.linear import Line

if TYPE_CHECKING:
    from pathlib import Path

    from container.inference.native.library import Library

PORTABLE, COMPILED = "model.skops", "model.arrays"
KINDS: dict[str, type[Predictor]] = {
    "forest": Forest,
    "boosting": Boosting,
    "line": Line,
    "gradients": Gradients,
}
TAIL = 1_000_000  # bytes: a zip ends with the checksums of all that it holds


def write(directory: Path, form: Form) -> None:
    """Write a form beside the portable model that it was made from."""
    facts = {"kind": form.kind, "portable": _fingerprint(directory / PORTABLE), **form.facts}
    tensor_file.write(directory / COMPILED, facts, form.arrays)


def load(directory: Path, features: int, outputs: int) -> tuple[Predictor, Library]:
    """Map a form for rows and answers of so many numbers. Raises `UnsuitableError` when it may not serve."""
    path = directory / COMPILED
    if not path.exists():
        raise UnsuitableError(f"the artefact has no {COMPILED}")
    try:
        found = library.load()
        facts, mapped = tensor_file.read(path)
        if facts["portable"] != _fingerprint(directory / PORTABLE):
            raise UnsuitableError(f"{COMPILED} was made from another {PORTABLE}")
        predictor = KINDS[facts["kind"]](found, facts, mapped)
    except library.UnavailableError as error:
        raise UnsuitableError(str(error)) from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UnsuitableError(f"{COMPILED} is damaged: {type(error).__name__}: {error}") from error
    if (predictor.features, predictor.outputs) != (features, outputs):
        raise UnsuitableError(f"{COMPILED} and schema.json disagree on the number of features or classes")
    return predictor, found


def _fingerprint(path: Path) -> str:
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - TAIL))
        return hashlib.sha256(b"%d " % size + file.read()).hexdigest()
