"""Keras on TensorFlow: deterministic training, saving, loading and predicting.

TensorFlow is imported only by a training that uses it, since the import takes seconds and 600 MB.
"""

import importlib
import importlib.util
import os
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from container.data.schema import Schema
from container.inference.litert import CONVERTED, PORTABLE, batch_rows, to_float32
from container.runtime.errors import UserError
from container.runtime.typing import FloatArray

INPUT, OUTPUT = "features", "predictions"
# Set before the import: the backend, against a user's keras.json, and sums in a fixed order.
ENVIRONMENT = {"KERAS_BACKEND": "tensorflow", "TF_ENABLE_ONEDNN_OPTS": "0", "TF_CPP_MIN_LOG_LEVEL": "3"}


@cache
def framework() -> tuple[Any, Any]:
    """Return the modules tensorflow and keras.

    Raises:
        UserError: they are not installed.
    """
    if importlib.util.find_spec("tensorflow") is None:
        raise UserError(
            "this model needs TensorFlow, which is not installed: make the project with framework=tensorflow"
        )
    os.environ.update(ENVIRONMENT)
    with tempfile.TemporaryDirectory() as home:
        os.environ["KERAS_HOME"] = home  # a user's keras.json would change the results of a seed
        tensorflow = importlib.import_module("tensorflow")
        return tensorflow, importlib.import_module("keras")


def set_deterministic(seed: int) -> None:
    """Seed all random numbers, and let TensorFlow compute sums in a fixed order."""
    tensorflow, keras = framework()
    keras.utils.set_random_seed(seed)
    tensorflow.config.experimental.enable_op_determinism()


def save(network: Any, directory: Path) -> None:
    """Write a network as SavedModel, with its signature, and as LiteRT."""
    tensorflow, _ = framework()
    network.export(str(directory / PORTABLE), verbose=False)
    converter = tensorflow.lite.TFLiteConverter.from_saved_model(str(directory / PORTABLE))
    (directory / CONVERTED).write_bytes(converter.convert())


def load(directory: Path) -> Any:
    """Return the signature of a SavedModel.

    Raises:
        UserError: it is missing or damaged.
    """
    if not (directory / PORTABLE).is_dir():
        raise UserError(f"{PORTABLE} is missing: 'train' writes it")
    tensorflow, _ = framework()
    try:
        loaded = tensorflow.saved_model.load(str(directory / PORTABLE))
        signature = loaded.signatures["serving_default"]
    except Exception as error:  # a damaged file fails in any of the readers below
        raise UserError(f"{PORTABLE} is damaged: {type(error).__name__}: {error}") from error
    signature.owner = loaded  # the variables are freed with it
    return signature


def load_for(schema: Schema, directory: Path, width_name: str) -> Any:
    """Return the signature of a SavedModel for a schema; messages call the number of inputs `width_name`.

    Raises:
        UserError: it is missing, damaged, or has other inputs or outputs than the schema.
    """
    signature = load(directory)
    _, inputs = signature.structured_input_signature
    if inputs[INPUT].shape[1] != schema.width:
        raise UserError(f"{PORTABLE} and schema.json disagree on {width_name}")
    if signature.structured_outputs[OUTPUT].shape[1] != len(schema.target.classes or (0,)):
        raise UserError(f"{PORTABLE} and schema.json disagree on the classes")
    return signature


def predict(call: Any, features: FloatArray) -> FloatArray:
    """Return the (n, outputs) predictions of a network or of a signature for (n, n_inputs)."""
    tensorflow, _ = framework()
    rows = to_float32(features)
    step = batch_rows(rows.shape[1])
    parts = [rows[start : start + step] for start in range(0, len(rows), step)]
    predictions = [call(tensorflow.constant(part))[OUTPUT].numpy() for part in parts]
    return np.concatenate(predictions).astype(np.float64)
