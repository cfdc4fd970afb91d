"""The champion, production's model, measured on the test rows of the model that may replace it."""

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from container import learned_rows, model_artifact
from container.data import metrics
from container.data.dataset import Dataset
from container.data.schema import Schema
from container.runtime.errors import UserError, is_full
from container.runtime.typing import FloatArray

MAX_FAULT = 300  # characters: a state machine reads the file that contains them
IMPOSSIBLE = "no comparison was possible: "
MIN_ROWS = 50  # fewer of them make no comparison, where test rows had to be left out


@dataclass(frozen=True)
class Comparison:
    """Hold {"metrics": …} on the compared rows and the predictions for them, or {"fault": …}.

    `rows` marks them among the (n,) test rows: the champion has not learned from them. The fault is a line
    on why the two models can't be compared.
    """

    report: dict[str, Any]
    predicted: FloatArray | None = None
    rows: NDArray[np.bool_] | None = None


def measure(archive: Path, schema: Schema, test: Dataset, own: Path | None = None) -> Comparison:
    """Measure a champion on those test rows that it has not learned from.

    The champion was made by other code of other data: an error of the champion does not fail the new model.
    `own` is the new model's directory: "in_common" says how many rows both learned, where they are few.

    Raises:
        OSError: this machine's disk is full.
    """
    try:
        return _measure(archive, schema, test, own)
    except UserError as error:
        return Comparison({"fault": _line(f"{IMPOSSIBLE}{error}")})
    except Exception as error:
        if is_full(error):  # as a fault of the champion it would let a worse model take its place
            raise
        return Comparison({"fault": _line(f"{IMPOSSIBLE}{type(error).__name__}: {error}")})


def _measure(archive: Path, schema: Schema, test: Dataset, own: Path | None) -> Comparison:
    with tempfile.TemporaryDirectory() as unpacked:
        directory = Path(unpacked)
        model_artifact.extract(archive, directory)
        champion = model_artifact.load(directory)
        features = test.features_for(schema, champion.schema)
        rows = learned_rows.new_rows(directory, features, test.target, test.keys)
        shared, fewer = learned_rows.in_common(own, directory) if own else (0, 0)
    kept, left_out = int(rows.sum()), int((~rows).sum())
    if left_out and kept < MIN_ROWS:
        raise UserError(
            f"it has learned from {left_out} of {len(rows)} test rows, as after a change of the split, and "
            f"{kept} are left of at least {MIN_ROWS}"
        )
    predicted = champion.predict(features[rows])
    measured = metrics.scores(test.target[rows], predicted, schema.target)
    report = {"metrics": measured, "rows": kept, "left_out": left_out}
    few = {"in_common": f"{shared} of {fewer}"} if 2 * shared < fewer else {}
    return Comparison(report | few, predicted, rows)


def _line(text: str) -> str:
    return " ".join(text.split())[:MAX_FAULT]
