"""The network of the TensorFlow model, in Keras: what it consists of, and how it learns."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from container.data.schema import Schema
from container.inference.litert import MAX_INPUT
from container.models._keras import INPUT, OUTPUT, framework
from container.runtime.typing import FloatArray

FAR = 10.0  # standard deviations; an input further from the mean counts as that far
WIDEST = 32  # numbers that a category is embedded in


@dataclass(frozen=True)
class Shape:
    """Say what hidden layers there are, and beyond how many levels a category is embedded."""

    hidden_layers: int
    units: int
    dropout: float
    one_hot_levels: int


@dataclass(frozen=True)
class Pace:
    """Say how a network learns."""

    learning_rate: float
    batch_size: int
    epochs: int
    patience: int
    steps_per_execution: int


def build(schema: Schema, shape: Shape, rows: NDArray[np.float32]) -> Any:
    """Return an untrained network from rows to a score, or to one a class; `rows` set its scales."""
    _, keras = framework()
    inputs = keras.Input((len(schema.features),), dtype="float32", name=INPUT)
    parts = _numbers(keras, schema, inputs, rows)
    for place in schema.categorical:
        parts.append(_category(keras, inputs[:, place : place + 1], schema.features[place].levels, shape))
    hidden = keras.layers.Concatenate()(parts) if len(parts) > 1 else parts[0]
    for _ in range(shape.hidden_layers):
        hidden = keras.layers.Dense(shape.units, activation="relu")(hidden)
        if shape.dropout:
            hidden = keras.layers.Dropout(shape.dropout)(hidden)
    return keras.Model(inputs, keras.layers.Dense(len(schema.target.classes or (0,)))(hidden))


def _numbers(keras: Any, schema: Schema, inputs: Any, rows: NDArray[np.float32]) -> list[Any]:
    """Return scaled numbers, 0 where missing; and what is missing, of columns that had gaps in training."""
    places = [place for place in range(len(schema.features)) if place not in schema.categorical]
    if not places:
        return []
    mean, scale = _scales(rows[:, places])
    chosen = keras.ops.take(inputs, np.array(places, dtype=np.int32), axis=1)
    missing = keras.ops.not_equal(chosen, chosen)
    scaled = keras.ops.clip((chosen - mean) * scale, -FAR, FAR)
    parts = [keras.ops.where(missing, 0.0, scaled)]
    gaps = np.flatnonzero(np.isnan(rows[:, places]).any(axis=0)).astype(np.int32)
    if len(gaps):
        parts.append(keras.ops.cast(keras.ops.take(missing, gaps, axis=1), "float32"))
    return parts


def _scales(rows: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return each column's mean, and 1 through its standard deviation: 0 for what is constant in 32 bits."""
    there = ~np.isnan(rows)
    count = np.maximum(there.sum(axis=0), 1)
    wide = np.where(there, rows, 0.0).astype(np.float64)
    mean = wide.sum(axis=0) / count
    deviation = np.sqrt((np.where(there, wide - mean, 0.0) ** 2).sum(axis=0) / count)
    least = np.maximum(np.abs(mean) * np.finfo(np.float32).eps, 1 / MAX_INPUT)
    scale = np.where(deviation > least, 1 / np.maximum(deviation, least), 0.0)
    return mean.astype(np.float32), scale.astype(np.float32)


def _category(keras: Any, code: Any, levels: int, shape: Shape) -> Any:
    """Return a category as a 1 among zeros, or embedded when it has many levels, of which missing is one."""
    if levels <= shape.one_hot_levels:
        return keras.ops.cast(keras.ops.equal(code, np.arange(levels, dtype=np.float32)), "float32")
    known = keras.ops.logical_and(code >= 0, code < levels)
    level = keras.ops.cast(keras.ops.where(known, code, float(levels)), "int32")
    embedded = keras.layers.Embedding(levels + 1, min(WIDEST, (levels + 1) // 2))(level)
    return keras.layers.Flatten()(embedded)


def train(
    network: Any,
    pace: Pace,
    rows: tuple[NDArray[np.float32], FloatArray],
    held: tuple[NDArray[np.float32], FloatArray] | None,
    *,
    classes: bool,
) -> int:
    """Train to the end or until the held rows no longer gain; return the epochs that it took."""
    _, keras = framework()
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True) if classes else "mean_squared_error"
    steps = max(1, len(rows[0]) // pace.batch_size)
    network.compile(
        optimizer=keras.optimizers.Adam(pace.learning_rate),
        loss=loss,
        steps_per_execution=min(pace.steps_per_execution, steps),
        jit_compile=False,  # compiling takes longer than small networks learn
    )
    stop = keras.callbacks.EarlyStopping(patience=pace.patience, restore_best_weights=True)
    history = network.fit(
        *rows,
        batch_size=pace.batch_size,
        epochs=pace.epochs,
        validation_data=held,
        callbacks=[] if held is None else [stop],
        verbose=0,
    )
    refuse_infinite(network)
    return len(history.history["loss"])


def refuse_infinite(network: Any) -> None:
    """Raise `ValueError` for weights that are no numbers any more."""
    if not all(np.isfinite(each).all() for each in network.get_weights()):
        raise ValueError("its weights grew beyond all numbers; a smaller learning_rate may help")


def finish(network: Any, mean: float, deviation: float, *, classes: bool) -> Any:
    """Return the network with what makes answers of its scores: probabilities, or numbers in their units."""
    _, keras = framework()
    (scores,) = network.outputs
    answers = keras.layers.Softmax()(scores) if classes else scores * deviation + mean
    return keras.Model(network.inputs[0], {OUTPUT: answers})
