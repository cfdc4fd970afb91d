"""The champion, production's model, measured on the test rows of the model that may replace it."""

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from container import model_artifact
from container.data import metrics
from container.data.dataset import Dataset
from container.data.schema import Schema
from container.runtime.errors import UserError, is_full
from container.runtime.typing import FloatArray

MAX_FAULT = 300  # characters: a state machine reads the file that contains them


@dataclass(frozen=True)
class Comparison:
    """Hold {"metrics": …} on the test rows and the predictions of these, or {"fault": …} without predictions.

    The fault is a line on why the two models can't be compared.
    """

    report: dict[str, Any]
    predicted: FloatArray | None = None


def measure(archive: Path, schema: Schema, test: Dataset) -> Comparison:
    """Measure a champion on the test rows.

    The champion was made by other code of other data: an error of the champion does not fail the new model.

    Raises:
        OSError: this machine's disk is full.
    """
    try:
        with tempfile.TemporaryDirectory() as unpacked:
            model_artifact.extract(archive, Path(unpacked))
            champion = model_artifact.load(Path(unpacked))
        predicted = champion.predict(test.features_for(schema, champion.schema))
        return Comparison({"metrics": metrics.scores(test.target, predicted, schema.target)}, predicted)
    except UserError as error:
        return Comparison({"fault": _line(str(error))})
    except Exception as error:
        if is_full(error):  # as a fault of the champion it would let a worse model take its place
            raise
        return Comparison({"fault": _line(f"{type(error).__name__}: {error}")})


def _line(text: str) -> str:
    return " ".join(text.split())[:MAX_FAULT]
