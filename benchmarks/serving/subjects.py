"""The models of the comparison: the output of `train` for our server, scikit-learn's for the others."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from container import model_artifact, models
from container.data.schema import Feature, Schema, Target
from numpy.typing import NDArray
from sklearn.linear_model import LinearRegression

if TYPE_CHECKING:
    from pathlib import Path

Rows = NDArray[np.float64]
NAMES = ("linear_model", "random_forest", "gradient_boosting")
FEATURES, TRAINING, ASKED = 8, 20_000, 10_000
SCHEMA = Schema(
    Target("y", "regression"), tuple(Feature(f"x{place}", "numeric") for place in range(FEATURES))
)
HYPERPARAMETERS = {
    "linear_model": {},
    # 100 trees of unlimited depth, about 2.5 million nodes: scikit-learn's own defaults
    "random_forest": {"min_samples_leaf": "1", "max_features": "1.0"},
    "gradient_boosting": {"max_iter": "300", "n_iter_no_change": "300"},
}


@dataclass(frozen=True)
class Subject:
    """The two files of a model: `base`, a folder like /opt/ml for our server, and `pickle` for the others."""

    name: str
    base: Path
    pickle: Path


def rows(count: int, seed: int) -> Rows:
    """Return (count, FEATURES) numbers of different magnitudes, with the digits of measurements."""
    random = np.random.default_rng(seed)
    normal = random.normal(size=(count, FEATURES)) * (1, 10, 100, 1000, 1, 0.1, 5, 50)
    made: Rows = np.round(normal + np.array([0, 40, 0, 5000, 2, 0, 37, -120]), 6)
    return made


def prepare(folder: Path, python: str, product: Path) -> list[Subject]:
    """Train all models again, since a folder of an earlier run may come from older code."""
    shutil.rmtree(folder, ignore_errors=True)
    return [_prepare(name, folder / name, python, product) for name in NAMES]


def _prepare(name: str, folder: Path, python: str, product: Path) -> Subject:
    subject = Subject(name, folder / "ml", folder / "model.pickle")
    table = rows(TRAINING + 2000, seed=1)
    random = np.random.default_rng(2)
    target = np.sin(table[:, 0]) * table[:, 1] + table[:, 2] / 50 + random.normal(size=len(table))
    whole = np.column_stack([target, table])
    _write_job(subject.base, whole, {"model": name, **HYPERPARAMETERS[name]})
    environment = os.environ | {"SAGEMAKER_BASE_DIR": str(subject.base), "PYTHONPATH": str(product)}
    subprocess.run([python, "-m", "container", "train"], env=environment, check=True, stdout=sys.stderr)
    (subject.pickle).write_bytes(pickle.dumps(_others(name, subject.base, whole[:TRAINING])))
    return subject


def _write_job(base: Path, whole: Rows, hyperparameters: dict[str, str]) -> None:
    channels = base / "input" / "data"
    SCHEMA.write(channels / "schema" / model_artifact.SCHEMA)
    for channel, part in (("train", whole[:TRAINING]), ("validation", whole[TRAINING:])):
        (channels / channel).mkdir(parents=True, exist_ok=True)
        header = ",".join(["y", *(feature.name for feature in SCHEMA.features)])
        lines = [",".join(map(repr, row)) for row in part.tolist()]
        (channels / channel / "table.csv").write_text("\n".join([header, *lines]) + "\n", encoding="utf-8")
    config = base / "input" / "config"
    config.mkdir(parents=True, exist_ok=True)
    (config / "hyperparameters.json").write_text(json.dumps(hyperparameters), encoding="utf-8")


def _others(name: str, base: Path, whole: Rows) -> Any:
    """Return the same trees, or scikit-learn's LinearRegression, its fastest linear model."""
    if name == "linear_model":
        return LinearRegression().fit(whole[:, 1:], whole[:, 0])
    loaded: Any = models.module(name).LOADED.load(base / "model", SCHEMA)
    return loaded.estimator
