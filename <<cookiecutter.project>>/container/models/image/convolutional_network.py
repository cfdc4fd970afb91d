"""A convolutional network, learned in TensorFlow from varied pictures, calibrated, and served by LiteRT."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from container.data.schema import Schema
from container.models import _keras
from container.models.image import _convolutions
from container.runtime.errors import UserError
from container.runtime.log import log
from container.runtime.typing import FloatArray

HELD = 10  # one picture of so many is held out to calibrate by, when there are none to validate on


@dataclass(frozen=True)
class Hyperparameters:
    """Hold the network's shape, how pictures are varied, and Keras's own names for how it learns.

    With `mirror` a picture's mirror image shows the same, which holds of most things and not of writing.
    A picture is moved by up to `shift` of its side, zoomed by up to e to the `zoom`, turned by up to `turn`
    radians, and brightness and contrast change by up to `light`. The side is that of project.toml.
    """

    filters: int = 32
    dropout: float = 0.3
    mirror: bool = True
    shift: float = 0.1
    zoom: float = 0.15
    turn: float = 0.1
    light: float = 0.25
    learning_rate: float = 0.002
    weight_decay: float = 0.01
    label_smoothing: float = 0.1
    batch_size: int = 32
    epochs: int = 60

    def __post_init__(self) -> None:
        """Refuse what no network can have."""
        least = {"filters": 1, "batch_size": 1, "epochs": 1}
        for name, value in asdict(self).items():
            lowest = least.get(name, 0)
            if value < lowest:
                raise ValueError(f"hyperparameter '{name}' must be at least {lowest}, and is {value}")
        for name in ("dropout", "label_smoothing", "shift", "zoom", "light"):
            if getattr(self, name) >= 1:
                raise ValueError(f"hyperparameter '{name}' must be below 1, and is {getattr(self, name)}")
        if not self.learning_rate:
            raise ValueError("hyperparameter 'learning_rate' must be above 0")

    def part(self, kind: type[Any]) -> Any:
        """Return those of the hyperparameters that a dataclass has."""
        given = asdict(self)
        return kind(**{name: given[name] for name in kind.__dataclass_fields__})


class ConvolutionalNetwork:
    """Tell labels apart by what many small filters, one layer after another, find in a picture."""

    def __init__(
        self, schema: Schema, hyperparameters: Hyperparameters, seed: int, network: Any = None
    ) -> None:
        """Keep how to learn, and what was learned: a network, or a SavedModel's signature."""
        self.schema, self.hyperparameters, self.seed = schema, hyperparameters, seed
        self.network = network

    def fit(
        self, features: FloatArray, target: FloatArray, validation: tuple[FloatArray, FloatArray] | None
    ) -> None:
        """Learn from (n, side * side * 3) bytes; the validation pictures calibrate the confidence."""
        wished = self.hyperparameters
        known, held = self._parts(features, target, validation)
        _keras.repeatable(self.seed)
        network = _convolutions.build(
            self.schema.side or 0, len(self.schema.target.classes or ()), wished.part(_convolutions.Shape)
        )
        pace, variety = wished.part(_convolutions.Pace), wished.part(_convolutions.Variety)
        _convolutions.train(network, pace, variety, *known)
        scores = network.predict(held[0].astype(np.float32), verbose=0)
        heat = _convolutions.temperature(scores, held[1])
        log("fitted", epochs=pace.epochs, weights=network.count_params(), temperature=round(heat, 3))
        self.network = _convolutions.finish(network, heat, mirror=wished.mirror)

    def predict(self, features: FloatArray) -> FloatArray:
        """Return (n, classes) probabilities."""
        return _keras.predict(self.network, features)

    def save(self, directory: Path) -> None:
        """Write the network as SavedModel and as LiteRT."""
        _keras.save(self.network, directory)

    @classmethod
    def load(cls, directory: Path, schema: Schema) -> Self:
        """Read the SavedModel, which takes TensorFlow; refuse one of other pictures or answers."""
        signature = _keras.load_for(schema, directory, "the size of a picture")
        return cls(schema, Hyperparameters(), 0, signature)

    def _parts(
        self, features: FloatArray, target: FloatArray, validation: tuple[FloatArray, FloatArray] | None
    ) -> tuple[tuple[Any, Any], tuple[Any, Any]]:
        """Return pictures and labels to learn from, and others to calibrate by."""
        pictures, labels = self._pictures(features), target.astype(np.int64)
        if validation is not None and len(validation[1]):
            return (pictures, labels), (self._pictures(validation[0]), validation[1].astype(np.int64))
        order = np.random.Generator(np.random.PCG64(self.seed)).permutation(len(labels))
        held, known = order[: len(order) // HELD], order[len(order) // HELD :]
        if not len(held):
            raise UserError(f"of {len(labels)} pictures none can be held out to calibrate by: bring {HELD}")
        return (pictures[known], labels[known]), (pictures[held], labels[held])

    def _pictures(self, features: FloatArray) -> NDArray[np.uint8]:
        side = self.schema.side or 0
        return features.astype(np.uint8).reshape(-1, side, side, 3)


def create(schema: Schema, hyperparameters: Hyperparameters, seed: int) -> ConvolutionalNetwork:
    """Return an untrained model for a schema."""
    return ConvolutionalNetwork(schema, hyperparameters, seed)


LOADED = ConvolutionalNetwork
