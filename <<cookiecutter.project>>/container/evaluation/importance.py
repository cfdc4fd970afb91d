"""Permutation importance: how much worse a model predicts when one feature's values change places.

The method is that of Breiman (2001) and Fisher, Rudin and Dominici (2019), as in scikit-learn.
"""

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
MAX_ROWS, MIN_ROWS = 1_000, 100
MAX_PREDICTIONS = 500_000  # a table of a thousand features is the widest that is explained


def measure(loaded: ModelArtifact, test: Dataset) -> dict[str, Any] | None:
    """Return each feature's importance in the shape of SageMaker Clarify's analysis.

    The result is None for images, whose features are pixels, and for a table that is too wide.
    """
    if loaded.schema.workload != TABULAR:
        return None
    rows = rows_to_predict(len(test.target), loaded.schema.width)
    if not rows:
        log("warning", message=f"{loaded.schema.width} features are too many for permutation importance")
        return None
    random = np.random.Generator(np.random.PCG64(0))
    sample = random.permutation(len(test.target))[:rows]
    return _document(loaded, test.features[sample], test.target[sample], random)


def rows_to_predict(available: int, width: int) -> int:
    """Return how many rows are predicted for each feature and repeat; 0 when they would be too few."""
    affordable = MAX_PREDICTIONS // (REPEATS * width)
    return min(available, MAX_ROWS, affordable) if affordable >= MIN_ROWS else 0


def _document(
    loaded: ModelArtifact, features: FloatArray, labels: FloatArray, random: np.random.Generator
) -> dict[str, Any]:
    target = loaded.schema.target
    scores = metrics.scores(labels, loaded.predict(features), target)
    metric = next(name for name in metrics.LEADING if name in scores)
    sign = 1 if metric in metrics.ERRORS else -1
    losses = {}
    for column, feature in enumerate(loaded.schema.features):
        predictions = map(loaded.predict, _shuffles(features, column, random))
        shuffled = np.array([metrics.score(metric, labels, predicted) for predicted in predictions])
        losses[feature.name] = sign * (shuffled - scores[metric])
    ranked = sorted(losses, key=lambda name: -losses[name].mean())
    importance = {
        "metric": metric,
        "score": scores[metric],
        "rows": len(labels),
        "repeats": REPEATS,
        "global_importances": {name: float(losses[name].mean()) for name in ranked},
        "standard_deviations": {name: float(losses[name].std()) for name in ranked},
    }
    return {"version": "1.0", "explanations": {"permutation_importance": {target.name: importance}}}


def _shuffles(features: FloatArray, column: int, random: np.random.Generator) -> Iterator[FloatArray]:
    """Return the (n, n_features) rows for each repeat, with one column in another order."""
    shuffled = features.copy()
    for _ in range(REPEATS):
        shuffled[:, column] = random.permutation(features[:, column])
        yield shuffled
