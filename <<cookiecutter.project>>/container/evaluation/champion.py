"""The champion, production's model, measured on the test rows of the model that may replace it."""

import tempfile
from pathlib import Path
from typing import Any

from container import model_artifact
from container.data import metrics
from container.data.dataset import Dataset
from container.data.schema import Schema
from container.runtime.errors import UserError, is_full

MAX_FAULT = 300  # characters: a state machine reads the file that contains them


def measure(archive: Path, schema: Schema, test: Dataset) -> dict[str, Any]:
    """Return {"metrics": …} on the test rows, or {"fault": …}, a line on why the two can't be compared.

    The champion was made by other code of other data: an error of the champion does not fail the new model.

    Raises:
        OSError: this machine's disk is full.
    """
    try:
        with tempfile.TemporaryDirectory() as unpacked:
            model_artifact.extract(archive, Path(unpacked))
            champion = model_artifact.load(Path(unpacked))
        predicted = champion.predict(test.features_for(schema, champion.schema))
        return {"metrics": metrics.scores(test.target, predicted, schema.target)}
    except UserError as error:
        return {"fault": _line(str(error))}
    except Exception as error:
        if is_full(error):  # as a fault of the champion it would let a worse model take its place
            raise
        return {"fault": _line(f"{type(error).__name__}: {error}")}


def _line(text: str) -> str:
    return " ".join(text.split())[:MAX_FAULT]
