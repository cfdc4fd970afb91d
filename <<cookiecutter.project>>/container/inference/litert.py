"""Neural networks as LiteRT: a small interpreter runs what `train` converted, without TensorFlow.

It counts in 32 bits. A row alone gets the same answer as among others.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import threading
from typing import TYPE_CHECKING, Any

import numpy as np

from container.runtime.errors import UserError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from container.runtime.typing import FloatArray

PORTABLE, CONVERTED = "saved_model", "model.tflite"
LARGEST = 1e30  # of an input: differences from a mean, times a scale, stay numbers of 32 bits
AT_ONCE, NUMBERS_AT_ONCE = 1024, 2**18  # rows, so that a large request takes no more memory than a small one
TOLERANCE = 1e-5  # of the largest answer


class LiteRT:
    """Predict with a converted network."""

    def __init__(self, content: bytes, features: int, outputs: int) -> None:
        """Take a converted network; refuse by `ValueError` one of other rows or answers."""
        from ai_edge_litert.interpreter import Interpreter  # noqa: PLC0415  not every project has it

        self.features, self.outputs = features, outputs
        self.interpreter: Any = Interpreter(model_content=content, num_threads=1)
        (given,), (made,) = self.interpreter.get_input_details(), self.interpreter.get_output_details()
        for found, width in ((given, features), (made, outputs)):
            if found["dtype"] is not np.float32 or found["shape_signature"].tolist() != [-1, width]:
                raise ValueError(f"{found['name']} does not hold rows of {width} numbers")
        self.given, self.made = given["index"], made["index"]
        self.rows = 0  # that its memory is laid out for
        self.lock = threading.Lock()

    def predict(self, features: FloatArray) -> FloatArray:
        """Return (n,) numbers or (n, classes) probabilities for (n, n_features) rows."""
        rows = narrowed(features)
        answers = np.empty((len(rows), self.outputs))
        with self.lock:
            step = rows_at_once(self.features)
            for start in range(0, len(rows), step):
                answers[start : start + step] = self._run(rows[start : start + step])
        return answers if self.outputs > 1 else answers[:, 0]

    def _run(self, rows: NDArray[np.float32]) -> NDArray[np.float32]:
        if len(rows) != self.rows:
            self.interpreter.resize_tensor_input(self.given, rows.shape)
            self.interpreter.allocate_tensors()
            self.rows = len(rows)
        self.interpreter.set_tensor(self.given, rows)
        self.interpreter.invoke()
        answers: NDArray[np.float32] = self.interpreter.get_tensor(self.made)
        return answers


def narrowed(features: FloatArray) -> NDArray[np.float32]:
    """Return rows as both forms of a network take them: in 32 bits, NaN for missing."""
    if features.dtype.kind == "u":  # the bytes of pictures, of which 64 bits would take eight times as much
        return features.astype(np.float32)
    return np.clip(features, -LARGEST, LARGEST).astype(np.float32)


def rows_at_once(features: int) -> int:
    """Return how many rows of so many numbers are predicted together: of pictures few, of tables many."""
    return max(1, min(AT_ONCE, NUMBERS_AT_ONCE // max(1, features)))


def version() -> str:
    """Return the version of the interpreter. Raises `UserError` where it is not installed."""
    try:
        return importlib.metadata.version("ai-edge-litert")
    except importlib.metadata.PackageNotFoundError as error:
        raise UserError(
            "this is a TensorFlow model, and LiteRT is not installed: make the project with "
            "framework=tensorflow, whose image has it"
        ) from error


def digests(directory: Path) -> dict[str, str]:
    """Return the digest of each form of a network that is in a directory."""
    return {name: _digest(directory / name) for name in (PORTABLE, CONVERTED) if (directory / name).exists()}


def load(directory: Path, known: dict[str, str], features: int, outputs: int) -> LiteRT:
    """Load a converted network. Raises `UserError` when it is missing, or is not what `train` wrote."""
    version()
    if not (directory / CONVERTED).is_file():
        raise UserError(f"{CONVERTED} is missing: 'train' writes it")
    for name, digest in digests(directory).items():
        if digest != known.get(name):
            raise UserError(f"{name} is damaged or another model's: model.json has another digest of it")
    try:
        return LiteRT((directory / CONVERTED).read_bytes(), features, outputs)
    except (ValueError, RuntimeError) as error:
        raise UserError(f"{CONVERTED} is damaged, or disagrees with schema.json: {error}") from error


def precision(answers: FloatArray) -> float:
    """Return by how much answers may differ between forms and machines, which add in other orders."""
    return TOLERANCE * float(np.abs(answers).max(initial=0.0))


def compare(converted: FloatArray, portable: FloatArray) -> None:
    """Refuse answers of the two forms that differ by more than 32 bits explain."""
    if not np.allclose(converted, portable, rtol=0, atol=precision(portable)):
        far = float(np.abs(converted - portable).max())
        raise UserError(f"{CONVERTED} predicts other numbers than {PORTABLE}: they differ by up to {far:g}")


def _digest(path: Path) -> str:
    files = sorted(each for each in path.rglob("*") if each.is_file()) if path.is_dir() else [path]
    digest = hashlib.sha256()
    for file in files:
        content = file.read_bytes()
        digest.update(f"{file.relative_to(path.parent)} {len(content)}\n".encode() + content)
    return digest.hexdigest()
