"""The model artefact: what model.tar.gz holds, taken out safely and loaded."""

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


class Predicts(Protocol):
    """Be a model, or its compiled form."""

    def predict(self, features: FloatArray) -> FloatArray:
        """Return (n,) numbers or (n, classes) probabilities for (n, n_features) rows."""


@dataclass(frozen=True)
class Artefact:
    """Hold a loaded model with its rows' schema, and say which of its forms this is, and why."""

    schema: Schema
    model: Predicts
    name: str
    form: str = "portable"
    reason: str = "it has no other form"

    def predict(self, features: FloatArray) -> FloatArray:
        """Return (n,) numbers or (n, classes) probabilities for (n, n_features) encoded rows."""
        return self.model.predict(features)

    def precision(self, answers: FloatArray) -> float:
        """Return by how much answers may differ on another machine: 0 for what counts in 64 bits."""
        return litert.tolerance(answers) if self.form == LITERT else 0.0


def extract(archive: Path, into: Path) -> None:
    """Unpack model.tar.gz; refuse what is no archive, damaged, or points outside."""
    if not archive.is_file():
        raise UserError(f"{archive.name} is missing in {archive.parent}")
    try:
        with archive.open("rb") as source:
            unpack(source, into)
    except ArchiveError as error:
        raise UserError(f"{archive.name} cannot be unpacked: {error}") from error


def framework(directory: Path) -> str:
    """Tell from the files of an artefact what trained it."""
    networks = (litert.CONVERTED, litert.PORTABLE)
    return TENSORFLOW if any((directory / name).exists() for name in networks) else SCIKIT_LEARN


def load(directory: Path) -> Artefact:
    """Load the model that `train` saved in a directory; refuse what is missing or damaged.

    Its compiled form is taken where it may serve. Then the portable one is not even read.
    That of a network never is, since reading it takes TensorFlow.
    """
    schema = Schema.read(directory / SCHEMA)
    description = _read_description(directory / MODEL)
    name = str(description["model"])
    models.check(name, schema.workload)
    size = schema.width, len(schema.target.classes or (0,))
    if framework(directory) == TENSORFLOW:
        network = litert.load(directory, description.get("digests") or {}, *size)
        return Artefact(schema, network, name, LITERT, f"run by LiteRT {litert.version()}")
    try:
        predictor, library = serialization.load(directory, *size)
    except UnsupportedModelError as error:
        reason = ": ".join(filter(None, [str(error), description.get("not_compiled")]))
        return Artefact(
            schema,
            models.module(name, schema.workload).LOADED.load(directory, schema),
            name,
            "portable",
            reason,
        )
    return Artefact(schema, predictor, name, "compiled", f"built by {library.compiler}")


def untrained(directory: Path, schema: Schema) -> Model:
    """Return the model of an artefact as it was before it learned."""
    description = _read_description(directory / MODEL)
    chosen = models.module(description["model"], schema.workload)
    hyperparameters = chosen.Hyperparameters(**description["hyperparameters"])
    return chosen.create(schema, hyperparameters, description["seed"])


def _read_description(path: Path) -> dict[str, Any]:
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
