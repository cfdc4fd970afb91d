"""The network of the multilayer perceptron, in Keras, and its training."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from container.data.schema import Schema
from container.inference.litert import MAX_INPUT
from container.models._keras import INPUT, OUTPUT, framework
from container.runtime.typing import FloatArray

MAX_DEVIATIONS = 10.0  # standard deviations from the mean, to which inputs are clipped
MAX_EMBEDDING = 32  # dimensions of the embedding of a category


@dataclass(frozen=True)
class Architecture:
    """Hold the hidden layers, and the number of levels up to which a category is one-hot encoded."""

    hidden_layers: int
    units: int
    dropout: float
    one_hot_levels: int


@dataclass(frozen=True)
class TrainingConfig:
    """Hold the settings of the training; `patience` is in epochs."""

    learning_rate: float
    batch_size: int
    epochs: int
    patience: int
    steps_per_execution: int


def build(schema: Schema, architecture: Architecture, rows: NDArray[np.float32]) -> Any:
    """Return an untrained network that maps rows to a score, or to a score for each class.

    The scales of its inputs are those of `rows` (n, n_features).
    """
    _, keras = framework()
    inputs = keras.Input((len(schema.features),), dtype="float32", name=INPUT)
    parts = _numbers(keras, schema, inputs, rows)
    for place in schema.categorical:
        parts.append(
            _category(keras, inputs[:, place : place + 1], schema.features[place].levels, architecture)
        )
    hidden = keras.layers.Concatenate()(parts) if len(parts) > 1 else parts[0]
    for _ in range(architecture.hidden_layers):
        hidden = keras.layers.Dense(architecture.units, activation="relu")(hidden)
        if architecture.dropout:
            hidden = keras.layers.Dropout(architecture.dropout)(hidden)
    return keras.Model(inputs, keras.layers.Dense(len(schema.target.classes or (0,)))(hidden))


def _numbers(keras: Any, schema: Schema, inputs: Any, rows: NDArray[np.float32]) -> list[Any]:
    """Return scaled numbers, 0 where missing, and flags of missing ones for columns with gaps in training."""
    places = [place for place in range(len(schema.features)) if place not in schema.categorical]
    if not places:
        return []
    mean, scale = _scales(rows[:, places])
    chosen = keras.ops.take(inputs, np.array(places, dtype=np.int32), axis=1)
    missing = keras.ops.not_equal(chosen, chosen)
    scaled = keras.ops.clip((chosen - mean) * scale, -MAX_DEVIATIONS, MAX_DEVIATIONS)
    parts = [keras.ops.where(missing, 0.0, scaled)]
    gaps = np.flatnonzero(np.isnan(rows[:, places]).any(axis=0)).astype(np.int32)
    if len(gaps):
        parts.append(keras.ops.cast(keras.ops.take(missing, gaps, axis=1), "float32"))
    return parts


def _scales(rows: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the mean of each column, and 1 divided by its standard deviation, or 0 where it is constant."""
    there = ~np.isnan(rows)
    count = np.maximum(there.sum(axis=0), 1)
    wide = np.where(there, rows, 0.0).astype(np.float64)
    mean = wide.sum(axis=0) / count
    deviation = np.sqrt((np.where(there, wide - mean, 0.0) ** 2).sum(axis=0) / count)
    least = np.maximum(np.abs(mean) * np.finfo(np.float32).eps, 1 / MAX_INPUT)
    scale = np.where(deviation > least, 1 / np.maximum(deviation, least), 0.0)
    return mean.astype(np.float32), scale.astype(np.float32)


def _category(keras: Any, code: Any, levels: int, architecture: Architecture) -> Any:
    """Return a category one-hot encoded, or embedded when it has many levels; missing is a level too."""
    if levels <= architecture.one_hot_levels:
        return keras.ops.cast(keras.ops.equal(code, np.arange(levels, dtype=np.float32)), "float32")
    known = keras.ops.logical_and(code >= 0, code < levels)
    level = keras.ops.cast(keras.ops.where(known, code, float(levels)), "int32")
    embedded = keras.layers.Embedding(levels + 1, min(MAX_EMBEDDING, (levels + 1) // 2))(level)
    return keras.layers.Flatten()(embedded)


def train(
    network: Any,
    config: TrainingConfig,
    rows: tuple[NDArray[np.float32], FloatArray],
    held_out: tuple[NDArray[np.float32], FloatArray] | None,
    *,
    classes: bool,
) -> int:
    """Train until the loss of the held-out rows no longer falls; return the number of epochs."""
    _, keras = framework()
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True) if classes else "mean_squared_error"
    steps = max(1, len(rows[0]) // config.batch_size)
    network.compile(
        optimizer=keras.optimizers.Adam(config.learning_rate),
        loss=loss,
        steps_per_execution=min(config.steps_per_execution, steps),
        jit_compile=False,  # compiling takes longer than small networks learn
    )
    stop = keras.callbacks.EarlyStopping(patience=config.patience, restore_best_weights=True)
    history = network.fit(
        *rows,
        batch_size=config.batch_size,
        epochs=config.epochs,
        validation_data=held_out,
        callbacks=[] if held_out is None else [stop],
        verbose=0,
    )
    refuse_infinite(network)
    return len(history.history["loss"])


def refuse_infinite(network: Any) -> None:
    """Check that training has not diverged.

    Raises:
        ValueError: a weight is infinite or not a number.
    """
    if not all(np.isfinite(each).all() for each in network.get_weights()):
        raise ValueError("its weights grew beyond all numbers; a smaller learning_rate may help")


def export(network: Any, mean: float, deviation: float, *, classes: bool) -> Any:
    """Return the network from rows to predictions: probabilities, or numbers in the unit of the target."""
    _, keras = framework()
    (scores,) = network.outputs
    predictions = keras.layers.Softmax()(scores) if classes else scores * deviation + mean
    return keras.Model(network.inputs[0], {OUTPUT: predictions})
