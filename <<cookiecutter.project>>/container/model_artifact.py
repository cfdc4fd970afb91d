"""The model artifact: the content of model.tar.gz, extracted and loaded."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from container import models
from container.data.schema import Schema
from container.inference import litert
from container.inference.compiled_model import UnsupportedModelError
from container.inference.native import serialization
from container.models import Model
from container.runtime.archive import ArchiveError, unpack
from container.runtime.errors import UserError
from container.runtime.typing import FloatArray

SCHEMA, MODEL = "schema.json", "model.json"
VERSION = 1
SCIKIT_LEARN, TENSORFLOW = "scikit-learn", "tensorflow"
LITERT = "litert"


class Predictor(Protocol):
    """A model, or its compiled form."""

    def predict(self, features: FloatArray) -> FloatArray:
        """Return (n,) numbers or (n, classes) probabilities for (n, n_features) rows."""


@dataclass(frozen=True)
class ModelArtifact:
    """Hold a loaded model with the schema of its rows, the name of the loaded form, and the reason for it."""

    schema: Schema
    model: Predictor
    name: str
    form: str = "portable"
    reason: str = "it has no other form"

    def predict(self, features: FloatArray) -> FloatArray:
        """Return (n,) numbers or (n, classes) probabilities for (n, n_features) encoded rows."""
        return self.model.predict(features)

    def tolerance(self, predictions: FloatArray) -> float:
        """Return by how much predictions may differ on another machine, as an absolute number.

        It is 0 for a form that computes in 64 bits.
        """
        return litert.tolerance(predictions) if self.form == LITERT else 0.0


def extract(archive: Path, directory: Path) -> None:
    """Extract model.tar.gz into a directory.

    Raises:
        UserError: the file is missing, damaged, not an archive, or has members that point outside.
    """
    if not archive.is_file():
        raise UserError(f"{archive.name} is missing in {archive.parent}")
    try:
        with archive.open("rb") as source:
            unpack(source, directory)
    except ArchiveError as error:
        raise UserError(f"{archive.name} cannot be unpacked: {error}") from error


def framework(directory: Path) -> str:
    """Return which library trained the model of a directory, as its files show."""
    networks = (litert.CONVERTED, litert.PORTABLE)
    return TENSORFLOW if any((directory / name).exists() for name in networks) else SCIKIT_LEARN


def load(directory: Path) -> ModelArtifact:
    """Load the model that `train` saved in a directory.

    Where a compiled form can serve, the portable one is not read. The portable form of a network is never
    read here, since reading it takes TensorFlow.

    Raises:
        UserError: a file is missing or damaged, or this container does not have the model.
    """
    schema = Schema.read(directory / SCHEMA)
    description = read_description(directory / MODEL)
    name = models.resolve(str(description["model"]), schema.workload)
    size = schema.width, len(schema.target.classes or (0,))
    if framework(directory) == TENSORFLOW:
        network = litert.load(directory, description.get("digests") or {}, *size)
        return ModelArtifact(schema, network, name, LITERT, f"run by LiteRT {litert.version()}")
    try:
        predictor, library = serialization.load(directory, *size)
    except UnsupportedModelError as error:
        reason = ": ".join(filter(None, [str(error), description.get("not_compiled")]))
        model = models.module(name, schema.workload).LOADED.load(directory, schema)
        return ModelArtifact(schema, model, name, "portable", reason)
    return ModelArtifact(schema, predictor, name, "compiled", f"built by {library.compiler}")


def build_untrained(directory: Path, schema: Schema) -> Model:
    """Return an untrained model with the hyperparameters and the seed of an artifact.

    Raises:
        UserError: model.json is missing or damaged, or this container does not have the model.
    """
    description = read_description(directory / MODEL)
    name = models.resolve(description["model"], schema.workload)
    chosen = models.module(name, schema.workload)
    values = models.rename_hyperparameters(name, chosen.Hyperparameters, description["hyperparameters"])
    return chosen.create(schema, chosen.Hyperparameters(**values), description["seed"])


def read_description(path: Path) -> dict[str, Any]:
    """Return the content of model.json.

    Raises:
        UserError: it is missing or damaged, or of another version.
    """
    try:
        content: dict[str, Any] = json.loads(path.read_bytes())
        version, _ = content["version"], content["model"]
    except FileNotFoundError as error:
        raise UserError(f"{path.name} is missing in {path.parent}: 'train' writes it") from error
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path.name} is damaged: {error}") from error
    if version != VERSION:
        raise UserError(f"{path.name} has version {version}, this container reads {VERSION}")
    return content
