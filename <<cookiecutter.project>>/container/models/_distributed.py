"""Data-parallel training of a network: each host takes its share of every batch, and gradients are added.

A step equals that of one host on the whole batch, except for the order of sums. TensorFlow's own strategy is
not used: its server listens on all interfaces and runs any graph that it receives, and Keras's `fit` fails
under it.
"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from container.inference.litert import batch_rows
from container.models._keras import framework
from container.models._network import TrainingConfig, refuse_infinite
from container.runtime.process_group import ProcessGroup
from container.runtime.typing import FloatArray

Rows = tuple[NDArray[np.float32], FloatArray]
Step = Callable[[NDArray[np.float32], NDArray[np.float32]], Any]


def train(  # noqa: PLR0913 - the parameters of _network.train, and the hosts
    network: Any,
    config: TrainingConfig,
    rows: Rows,
    held_out: Rows | None,
    *,
    classes: bool,
    group: ProcessGroup,
    seed: int,
) -> int:
    """Train as `_network.train` does, with all hosts; return the number of epochs, equal on every host."""
    _, keras = framework()
    _offset_random_states(network, group.rank)
    loss = _loss(classes)
    gradient, apply = _steps(network, keras.optimizers.Adam(config.learning_rate), loss)
    callbacks = keras.callbacks.CallbackList(_early_stopping(config, held_out), model=network)
    random = np.random.default_rng(seed)
    features, target = rows[0], rows[1].astype(np.float32)
    network.stop_training = False
    callbacks.on_train_begin()
    epoch = 0
    while epoch < config.epochs and not network.stop_training:
        for batch in _batches(random, len(features), config.batch_size):
            share = batch[group.rank :: group.size]
            partial = gradient(features[share], target[share]).numpy()
            apply(group.all_reduce(partial) / len(batch))
        logs = {} if held_out is None else {"val_loss": _held_out_loss(network, loss, held_out, group)}
        callbacks.on_epoch_end(epoch, logs)
        epoch += 1
    callbacks.on_train_end()
    refuse_infinite(network)
    return epoch


def _early_stopping(config: TrainingConfig, held_out: Rows | None) -> list[Any]:
    _, keras = framework()
    if held_out is None:
        return []
    return [keras.callbacks.EarlyStopping(patience=config.patience, restore_best_weights=True)]


def _offset_random_states(network: Any, rank: int) -> None:
    """Let the dropout of each host but the first choose other units, since each host has other rows."""
    for layer in network.layers:
        if hasattr(layer, "seed_generator"):
            layer.seed_generator.state.assign_add([rank, 0])


def _loss(classes: bool) -> Any:  # noqa: FBT001 - the only argument
    """Return the loss as a sum over rows, since the hosts' numbers of rows differ."""
    _, keras = framework()
    if classes:
        return keras.losses.SparseCategoricalCrossentropy(from_logits=True, reduction="sum")
    return keras.losses.MeanSquaredError(reduction="sum")


def _batches(random: np.random.Generator, count: int, size: int) -> Iterator[NDArray[np.intp]]:
    """Yield the batches of an epoch as indices of rows; a seed gives the same ones on every host."""
    order = random.permutation(count)
    return (order[start : start + size] for start in range(0, count, size))


def _steps(network: Any, optimizer: Any, loss: Any) -> tuple[Step, Callable[[NDArray[np.float32]], Any]]:
    """Return two functions: one computes the gradient of all weights as one array, the other applies it."""
    tensorflow, _ = framework()
    weights = network.trainable_variables
    sizes = [int(np.prod(weight.shape)) for weight in weights]
    optimizer.build(weights)

    @tensorflow.function(input_signature=_signature(network))  # type: ignore[untyped-decorator]
    def gradient(features: Any, target: Any) -> Any:
        with tensorflow.GradientTape() as tape:
            value = loss(target, network(features, training=True))
        gradients = tape.gradient(value, [weight.value for weight in weights])
        return tensorflow.concat(
            [tensorflow.reshape(tensorflow.convert_to_tensor(each), [-1]) for each in gradients], 0
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


def _held_out_loss(network: Any, loss: Any, held_out: Rows, group: ProcessGroup) -> float:
    """Return the mean loss of the held-out rows, equal on every host; each computes its share of the sum."""
    features, target = (each[group.rank :: group.size] for each in held_out)
    step = batch_rows(features.shape[1])
    partial = sum(
        float(loss(target[start : start + step], network(features[start : start + step], training=False)))
        for start in range(0, len(features), step)
    )
    return float(group.all_reduce(np.array([partial]))[0]) / len(held_out[0])
