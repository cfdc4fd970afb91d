"""The quality of an image model: five-fold accuracy and log loss, and the time to train and to predict.

`DATA` names a zip or a folder of images, `MODEL` a model, `SIDE` the side in pixels that the model reads. Of
images with equal pixels one is used, so that no image is in two folds. Writes build/bench-pictures.json.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from container import models
from container.data import metrics
from container.data.schema import IMAGE, Schema, Target
from container.images import decode, sources
from rich.console import Console
from sklearn.model_selection import StratifiedKFold

ROOT = Path(__file__).resolve().parent.parent
SHARED = Path(os.environ.get("SHARED_DATA", ROOT.parent / "shared" / "data"))
DATA = Path(os.environ.get("DATA") or SHARED / "bicycles_motorcycles.zip")
MODEL = os.environ.get("MODEL", "hog_svm")
SIDE = int(os.environ.get("SIDE", "32"))
FOLDS = 5
SEEDS = range(int(os.environ.get("ROUNDS", "5")))


def read(data: Path) -> tuple[np.ndarray[Any, Any], list[str]]:
    """Return the images as (n, side * side * 3) bytes, and their labels, without duplicates."""
    with tempfile.TemporaryDirectory() as folder:
        if data.is_dir():
            shutil.copytree(data, folder, dirs_exist_ok=True)
        else:
            shutil.copy(data, folder)
        found: dict[bytes, tuple[np.ndarray[Any, Any], str]] = {}
        for file in sources.find(Path(folder)).files:
            picture = decode.decode(file.read())
            found.setdefault(decode.digest(picture), (decode.pixels(picture, SIDE), file.label))
    return np.stack([pixels for pixels, _ in found.values()]), [label for _, label in found.values()]


def fold(schema: Schema, seed: int, train: tuple[Any, Any], test: tuple[Any, Any]) -> dict[str, float]:
    """Train on the images of the other folds, and return the metrics of one fold."""
    chosen = models.module(MODEL, IMAGE)
    model = chosen.create(schema, chosen.Hyperparameters(), seed)
    began = time.perf_counter()
    model.fit(*train, None)
    learned = time.perf_counter()
    predicted = model.predict(test[0])
    seconds = time.perf_counter() - learned
    found = metrics.scores(test[1], predicted, schema.target)
    sure = -np.log(predicted[np.arange(len(predicted)), test[1].astype(int)])
    found["log_loss"] = float(np.mean(sure))
    return {**found, "fit_seconds": learned - began, "predict_ms": seconds / len(predicted) * 1000}


def main() -> int:
    """Measure, write the results, and print their means and ranges."""
    pictures, labels = read(DATA)
    classes = tuple(sorted(set(labels)))
    codes = np.array([classes.index(label) for label in labels], dtype=np.float64)
    task: Any = "binary" if len(classes) == 2 else "multiclass"  # noqa: PLR2004 - two classes
    schema = Schema(Target("label", task, classes), (), SIDE)
    folds = []
    for seed in SEEDS:
        parts = StratifiedKFold(FOLDS, shuffle=True, random_state=seed)
        for train, test in parts.split(pictures, codes):
            folds.append(fold(schema, seed, (pictures[train], codes[train]), (pictures[test], codes[test])))
    summary: dict[str, Any] = {
        name: {
            "mean": statistics.fmean(each[name] for each in folds),
            "folds": [each[name] for each in folds],
        }
        for name in folds[0]
    }
    target = ROOT / "build" / "bench-pictures.json"
    target.parent.mkdir(exist_ok=True)
    target.write_text(json.dumps({"pictures": len(labels), "classes": classes, **summary}, indent=1) + "\n")
    for name, one in summary.items():
        spread = f"{one['mean']:.4f} [{min(one['folds']):.4f} to {max(one['folds']):.4f}]"
        Console().print(f"{name:12} {spread} over {len(folds)} folds", highlight=False)
    return 0


if __name__ == "__main__":
    sys.exit(main())
