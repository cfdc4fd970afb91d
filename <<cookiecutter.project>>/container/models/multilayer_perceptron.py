"""A multilayer perceptron, trained by TensorFlow and served by LiteRT.

It handles missing values and scales numbers by itself.
"""

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
from container.runtime.process_group import ProcessGroup
from container.runtime.typing import FloatArray


@dataclass(frozen=True)
class Hyperparameters:
    """Hold the network's architecture and its training, by Keras's names.

    A category of more than `one_hot_levels` levels is embedded. Training stops `patience` epochs after the
    loss of the validation rows was lowest.
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
        """Check the ranges.

        Raises:
            ValueError: a value is out of range.
        """
        least = {"units": 1, "batch_size": 1, "epochs": 1, "patience": 1, "steps_per_execution": 1}
        for name, value in asdict(self).items():
            lowest = least.get(name, 0)
            if value < lowest:
                raise ValueError(f"hyperparameter '{name}' must be at least {lowest}, and is {value}")
        if self.dropout >= 1 or not self.learning_rate:
            raise ValueError("hyperparameter 'dropout' must be below 1, and 'learning_rate' above 0")

    def split(self) -> tuple[_network.Architecture, _network.TrainingConfig]:
        """Return the hyperparameters of the architecture, and those of the training."""
        training = asdict(self)
        architecture = {name: training.pop(name) for name in _network.Architecture.__dataclass_fields__}
        return _network.Architecture(**architecture), _network.TrainingConfig(**training)


class MultilayerPerceptron:
    """Compute scores by dense layers; a missing number becomes the mean, with a flag as another input."""

    def __init__(
        self, schema: Schema, hyperparameters: Hyperparameters, seed: int, network: Any = None
    ) -> None:
        """Keep the settings, and the trained network or the signature of its SavedModel, if there is one."""
        self.schema = schema
        self.hyperparameters = hyperparameters
        self.seed = seed
        self.network = network

    @property
    def classifies(self) -> bool:
        """Return whether the predictions are probabilities."""
        return self.schema.target.classes is not None

    def fit(
        self, features: FloatArray, target: FloatArray, validation: tuple[FloatArray, FloatArray] | None
    ) -> None:
        """Fit (n, n_features) to a (n,) target; stop early by the loss of the validation rows."""
        self._fit(features, target, validation, _network.train)

    def fit_distributed(
        self,
        group: ProcessGroup,
        features: FloatArray,
        target: FloatArray,
        validation: tuple[FloatArray, FloatArray] | None,
    ) -> None:
        """Fit with all hosts of a job; each computes with its share of every batch."""
        self._fit(features, target, validation, partial(_distributed.train, group=group, seed=self.seed))

    def _fit(
        self,
        features: FloatArray,
        target: FloatArray,
        validation: tuple[FloatArray, FloatArray] | None,
        train: Callable[..., int],
    ) -> None:
        _keras.set_deterministic(self.seed)
        architecture, config = self.hyperparameters.split()
        mean, deviation = (0.0, 1.0) if self.classifies else _mean_and_deviation(target)
        rows = to_float32(features)
        network = _network.build(self.schema, architecture, rows)
        held_out = (
            None if validation is None else (to_float32(validation[0]), (validation[1] - mean) / deviation)
        )
        epochs = train(
            network, config, (rows, (target - mean) / deviation), held_out, classes=self.classifies
        )
        log("fitted", epochs=epochs, weights=network.count_params())
        self.network = _network.export(network, mean, deviation, classes=self.classifies)

    def predict(self, features: FloatArray) -> FloatArray:
        """Return (n,) numbers or (n, classes) probabilities."""
        predicted = _keras.predict(self.network, features)
        return predicted if self.classifies else predicted[:, 0]

    def save(self, directory: Path) -> None:
        """Write the network as SavedModel and as LiteRT."""
        _keras.save(self.network, directory)

    @classmethod
    def load(cls, directory: Path, schema: Schema) -> Self:
        """Read the SavedModel, which takes TensorFlow.

        Raises:
            UserError: the SavedModel is missing, damaged, or does not fit the schema.
        """
        signature = _keras.load_for(schema, directory, "the number of features")
        return cls(schema, Hyperparameters(), 0, signature)


def create(schema: Schema, hyperparameters: Hyperparameters, seed: int) -> MultilayerPerceptron:
    """Return an untrained model for a schema."""
    return MultilayerPerceptron(schema, hyperparameters, seed)


def _mean_and_deviation(target: FloatArray) -> tuple[float, float]:
    """Return the mean and the standard deviation of the target, by which the network's scores are scaled."""
    largest = float(np.abs(target).max())
    if largest > MAX_INPUT:
        raise ValueError(f"the target has the number {largest:g}, and TensorFlow computes in 32 bits")
    return float(target.mean()), float(target.std()) or 1.0


LOADED = MultilayerPerceptron
