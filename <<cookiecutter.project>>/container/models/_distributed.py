"""A network that several hosts learn together: each takes its share of every batch, and gradients are added.

A step is one host's on the whole batch, but for the order of sums. TensorFlow's own strategy is not used:
its server listens on all interfaces and runs any graph it is sent, and Keras's `fit` fails under it.
"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from container.inference.litert import batch_rows
from container.models._keras import framework
from container.models._network import Pace, refuse_infinite
from container.runtime.process_group import Cluster
from container.runtime.typing import FloatArray

Rows = tuple[NDArray[np.float32], FloatArray]
Step = Callable[[NDArray[np.float32], NDArray[np.float32]], Any]


def train(  # noqa: PLR0913  what the other takes, and the hosts
    network: Any,
    pace: Pace,
    rows: Rows,
    held: Rows | None,
    *,
    classes: bool,
    cluster: Cluster,
    seed: int,
) -> int:
    """Train as `_network.train` does, with all hosts; return the epochs that it took, on each the same."""
    _, keras = framework()
    _differ(network, cluster.rank)
    loss = _loss(classes)
    gradient, apply = _steps(network, keras.optimizers.Adam(pace.learning_rate), loss)
    callbacks = keras.callbacks.CallbackList(_stop(pace, held), model=network)
    random = np.random.default_rng(seed)
    features, target = rows[0], rows[1].astype(np.float32)
    network.stop_training = False
    callbacks.on_train_begin()
    epoch = 0
    while epoch < pace.epochs and not network.stop_training:
        for places in _batches(random, len(features), pace.batch_size):
            own = places[cluster.rank :: cluster.size]
            mine = gradient(features[own], target[own]).numpy()
            apply(cluster.sum(mine) / len(places))
        logs = {} if held is None else {"val_loss": _held_loss(network, loss, held, cluster)}
        callbacks.on_epoch_end(epoch, logs)
        epoch += 1
    callbacks.on_train_end()
    refuse_infinite(network)
    return epoch


def _stop(pace: Pace, held: Rows | None) -> list[Any]:
    _, keras = framework()
    if held is None:
        return []
    return [keras.callbacks.EarlyStopping(patience=pace.patience, restore_best_weights=True)]


def _differ(network: Any, rank: int) -> None:
    """Let each host drop other units, as each has other rows; what the seed gave is the first host's."""
    for layer in network.layers:
        if hasattr(layer, "seed_generator"):
            layer.seed_generator.state.assign_add([rank, 0])


def _loss(classes: bool) -> Any:  # noqa: FBT001  the only argument
    """Return the loss, summed over rows: hosts have different numbers of them."""
    _, keras = framework()
    if classes:
        return keras.losses.SparseCategoricalCrossentropy(from_logits=True, reduction="sum")
    return keras.losses.MeanSquaredError(reduction="sum")


def _batches(random: np.random.Generator, count: int, size: int) -> Iterator[NDArray[np.intp]]:
    """Yield an epoch's batches as places of rows: of one seed the same on every host."""
    order = random.permutation(count)
    return (order[start : start + size] for start in range(0, count, size))


def _steps(network: Any, optimizer: Any, loss: Any) -> tuple[Step, Callable[[NDArray[np.float32]], Any]]:
    """Return what computes the gradient of all weights in one array, and what applies such an array."""
    tensorflow, _ = framework()
    weights = network.trainable_variables
    sizes = [int(np.prod(weight.shape)) for weight in weights]
    optimizer.build(weights)

    @tensorflow.function(input_signature=_signature(network))  # type: ignore[untyped-decorator]
    def gradient(features: Any, target: Any) -> Any:
        with tensorflow.GradientTape() as tape:
            value = loss(target, network(features, training=True))
        found = tape.gradient(value, [weight.value for weight in weights])
        return tensorflow.concat(
            [tensorflow.reshape(tensorflow.convert_to_tensor(each), [-1]) for each in found], 0
        )

    @tensorflow.function(input_signature=[tensorflow.TensorSpec([sum(sizes)])])  # type: ignore[untyped-decorator]
    def apply(summed: Any) -> None:
        parts = tensorflow.split(summed, sizes)
        shaped = [tensorflow.reshape(part, weight.shape) for part, weight in zip(parts, weights, strict=True)]
        optimizer.apply(shaped, weights)

    return gradient, apply


def _signature(network: Any) -> list[Any]:
    tensorflow, _ = framework()
    return [tensorflow.TensorSpec([None, network.inputs[0].shape[1]]), tensorflow.TensorSpec([None])]


def _held_loss(network: Any, loss: Any, held: Rows, cluster: Cluster) -> float:
    """Return the mean loss of the held rows, of which each host counts its share: one number everywhere."""
    features, target = (each[cluster.rank :: cluster.size] for each in held)
    step = batch_rows(features.shape[1])
    own = sum(
        float(loss(target[start : start + step], network(features[start : start + step], training=False)))
        for start in range(0, len(features), step)
    )
    return float(cluster.sum(np.array([own]))[0]) / len(held[0])
