"""A multilayer perceptron, learned in TensorFlow and served by LiteRT; gaps and scales are its own."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Self

import numpy as np

from container.data.schema import Schema
from container.inference.litert import MAX_INPUT, to_float32
from container.models import _distributed, _keras, _network
from container.runtime.log import log
from container.runtime.process_group import Cluster
from container.runtime.typing import FloatArray


@dataclass(frozen=True)
class Hyperparameters:
    """Hold the network's shape and Keras's own names; training stops when the validation rows no longer gain.

    A category of more than `one_hot_levels` levels is embedded. `patience` is in epochs.
    """

    hidden_layers: int = 2
    units: int = 128
    dropout: float = 0.0
    learning_rate: float = 0.001
    batch_size: int = 64
    epochs: int = 200
    patience: int = 15
    steps_per_execution: int = 32
    one_hot_levels: int = 16

    def __post_init__(self) -> None:
        """Refuse what no network can have."""
        least = {"units": 1, "batch_size": 1, "epochs": 1, "patience": 1, "steps_per_execution": 1}
        for name, value in asdict(self).items():
            lowest = least.get(name, 0)
            if value < lowest:
                raise ValueError(f"hyperparameter '{name}' must be at least {lowest}, and is {value}")
        if self.dropout >= 1 or not self.learning_rate:
            raise ValueError("hyperparameter 'dropout' must be below 1, and 'learning_rate' above 0")

    def parts(self) -> tuple[_network.Shape, _network.Pace]:
        """Return what says how the network looks, and what says how it learns."""
        given = asdict(self)
        shape = {name: given.pop(name) for name in _network.Shape.__dataclass_fields__}
        return _network.Shape(**shape), _network.Pace(**given)


class Perceptron:
    """Pass rows through layers of weights; missing numbers are the mean, and say that they are missing."""

    def __init__(
        self, schema: Schema, hyperparameters: Hyperparameters, seed: int, network: Any = None
    ) -> None:
        """Keep how to learn, and what was learned: a network, or a SavedModel's signature."""
        self.schema = schema
        self.hyperparameters = hyperparameters
        self.seed = seed
        self.network = network

    @property
    def classifies(self) -> bool:
        """Tell whether the answers are probabilities."""
        return self.schema.target.classes is not None

    def fit(
        self, features: FloatArray, target: FloatArray, validation: tuple[FloatArray, FloatArray] | None
    ) -> None:
        """Learn; stop early on the validation rows."""
        self._fit(features, target, validation, _network.train)

    def fit_among(
        self,
        cluster: Cluster,
        features: FloatArray,
        target: FloatArray,
        validation: tuple[FloatArray, FloatArray] | None,
    ) -> None:
        """Learn with all hosts of a job, each from its share of every batch."""
        self._fit(features, target, validation, partial(_distributed.train, cluster=cluster, seed=self.seed))

    def _fit(
        self,
        features: FloatArray,
        target: FloatArray,
        validation: tuple[FloatArray, FloatArray] | None,
        train: Callable[..., int],
    ) -> None:
        _keras.repeatable(self.seed)
        shape, pace = self.hyperparameters.parts()
        mean, deviation = (0.0, 1.0) if self.classifies else _unit(target)
        rows = to_float32(features)
        network = _network.build(self.schema, shape, rows)
        held = None if validation is None else (to_float32(validation[0]), (validation[1] - mean) / deviation)
        epochs = train(network, pace, (rows, (target - mean) / deviation), held, classes=self.classifies)
        log("fitted", epochs=epochs, weights=network.count_params())
        self.network = _network.finish(network, mean, deviation, classes=self.classifies)

    def predict(self, features: FloatArray) -> FloatArray:
        """Return (n,) numbers or (n, classes) probabilities."""
        answers = _keras.predict(self.network, features)
        return answers if self.classifies else answers[:, 0]

    def save(self, directory: Path) -> None:
        """Write the network as SavedModel and as LiteRT."""
        _keras.save(self.network, directory)

    @classmethod
    def load(cls, directory: Path, schema: Schema) -> Self:
        """Read the SavedModel, which takes TensorFlow; refuse one of other rows or answers."""
        signature = _keras.load_for(schema, directory, "the number of features")
        return cls(schema, Hyperparameters(), 0, signature)


def create(schema: Schema, hyperparameters: Hyperparameters, seed: int) -> Perceptron:
    """Return an untrained model for a schema."""
    return Perceptron(schema, hyperparameters, seed)


def _unit(target: FloatArray) -> tuple[float, float]:
    """Return the mean and the standard deviation of the target, in which the network counts."""
    largest = float(np.abs(target).max())
    if largest > MAX_INPUT:
        raise ValueError(f"the target has the number {largest:g}, and TensorFlow counts in 32 bits")
    return float(target.mean()), float(target.std()) or 1.0


LOADED = Perceptron
