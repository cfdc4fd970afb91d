"""A convolutional network, trained by TensorFlow on augmented images, calibrated, and served by LiteRT."""

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

CALIBRATION_PART = 10  # one image in ten calibrates, where validation images are missing


@dataclass(frozen=True)
class Hyperparameters:
    """Hold the network's architecture, the augmentation and the training, by Keras's names where it has one.

    With `mirror` a mirror image counts as the same, which is right for most subjects and wrong for writing.
    An image is moved by up to `translation` of its side, zoomed by up to e to the `zoom`, rotated by up to
    `rotation` radians, and brightness and contrast change by up to `brightness`.
    """

    filters: int = 32
    dropout: float = 0.3
    mirror: bool = True
    translation: float = 0.1
    zoom: float = 0.15
    rotation: float = 0.1
    brightness: float = 0.25
    learning_rate: float = 0.002
    weight_decay: float = 0.01
    label_smoothing: float = 0.1
    batch_size: int = 32
    epochs: int = 60

    def __post_init__(self) -> None:
        """Check the ranges.

        Raises:
            ValueError: a value is out of range.
        """
        least = {"filters": 1, "batch_size": 1, "epochs": 1}
        for name, value in asdict(self).items():
            lowest = least.get(name, 0)
            if value < lowest:
                raise ValueError(f"hyperparameter '{name}' must be at least {lowest}, and is {value}")
        for name in ("dropout", "label_smoothing", "translation", "zoom", "brightness"):
            if getattr(self, name) >= 1:
                raise ValueError(f"hyperparameter '{name}' must be below 1, and is {getattr(self, name)}")
        if not self.learning_rate:
            raise ValueError("hyperparameter 'learning_rate' must be above 0")

    def select(self, kind: type[Any]) -> Any:
        """Return an instance of a dataclass, filled with the hyperparameters of its fields' names."""
        values = asdict(self)
        return kind(**{name: values[name] for name in kind.__dataclass_fields__})


class ConvolutionalNetwork:
    """Classify images by layers of small convolutions."""

    def __init__(
        self, schema: Schema, hyperparameters: Hyperparameters, seed: int, network: Any = None
    ) -> None:
        """Keep the settings, and the trained network or the signature of its SavedModel, if there is one."""
        self.schema, self.hyperparameters, self.seed = schema, hyperparameters, seed
        self.network = network

    def fit(
        self, features: FloatArray, target: FloatArray, validation: tuple[FloatArray, FloatArray] | None
    ) -> None:
        """Fit (n, side * side * 3) bytes to (n,) class codes; calibrate with the validation images."""
        select = self.hyperparameters.select
        training, calibration = self._parts(features, target, validation)
        _keras.set_deterministic(self.seed)
        network = _convolutions.build(
            self.schema.side or 0, len(self.schema.target.classes or ()), select(_convolutions.Architecture)
        )
        config = select(_convolutions.TrainingConfig)
        _convolutions.train(network, config, select(_convolutions.Augmentation), *training)
        scores = network.predict(calibration[0].astype(np.float32), verbose=0)
        temperature = _convolutions.fit_temperature(scores, calibration[1])
        log("fitted", epochs=config.epochs, weights=network.count_params(), temperature=round(temperature, 3))
        self.network = _convolutions.export(network, temperature, mirror=self.hyperparameters.mirror)

    def predict(self, features: FloatArray) -> FloatArray:
        """Return (n, classes) probabilities."""
        return _keras.predict(self.network, features)

    def save(self, directory: Path) -> None:
        """Write the network as SavedModel and as LiteRT."""
        _keras.save(self.network, directory)

    @classmethod
    def load(cls, directory: Path, schema: Schema) -> Self:
        """Read the SavedModel, which takes TensorFlow.

        Raises:
            UserError: the SavedModel is missing, damaged, or does not fit the schema.
        """
        signature = _keras.load_for(schema, directory, "the size of an image")
        return cls(schema, Hyperparameters(), 0, signature)

    def _parts(
        self, features: FloatArray, target: FloatArray, validation: tuple[FloatArray, FloatArray] | None
    ) -> tuple[tuple[Any, Any], tuple[Any, Any]]:
        """Return the images and labels to train on, and those to calibrate with."""
        images, labels = self._reshape(features), target.astype(np.int64)
        if validation is not None and len(validation[1]):
            return (images, labels), (self._reshape(validation[0]), validation[1].astype(np.int64))
        order = np.random.Generator(np.random.PCG64(self.seed)).permutation(len(labels))
        count = len(order) // CALIBRATION_PART
        held_out, trained = order[:count], order[count:]
        if not count:
            raise UserError(
                f"{len(labels)} images are too few to hold one out for calibration: "
                f"at least {CALIBRATION_PART} are needed"
            )
        return (images[trained], labels[trained]), (images[held_out], labels[held_out])

    def _reshape(self, features: FloatArray) -> NDArray[np.uint8]:
        side = self.schema.side or 0
        return features.astype(np.uint8).reshape(-1, side, side, 3)


def create(schema: Schema, hyperparameters: Hyperparameters, seed: int) -> ConvolutionalNetwork:
    """Return an untrained model for a schema."""
    return ConvolutionalNetwork(schema, hyperparameters, seed)


LOADED = ConvolutionalNetwork
