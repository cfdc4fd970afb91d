"""The convolutional network, in Keras: what it consists of, how its images are augment, how it learns."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from container.models._keras import INPUT, OUTPUT, framework
from container.runtime.typing import FloatArray

DIRECTIONS = 8  # of the edges that the first, fixed layer computes
NEIGHBOURHOOD = 5  # cells on a side, by whose mean strength the edges of a cell are normalised
NOISE = 0.05  # strength of edges that counts as noise
MIN_CELLS = 8  # cells on a side, at which halving ends
MAX_WIDENING = 4  # of the number of filters, relative to the first layers
TEMPERATURES = np.geomspace(0.2, 5, 60)


@dataclass(frozen=True)
class Architecture:
    """Hold the number of filters of the first layers, and the share that dropout drops."""

    filters: int
    dropout: float


@dataclass(frozen=True)
class Augmentation:
    """Hold the largest random change of an image.

    The translation is in sides, the zoom a logarithm, the rotation in radians, and the brightness, which is
    that of the contrast too, a share of the range.
    """

    translation: float
    zoom: float
    rotation: float
    brightness: float
    mirror: bool


@dataclass(frozen=True)
class TrainingConfig:
    """Hold the settings of the training."""

    learning_rate: float
    weight_decay: float
    label_smoothing: float
    batch_size: int
    epochs: int


def build(side: int, classes: int, architecture: Architecture) -> Any:
    """Return an untrained network that maps (n, side, side, 3) bytes to (n, classes) scores."""
    _, keras = framework()
    images = keras.Input((side, side, 3), dtype="float32")
    seen = images / 127.5 - 1.0
    cells = keras.layers.Concatenate()([_edges(keras, seen), keras.ops.average_pool(seen, 2)])
    filters = architecture.filters
    hidden = _block(keras, cells, filters)
    while hidden.shape[1] > MIN_CELLS and hidden.shape[1] % 2 == 0:
        filters = min(2 * filters, MAX_WIDENING * architecture.filters)
        hidden = _block(keras, keras.layers.MaxPooling2D(2)(hidden), filters)
    whole = keras.layers.Dropout(architecture.dropout)(keras.layers.GlobalAveragePooling2D()(hidden))
    return keras.Model(images, keras.layers.Dense(classes)(whole))


def _edges(keras: Any, seen: Any) -> Any:
    """Return (n, side / 2, side / 2, DIRECTIONS) strengths of edges by direction, normalised by contrast.

    The layer is fixed, since a few hundred images are too few to learn filters that are independent of light.
    """
    grey = keras.ops.mean(seen, axis=-1, keepdims=True)
    around = keras.ops.pad(grey, [[0, 0], [1, 1], [1, 1], [0, 0]], mode="reflect")
    angles = np.arange(DIRECTIONS) * 2 * np.pi / DIRECTIONS
    across = np.array([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]]) / 8
    slopes = across[..., np.newaxis] * np.cos(angles) + across.T[..., np.newaxis] * np.sin(angles)
    rising = keras.ops.relu(keras.ops.conv(around, slopes[:, :, np.newaxis].astype(np.float32)))
    cells = keras.ops.average_pool(rising, 2)
    strength = keras.ops.sum(cells, axis=-1, keepdims=True)
    contrast = keras.ops.average_pool(strength, NEIGHBOURHOOD, strides=1, padding="same") + NOISE
    return keras.ops.sqrt(cells / contrast + 1e-4)


def _block(keras: Any, inputs: Any, filters: int) -> Any:
    """Return two convolutions with a residual connection around the second."""
    first = keras.layers.Activation("relu")(_convolution(keras, inputs, filters))
    return keras.layers.Activation("relu")(_convolution(keras, first, filters) + first)


def _convolution(keras: Any, inputs: Any, filters: int) -> Any:
    convolved = keras.layers.Conv2D(filters, 3, padding="same", use_bias=False)(inputs)
    return keras.layers.BatchNormalization(momentum=0.95)(convolved)


def augment(images: Any, augmentation: Augmentation) -> Any:
    """Return (n, side, side, 3) images, each with a random change of position, brightness and contrast."""
    tensorflow, _ = framework()
    images = tensorflow.cast(images, "float32")
    count, side = tensorflow.shape(images)[0], images.shape[1]

    def uniform(limit: float) -> Any:
        return tensorflow.random.uniform((count,), -limit, limit)

    rotation = uniform(augmentation.rotation)
    zoom, stretch = uniform(augmentation.zoom), uniform(augmentation.zoom / 2)
    across, down = tensorflow.exp(zoom + stretch), tensorflow.exp(zoom - stretch)
    if augmentation.mirror:
        across *= tensorflow.sign(uniform(1.0))
    cosine, sine, middle = tensorflow.cos(rotation), tensorflow.sin(rotation), (side - 1) / 2
    rows = []
    for by_x, by_y in ((cosine * across, -sine * down), (sine * across, cosine * down)):
        rows += [by_x, by_y, middle * (1 - by_x - by_y) + uniform(augmentation.translation) * side]
    nothing = tensorflow.zeros((count,))
    moved = tensorflow.raw_ops.ImageProjectiveTransformV3(
        images=images,
        transforms=tensorflow.stack([*rows, nothing, nothing], axis=1),
        output_shape=(side, side),
        fill_value=0.0,
        interpolation="BILINEAR",
        fill_mode="REFLECT",
    )
    mean = tensorflow.reduce_mean(moved, axis=(1, 2, 3), keepdims=True)
    contrast, brightness = (uniform(augmentation.brightness)[:, None, None, None] for _ in range(2))
    return (moved - mean) * tensorflow.exp(2 * contrast) + mean + 128 * brightness


def train(
    network: Any,
    config: TrainingConfig,
    augmentation: Augmentation,
    images: NDArray[np.uint8],
    labels: NDArray[np.int64],
) -> None:
    """Train on augmented images; the learning rate rises during a tenth of the steps and then decays to 0.

    Raises:
        ValueError: a weight is infinite or not a number.
    """
    tensorflow, keras = framework()
    steps = max(1, len(labels) // config.batch_size)
    total = steps * config.epochs
    warmup = total // 10
    rate = keras.optimizers.schedules.CosineDecay(
        config.learning_rate / 20, total - warmup, warmup_target=config.learning_rate, warmup_steps=warmup
    )
    network.compile(
        optimizer=keras.optimizers.AdamW(rate, weight_decay=config.weight_decay),
        loss=keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=config.label_smoothing),
        steps_per_execution=steps,
        jit_compile=False,
    )
    one_hot = np.eye(network.output_shape[1], dtype=np.float32)[labels]
    batches = (
        tensorflow.data.Dataset.from_tensor_slices((images, one_hot))
        .shuffle(len(labels))
        .batch(config.batch_size, drop_remainder=len(labels) >= config.batch_size)
        .map(lambda some, one_hot: (augment(some, augmentation), one_hot))
        .prefetch(2)
    )
    network.fit(batches, epochs=config.epochs, shuffle=False, verbose=0)
    if not all(np.isfinite(each).all() for each in network.get_weights()):
        raise ValueError("its weights grew beyond all numbers; a smaller learning_rate may help")


def fit_temperature(scores: FloatArray, labels: NDArray[np.int64]) -> float:
    """Return the temperature, by which (n, classes) scores are divided so that probabilities are calibrated.

    Scores and labels are of images that the network was not trained on. Sources: Guo and others, "On
    Calibration of Modern Neural Networks" (2017); for the smoothing Platt, "Probabilistic Outputs for Support
    Vector Machines" (1999), section 2.2.
    """
    classes = scores.shape[1]
    # If all of a few images are predicted right, the likelihood grows without end as the temperature falls.
    # So the labels are smoothed as if one more image had been wrong.
    smoothing = 1 / (len(labels) + classes)
    one_hot = np.eye(classes)[labels] * (1 - smoothing * classes) + smoothing
    below = scores - scores.max(axis=1, keepdims=True)

    def nll(temperature: float) -> float:
        """Return the mean negative log-likelihood of the labels."""
        logarithms = below / temperature - np.log(np.exp(below / temperature).sum(axis=1, keepdims=True))
        return float(-(one_hot * logarithms).sum(axis=1).mean())

    return float(min(TEMPERATURES, key=nll))


def export(network: Any, temperature: float, *, mirror: bool) -> Any:
    """Return the network from (n, side * side * 3) bytes to probabilities.

    With `mirror` they are the mean of those of the image and of its mirror image.
    """
    _, keras = framework()
    side = network.input_shape[1]
    rows = keras.Input((side * side * 3,), dtype="float32", name=INPUT)
    images = keras.layers.Reshape((side, side, 3))(rows)
    views = [images, images[:, :, ::-1]] if mirror else [images]
    predictions = [keras.layers.Softmax()(network(view) / temperature) for view in views]
    return keras.Model(rows, {OUTPUT: keras.layers.Average()(predictions) if mirror else predictions[0]})
