"""The convolutional network, in Keras: what it consists of, how its pictures are varied, how it learns."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from container.models._keras import INPUT, OUTPUT, framework
from container.runtime.typing import FloatArray

DIRECTIONS = 8  # of the edges that a picture is described by first
AROUND = 5  # cells, whose edges together are what one cell's are measured by
FAINT = 0.05  # edges that weak count as noise
SMALLEST = 8  # cells on a side, which are not halved any more
WIDEST = 4  # times the first filters
TEMPERATURES = np.geomspace(0.2, 5, 60)


@dataclass(frozen=True)
class Shape:
    """Say how many filters the first layers have, which share is dropped, and whether mirror images count."""

    filters: int
    dropout: float
    mirror: bool


@dataclass(frozen=True)
class Variety:
    """Say how far a picture may be moved (in sides), zoomed (as a logarithm), turned (in radians) and lit."""

    shift: float
    zoom: float
    turn: float
    light: float
    mirror: bool


@dataclass(frozen=True)
class Pace:
    """Say how a network learns."""

    learning_rate: float
    weight_decay: float
    label_smoothing: float
    batch_size: int
    epochs: int


def build(side: int, classes: int, shape: Shape) -> Any:
    """Return an untrained network from pictures (n, side, side, 3) of bytes to a score a class."""
    _, keras = framework()
    pictures = keras.Input((side, side, 3), dtype="float32")
    seen = pictures / 127.5 - 1.0
    cells = keras.layers.Concatenate()([_edges(keras, seen), keras.ops.average_pool(seen, 2)])
    filters = shape.filters
    hidden = _block(keras, cells, filters)
    while hidden.shape[1] > SMALLEST and hidden.shape[1] % 2 == 0:
        filters = min(2 * filters, WIDEST * shape.filters)
        hidden = _block(keras, keras.layers.MaxPooling2D(2)(hidden), filters)
    whole = keras.layers.Dropout(shape.dropout)(keras.layers.GlobalAveragePooling2D()(hidden))
    return keras.Model(pictures, keras.layers.Dense(classes)(whole))


def _edges(keras: Any, seen: Any) -> Any:
    """Return (n, side / 2, side / 2, DIRECTIONS): how strong the edges of each direction are, by contrast.

    A few hundred pictures are too few to learn that shapes are made of edges, whatever the light.
    """
    grey = keras.ops.mean(seen, axis=-1, keepdims=True)
    around = keras.ops.pad(grey, [[0, 0], [1, 1], [1, 1], [0, 0]], mode="reflect")
    angles = np.arange(DIRECTIONS) * 2 * np.pi / DIRECTIONS
    across = np.array([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]]) / 8
    slopes = across[..., np.newaxis] * np.cos(angles) + across.T[..., np.newaxis] * np.sin(angles)
    rising = keras.ops.relu(keras.ops.conv(around, slopes[:, :, np.newaxis].astype(np.float32)))
    cells = keras.ops.average_pool(rising, 2)
    strength = keras.ops.sum(cells, axis=-1, keepdims=True)
    contrast = keras.ops.average_pool(strength, AROUND, strides=1, padding="same") + FAINT
    return keras.ops.sqrt(cells / contrast + 1e-4)


def _block(keras: Any, given: Any, filters: int) -> Any:
    """Return two convolutions, of which the second adds to what the first found."""
    first = keras.layers.Activation("relu")(_convolution(keras, given, filters))
    return keras.layers.Activation("relu")(_convolution(keras, first, filters) + first)


def _convolution(keras: Any, given: Any, filters: int) -> Any:
    found = keras.layers.Conv2D(filters, 3, padding="same", use_bias=False)(given)
    return keras.layers.BatchNormalization(momentum=0.95)(found)


def varied(pictures: Any, variety: Variety) -> Any:
    """Return a batch of pictures (n, side, side, 3) of bytes, each seen from elsewhere in another light."""
    tensorflow, _ = framework()
    pictures = tensorflow.cast(pictures, "float32")
    count, side = tensorflow.shape(pictures)[0], pictures.shape[1]

    def chance(most: float) -> Any:
        return tensorflow.random.uniform((count,), -most, most)

    turn, zoom, stretch = chance(variety.turn), chance(variety.zoom), chance(variety.zoom / 2)
    across, down = tensorflow.exp(zoom + stretch), tensorflow.exp(zoom - stretch)
    if variety.mirror:
        across *= tensorflow.sign(chance(1.0))
    cosine, sine, middle = tensorflow.cos(turn), tensorflow.sin(turn), (side - 1) / 2
    rows = []
    for by_x, by_y in ((cosine * across, -sine * down), (sine * across, cosine * down)):
        rows += [by_x, by_y, middle * (1 - by_x - by_y) + chance(variety.shift) * side]
    nothing = tensorflow.zeros((count,))
    moved = tensorflow.raw_ops.ImageProjectiveTransformV3(
        images=pictures,
        transforms=tensorflow.stack([*rows, nothing, nothing], axis=1),
        output_shape=(side, side),
        fill_value=0.0,
        interpolation="BILINEAR",
        fill_mode="REFLECT",
    )
    mean = tensorflow.reduce_mean(moved, axis=(1, 2, 3), keepdims=True)
    contrast, light = (chance(variety.light)[:, None, None, None] for _ in range(2))
    return (moved - mean) * tensorflow.exp(2 * contrast) + mean + 128 * light


def train(
    network: Any, pace: Pace, variety: Variety, pictures: NDArray[np.uint8], labels: NDArray[np.int64]
) -> None:
    """Train on pictures that never look the same twice; the steps get smaller to the end."""
    tensorflow, keras = framework()
    steps = max(1, len(labels) // pace.batch_size)
    total = steps * pace.epochs
    rise = total // 10
    rate = keras.optimizers.schedules.CosineDecay(
        pace.learning_rate / 20, total - rise, warmup_target=pace.learning_rate, warmup_steps=rise
    )
    network.compile(
        optimizer=keras.optimizers.AdamW(rate, weight_decay=pace.weight_decay),
        loss=keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=pace.label_smoothing),
        steps_per_execution=steps,
        jit_compile=False,
    )
    marks = np.eye(network.output_shape[1], dtype=np.float32)[labels]
    batches = (
        tensorflow.data.Dataset.from_tensor_slices((pictures, marks))
        .shuffle(len(labels))
        .batch(pace.batch_size, drop_remainder=len(labels) >= pace.batch_size)
        .map(lambda some, marks: (varied(some, variety), marks))
        .prefetch(2)
    )
    network.fit(batches, epochs=pace.epochs, shuffle=False, verbose=0)
    if not all(np.isfinite(each).all() for each in network.get_weights()):
        raise ValueError("its weights grew beyond all numbers; a smaller learning_rate may help")


def temperature(scores: FloatArray, labels: NDArray[np.int64]) -> float:
    """Return what (n, classes) scores have to be divided by, so that answers are as sure as they are right.

    After Guo and others, "On Calibration of Modern Neural Networks" (2017), of pictures that were not
    learned from. Few of them may all be right: as by Platt's rule one doubt is left.
    """
    classes = scores.shape[1]
    doubt = 1 / (len(labels) + classes)
    marks = np.eye(classes)[labels] * (1 - doubt * classes) + doubt
    below = scores - scores.max(axis=1, keepdims=True)

    def surprise(heat: float) -> float:
        logarithms = below / heat - np.log(np.exp(below / heat).sum(axis=1, keepdims=True))
        return float(-(marks * logarithms).sum(axis=1).mean())

    return float(min(TEMPERATURES, key=surprise))


def finish(network: Any, heat: float, *, mirror: bool) -> Any:
    """Return the network from rows of bytes to probabilities, also of the mirror image where that counts."""
    _, keras = framework()
    side = network.input_shape[1]
    rows = keras.Input((side * side * 3,), dtype="float32", name=INPUT)
    pictures = keras.layers.Reshape((side, side, 3))(rows)
    views = [pictures, pictures[:, :, ::-1]] if mirror else [pictures]
    answers = [keras.layers.Softmax()(network(view) / heat) for view in views]
    return keras.Model(rows, {OUTPUT: keras.layers.Average()(answers) if mirror else answers[0]})
