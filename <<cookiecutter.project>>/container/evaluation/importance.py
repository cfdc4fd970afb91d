"""Permutation importance: how much worse a model predicts when one feature's values change places."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from container.data import metrics
from container.data.dataset import Dataset
from container.data.schema import TABULAR
from container.model_artifact import ModelArtifact
from container.runtime.log import log
from container.runtime.typing import FloatArray

REPEATS = 5
MOST_ROWS, FEWEST_ROWS = 1_000, 100
MOST_PREDICTIONS = 500_000  # so a table of a thousand features is the widest that is explained


def measure(loaded: ModelArtifact, test: Dataset) -> dict[str, Any] | None:
    """Return what the model looks at, in the shape of SageMaker Clarify's analysis; None where nothing can.

    That is with pictures, whose features are pixels, and with too wide a table.
    """
    if loaded.schema.workload != TABULAR:
        return None
    rows = rows_to_predict(len(test.target), loaded.schema.width)
    if not rows:
        log("warning", message=f"{loaded.schema.width} features are too many for permutation importance")
        return None
    random = np.random.Generator(np.random.PCG64(0))
    chosen = random.permutation(len(test.target))[:rows]
    return _document(loaded, test.features[chosen], test.target[chosen], random)


def rows_to_predict(available: int, width: int) -> int:
    """Return how many rows are predicted anew for each feature and repeat; 0 when these are too few."""
    affordable = MOST_PREDICTIONS // (REPEATS * width)
    return min(available, MOST_ROWS, affordable) if affordable >= FEWEST_ROWS else 0


def _document(
    loaded: ModelArtifact, features: FloatArray, labels: FloatArray, random: np.random.Generator
) -> dict[str, Any]:
    target = loaded.schema.target
    scores = metrics.scores(labels, loaded.predict(features), target)
    metric = next(name for name in metrics.LEADING if name in scores)
    sign = 1 if metric in metrics.ERRORS else -1
    losses = {}
    for place, feature in enumerate(loaded.schema.features):
        shuffled = (loaded.predict(each) for each in _shuffles(features, place, random))
        measured = np.array([metrics.scores(labels, each, target)[metric] for each in shuffled])
        losses[feature.name] = sign * (measured - scores[metric])
    ranked = sorted(losses, key=lambda name: -losses[name].mean())
    found = {
        "metric": metric,
        "score": scores[metric],
        "rows": len(labels),
        "repeats": REPEATS,
        "global_importances": {name: float(losses[name].mean()) for name in ranked},
        "standard_deviations": {name: float(losses[name].std()) for name in ranked},
    }
    return {"version": "1.0", "explanations": {"permutation_importance": {target.name: found}}}


def _shuffles(features: FloatArray, place: int, random: np.random.Generator) -> Iterator[FloatArray]:
    """Give the rows again and again, each time with one column in another order."""
    shuffled = features.copy()
    for _ in range(REPEATS):
        shuffled[:, place] = random.permutation(features[:, place])
        yield shuffled
