"""The rows of each split, and of each class in it, with warnings where there are few to test on."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from container.data.schema import Target
from container.evaluation import sentences
from container.runtime.typing import FloatArray

MIN_ROWS, MIN_CLASS_ROWS = 100, 10


def count(splits: Mapping[str, FloatArray], target: Target) -> dict[str, Any]:
    """Return "rows", those of each split, and for a classification "classes": the rows of each class.

    `splits` are (n,) labels by the split's name.
    """
    counted: dict[str, Any] = {"rows": {name: len(labels) for name, labels in splits.items()}}
    if target.classes is not None:
        known = len(target.classes)
        rows = {name: np.bincount(codes.astype(np.int64), minlength=known) for name, codes in splits.items()}
        counted["classes"] = {
            label: {name: int(counts[code]) for name, counts in rows.items()}
            for code, label in enumerate(target.classes)
        }
    return counted


def warnings(counted: Mapping[str, Any]) -> Iterator[str]:
    """List what few test rows make uncertain, given the counts of all splits."""
    rows = counted["rows"]["test"]
    if rows < MIN_ROWS:
        yield f"The test split has {rows} rows, fewer than {MIN_ROWS}: the metrics may be far from the truth."
    few = {
        label: splits["test"]
        for label, splits in counted.get("classes", {}).items()
        if splits["test"] < MIN_CLASS_ROWS
    }
    if few:
        shown = sentences.listed([f"{sentences.quoted(label)} ({number})" for label, number in few.items()])
        yield (
            f"The test split has fewer than {MIN_CLASS_ROWS} rows of {shown}: "
            "how well the model knows such a class is uncertain."
        )
