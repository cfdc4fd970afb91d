"""Serve a small model as the image would: `python served.py KIND [LOOP]`, with the server's environment.

Its predictions are a sum of the features; some values of the first feature make it misbehave. `quick` is its
compiled form, `slow` the same without the ways that are there for speed. LOOP is uvloop or asyncio.
"""

import os
import sys
import time
from pathlib import Path
from typing import Self

import numpy as np

from container import model_artifact, serving
from container.data.schema import Feature, Schema, Target
from container.inference.native import linear
from container.inference.native.load import load as load_library
from container.model_artifact import ModelArtifact
from container.runtime.errors import UserError
from container.runtime.typing import FloatArray
from container.serving import head_cache, worker
from container.serving.service import TableService

ODD = 1e6
SLOW, HANG, RAISE, DIE, SLOWER = ODD + 1, ODD + 2, ODD + 3, ODD + 4, ODD + 5
NUMERIC = Schema(Target("y", "regression"), tuple(Feature(name, "numeric") for name in "abcdefgh"))
CLASSES = Schema(
    Target("y", "multiclass", ("no", 'a "quoted", one', "ja")),
    (
        Feature("size", "numeric"),
        Feature("sex", "categorical", ("F", "I", "M")),
        Feature("day", "date", format="iso8601"),
    ),
)
TYPED = Schema(
    Target("y", "regression"),
    (
        Feature("day", "date", format="iso8601"),
        Feature("vip", "categorical", ("False", "True")),
        Feature("bit", "numeric", boolean=True),
    ),
)
SCHEMAS = {
    "typed": TYPED,
    "numeric": NUMERIC,
    "classes": CLASSES,
    "dying": NUMERIC,
    "quick": NUMERIC,
    "slow": NUMERIC,
}


class Model:
    """Add up the features; missing ones count as nothing."""

    def __init__(self, schema: Schema) -> None:
        self.schema = schema
        self.weights = np.arange(1.0, 1.0 + len(schema.features))

    def fit(
        self, features: FloatArray, target: FloatArray, validation: tuple[FloatArray, FloatArray] | None
    ) -> None:
        """Learn nothing."""

    def save(self, directory: Path) -> None:
        """Keep nothing."""

    @classmethod
    def load(cls, directory: Path, schema: Schema) -> Self:
        """Return the model."""
        del directory
        return cls(schema)

    def predict(self, features: FloatArray) -> FloatArray:
        """Predict, or misbehave for the values that ask for it."""
        if sys.argv[1] == "dying":
            os._exit(7)
        if features[:, 0].max() > ODD:
            _misbehave(set(features[:, 0].tolist()))
        numbers = features @ self.weights
        if np.isnan(numbers).any():
            numbers = np.nan_to_num(features) @ self.weights
        if self.schema.target.classes is None:
            return numbers
        odds = np.column_stack([np.sin(numbers * place) ** 2 + 0.1 for place in (1.0, 2.0, 3.0)])
        shares: FloatArray = odds / odds.sum(axis=1, keepdims=True)
        return shares


def _misbehave(values: set[float]) -> None:
    if SLOW in values:
        time.sleep(1)
    if SLOWER in values:
        time.sleep(3)
    if HANG in values:
        time.sleep(3600)
    if RAISE in values:
        raise ValueError("this row is too much\nfor me")
    if DIE in values:
        os._exit(9)


def load(directory: Path) -> ModelArtifact:
    """Return the model that the command line names, in place of a trained one."""
    if sys.argv[1] == "broken":
        raise UserError(f"model.json is missing in {directory}")
    schema = SCHEMAS[sys.argv[1]]
    if sys.argv[1] in {"quick", "slow"}:
        return ModelArtifact(schema, compiled(len(schema.features)), "sum", "compiled", "it is tested")
    return ModelArtifact(schema, Model(schema), "sum")


def compiled(features: int) -> linear.LinearPredictor:
    """Return a compiled model of the same sum."""
    scales = {"fill": np.zeros(features), "mean": np.zeros(features), "scale": np.ones(features)}
    whole = {"numbers": np.arange(features), "categories": [], "levels": []}
    weights = {"weights": np.arange(1.0, 1.0 + features)[None], "offsets": [0.0], "largest": [np.inf]}
    model = linear.compile_model(features, whole | scales | weights, classifies=False)
    return linear.LinearPredictor(load_library(), model.metadata, model.arrays)


def prepare(model: Path, max_answer: int) -> TableService:
    """Return a service that takes the fast paths, or none of them."""
    service = TableService(model_artifact.load(model), max_answer)
    assert service.fast_path is not None
    if sys.argv[1] == "slow":
        service.fast_path = service.decoder.parser = None
        service.decoder.is_plain = False
        head_cache.MAX_CACHED_BYTES = 0
    return service


if __name__ == "__main__":
    if sys.argv[2:] == ["asyncio"]:
        sys.modules["uvloop"] = None  # type: ignore[assignment]
    model_artifact.load = load
    if sys.argv[1] in {"quick", "slow"}:
        worker.prepare = prepare
    try:
        serving.main()
    except UserError as error:
        sys.exit(f"error: {error}")
