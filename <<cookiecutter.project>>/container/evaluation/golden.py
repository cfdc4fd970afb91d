"""Golden requests: test rows as requests, with the model's answers, which a deployed model must repeat."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from container.data.dataset import Dataset
from container.data.schema import Target
from container.model_artifact import ModelArtifact
from container.runtime.typing import FloatArray

VERSION = 1
MAX_REQUESTS = 100


def requests(
    model: ModelArtifact, test: Dataset, predicted: FloatArray, fair: NDArray[np.bool_] | None = None
) -> dict[str, Any]:
    """Return golden.json: up to 100 evenly spaced test rows with their true labels and the model's answers.

    `predicted` are (n,) numbers or (n, classes) probabilities of the n test rows. `fair` marks the (n,) rows
    that a champion has not learned: on others the champion's errors are smaller than on new ones.
    "precision" is by how much an answer may differ on another machine.
    """
    usable = np.flatnonzero(fair) if fair is not None else np.arange(len(test.target))
    count = min(MAX_REQUESTS, len(usable))
    rows = [int(usable[number * len(usable) // count]) for number in range(count)]
    golden = [
        {
            "id": f"golden-{number:04}",
            "body": test.body(row),
            "label": _label(test.target[row], model.schema.target),
            "answer": _answer(predicted[row], model.schema.target),
        }
        for number, row in enumerate(rows, 1)
    ]
    return {
        "version": VERSION,
        "content_type": test.content_type,
        "precision": model.tolerance(predicted),
        "requests": golden,
    }


def _label(value: float, target: Target) -> float | str:
    return float(value) if target.classes is None else target.classes[int(value)]


def _answer(predicted: Any, target: Target) -> Any:
    if target.classes is None:
        return float(predicted)
    probabilities = dict(zip(target.classes, predicted.tolist(), strict=True))
    return {"label": target.classes[int(predicted.argmax())], "probabilities": probabilities}
