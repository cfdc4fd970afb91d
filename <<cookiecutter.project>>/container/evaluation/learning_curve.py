"""The learning curve: the scores of a model that is trained on shares of the training rows."""

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
# Each share of the rows is three times the one before. The trained model, with all rows, is the last point.
DIVISORS = (27, 9, 3)
MAX_ROWS, MAX_CELLS = 30_000, 3_000_000
MIN_ROWS = 100


def applies(directory: Path, schema: Schema) -> bool:
    """Tell whether a model can be trained again in short time: one of scikit-learn's on a table."""
    return schema.workload == TABULAR and model_artifact.framework(directory) == model_artifact.SCIKIT_LEARN


def measure(directory: Path, loaded: ModelArtifact, train: Dataset, validation: Dataset) -> dict[str, Any]:
    """Return points: a number of training rows, and the metrics on these rows and on the validation rows.

    Models are trained on a twenty-seventh, a ninth and a third of the rows, or of a sample of 30,000 (fewer
    in a wide table). The last point is the trained model, before the refit if there was one: then the scores
    are those of model.json. A point with less than 100 rows, or without a row of some class, is left out.
    """
    sample, points = _sample(train), []
    with threadpool_limits(limits=1):  # threads would wait for one another longer than they work
        for divisor in DIVISORS:
            rows = sample[: len(sample) // divisor]
            model = _trained(directory, loaded.schema, train, validation, rows)
            if model is not None:
                points.append(_point(model, loaded.schema, train, validation, rows) | {"rows": len(rows)})
        described = model_artifact.read_description(directory / model_artifact.MODEL)
        last = (
            {split: described[split] for split in ("training", "validation")}
            if described.get("refit")
            else score(loaded, loaded.schema, train, validation)
        )
    points.append(last | {"rows": len(train.target)})
    return {"version": VERSION, "validation_rows": len(validation.target), "points": points}


def score(model: Predictor, schema: Schema, train: Dataset, validation: Dataset) -> dict[str, Any]:
    """Return the metrics of a model on (a sample of) the training rows, and on the validation rows."""
    return _point(model, schema, train, validation, _sample(train))


def _sample(train: Dataset) -> NDArray[np.int64]:
    order = np.random.Generator(np.random.PCG64(0)).permutation(len(train.target))
    return order[: min(MAX_ROWS, MAX_CELLS // train.features.shape[1])]


def _trained(
    directory: Path, schema: Schema, train: Dataset, validation: Dataset, rows: NDArray[np.int64]
) -> Predictor | None:
    labels = train.target[rows]
    if len(rows) < MIN_ROWS or not set(range(len(schema.target.classes or ()))) <= set(labels.tolist()):
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
    return {
        "training": metrics.scores(train.target[rows], model.predict(train.features[rows]), schema.target),
        "validation": metrics.scores(validation.target, model.predict(validation.features), schema.target),
    }
