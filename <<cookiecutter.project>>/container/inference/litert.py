"""Neural networks run by LiteRT, a small interpreter of the networks that `train` has converted.

TensorFlow is not needed. LiteRT computes in 32 bits, and predicts the same for a row alone as among others.
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
MAX_INPUT = 1e30  # inputs are clipped, so that (input - mean) * scale stays finite in 32 bits
# Rows, and numbers in them, that are predicted at a time, which bounds the memory of a large request.
MAX_BATCH_ROWS, MAX_BATCH_NUMBERS = 1024, 2**18
RELATIVE_TOLERANCE = 1e-5  # of the largest prediction


class LiteRT:
    """Predict with a converted network."""

    def __init__(self, content: bytes, features: int, outputs: int) -> None:
        """Take a converted network for rows of `features` numbers and `outputs` classes (or 1).

        Raises:
            ValueError: the network takes other rows, or has other outputs.
        """
        from ai_edge_litert.interpreter import Interpreter  # noqa: PLC0415 - not every project installs it

        self.features, self.outputs = features, outputs
        self.interpreter: Any = Interpreter(model_content=content, num_threads=1)
        (source,), (result,) = self.interpreter.get_input_details(), self.interpreter.get_output_details()
        for tensor, width in ((source, features), (result, outputs)):
            if tensor["dtype"] is not np.float32 or tensor["shape_signature"].tolist() != [-1, width]:
                raise ValueError(f"{tensor['name']} does not hold rows of {width} numbers")
        self.input, self.output = source["index"], result["index"]
        self.allocated_rows = 0
        self.lock = threading.Lock()  # an interpreter has one set of tensors

    def predict(self, features: FloatArray) -> FloatArray:
        """Return (n,) numbers or (n, classes) probabilities for (n, n_features) rows."""
        rows = to_float32(features)
        predictions = np.empty((len(rows), self.outputs))
        with self.lock:
            step = batch_rows(self.features)
            for start in range(0, len(rows), step):
                predictions[start : start + step] = self._run(rows[start : start + step])
        return predictions if self.outputs > 1 else predictions[:, 0]

    def _run(self, rows: NDArray[np.float32]) -> NDArray[np.float32]:
        if len(rows) != self.allocated_rows:
            self.interpreter.resize_tensor_input(self.input, rows.shape)
            self.interpreter.allocate_tensors()
            self.allocated_rows = len(rows)
        self.interpreter.set_tensor(self.input, rows)
        self.interpreter.invoke()
        predictions: NDArray[np.float32] = self.interpreter.get_tensor(self.output)
        return predictions


def to_float32(features: FloatArray) -> NDArray[np.float32]:
    """Return rows as both forms of a network take them: clipped, in 32 bits, NaN for missing."""
    if features.dtype.kind == "u":  # an image's bytes: `np.clip` would turn each into 8 bytes first
        return features.astype(np.float32)
    return np.clip(features, -MAX_INPUT, MAX_INPUT).astype(np.float32)


def batch_rows(features: int) -> int:
    """Return how many rows of `features` numbers are predicted at a time: few images, or many table rows."""
    return max(1, min(MAX_BATCH_ROWS, MAX_BATCH_NUMBERS // max(1, features)))


def version() -> str:
    """Return the version of the interpreter.

    Raises:
        UserError: the interpreter is not installed.
    """
    try:
        return importlib.metadata.version("ai-edge-litert")
    except importlib.metadata.PackageNotFoundError as error:
        raise UserError(
            "this is a TensorFlow model, and LiteRT is not installed: make the project with "
            "framework=tensorflow, whose image has it"
        ) from error


def digests(directory: Path) -> dict[str, str]:
    """Return the SHA-256 digest of each form of a network that a directory has, by its name."""
    return {name: _digest(directory / name) for name in (PORTABLE, CONVERTED) if (directory / name).exists()}


def load(directory: Path, known: dict[str, str], features: int, outputs: int) -> LiteRT:
    """Load the converted network of a directory; `known` are the digests that `train` has recorded.

    Raises:
        UserError: the network is missing, or has another digest, number of features or outputs.
    """
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


def tolerance(predictions: FloatArray) -> float:
    """Return how far predictions may differ between machines, which add numbers in other orders."""
    return RELATIVE_TOLERANCE * float(np.abs(predictions).max(initial=0.0))


def assert_close(converted: FloatArray, portable: FloatArray) -> None:
    """Check that the two forms of a network predict the same, within `tolerance`.

    Raises:
        UserError: they differ by more.
    """
    if not np.allclose(converted, portable, rtol=0, atol=tolerance(portable)):
        far = float(np.abs(converted - portable).max())
        raise UserError(f"{CONVERTED} predicts other numbers than {PORTABLE}: they differ by up to {far:g}")


def _digest(path: Path) -> str:
    files = sorted(child for child in path.rglob("*") if child.is_file()) if path.is_dir() else [path]
    digest = hashlib.sha256()
    for file in files:
        content = file.read_bytes()
        digest.update(f"{file.relative_to(path.parent)} {len(content)}\n".encode() + content)
    return digest.hexdigest()
