"""The champion, production's model, on the test rows of the model that is to take its place."""

import tempfile
from pathlib import Path
from typing import Any

from container import model_artifact
from container.data import metrics
from container.data.dataset import Dataset
from container.data.schema import Schema
from container.runtime.errors import UserError, is_full

LONGEST_FAULT = 300  # it stands in a file that a state machine reads


def measure(archive: Path, schema: Schema, test: Dataset) -> dict[str, Any]:
    """Return {"metrics": …} on the test rows, or {"fault": …}, a line on why the two can't be compared.

    Whatever is wrong with the champion, which other code made of other data, is no fault of the new model.
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
        if is_full(error):  # this machine's fault, by which a worse model would take the champion's place
            raise
        return {"fault": _line(f"{type(error).__name__}: {error}")}


def _line(text: str) -> str:
    return " ".join(text.split())[:LONGEST_FAULT]
