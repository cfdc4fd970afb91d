"""The learning curve: what a model scores that learned from a share of the training rows."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from container import model_artifact
from container.data import metrics
from container.data.dataset import Dataset
from container.data.schema import TABULAR, Schema
from container.model_artifact import ModelArtifact, Predictor
from container.runtime.log import log

VERSION = 1
# Each is three times as many rows as the one before it. The model itself is the point after them.
PARTS = (27, 9, 3)
MOST_ROWS, MOST_CELLS = 30_000, 3_000_000
FEWEST_ROWS = 100


def applies(directory: Path, schema: Schema) -> bool:
    """Tell whether a model can learn again in short time: one of scikit-learn's of a table."""
    return schema.workload == TABULAR and model_artifact.framework(directory) == model_artifact.SCIKIT_LEARN


def measure(directory: Path, loaded: ModelArtifact, train: Dataset, validation: Dataset) -> dict[str, Any]:
    """Return points of rows learned from with the metrics on these and on the validation rows.

    A twenty-seventh, a ninth and a third of the rows are learned from, or of 30,000 drawn ones, fewer in a
    wide table; then comes the trained model. Left out are less than 100 rows, and those without every class.
    """
    with threadpool_limits(limits=1):  # threads would wait for one another longer than they work
        return _measure(directory, loaded, train, validation)


def _measure(directory: Path, loaded: ModelArtifact, train: Dataset, validation: Dataset) -> dict[str, Any]:
    order = np.random.Generator(np.random.PCG64(0)).permutation(len(train.target))
    drawn = order[: min(MOST_ROWS, MOST_CELLS // loaded.schema.width)]
    points = []
    for part in PARTS:
        rows = drawn[: len(drawn) // part]
        model = _learned(directory, loaded.schema, train, validation, rows)
        if model is not None:
            points.append(_point(model, loaded.schema, train, validation, rows) | {"rows": len(rows)})
    points.append(_point(loaded, loaded.schema, train, validation, drawn) | {"rows": len(order)})
    return {"version": VERSION, "validation_rows": len(validation.target), "points": points}


def _learned(
    directory: Path, schema: Schema, train: Dataset, validation: Dataset, rows: NDArray[np.int64]
) -> Predictor | None:
    labels = train.target[rows]
    if len(rows) < FEWEST_ROWS or not set(range(len(schema.target.classes or ()))) <= set(labels.tolist()):
        return None
    model = model_artifact.build_untrained(directory, schema)
    try:
        model.fit(train.features[rows], labels, (validation.features, validation.target))
    except ValueError as error:
        log("warning", message=f"the learning curve has no point at {len(rows)} rows: {error}")
        return None
    return model


def _point(
    model: Predictor, schema: Schema, train: Dataset, validation: Dataset, rows: NDArray[np.int64]
) -> dict[str, Any]:
    learned = metrics.scores(train.target[rows], model.predict(train.features[rows]), schema.target)
    held = metrics.scores(validation.target, model.predict(validation.features), schema.target)
    return {"training": learned, "validation": held}
