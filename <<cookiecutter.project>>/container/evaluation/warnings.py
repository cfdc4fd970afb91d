"""Warnings before a model serves: few rows to test on, and features that may leak the target."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from container.data.dataset import Dataset
from container.data.schema import Feature, Schema
from container.evaluation import champion
from container.runtime.typing import FloatArray

MIN_ROWS, MIN_CLASS_ROWS = 100, 10
MAX_NAME, MAX_CLASSES = 40, 3  # in a sentence: characters, and classes
NEARLY_ALL = 0.9  # of the sum of the positive importances
MAX_FEATURES = 3  # that may carry it together, as copies of one another do
MAX_ROWS = 100_000  # that are looked at for a leak
MIN_DISTINCT = 0.99  # fraction of an id's cells: a table may have a few rows twice
MAX_REPEATS, MIN_NUMBERS = 3, 100  # rows of one number of an id on average, and numbers that then differ
MAX_DISTINCT = 0.5  # fraction of the rows at which values repeat enough for one-to-one to mean something
COPY = 1 - 1e-6  # correlation of the values, or of their ranks, from which a column is a copy


def count(splits: Mapping[str, Dataset], schema: Schema) -> dict[str, Any]:
    """Return "rows", those of each split by its name, and "classes", the rows of each class by split."""
    found: dict[str, Any] = {
        "rows": {name: len(split.target) for name, split in splits.items()},
        "classes": {},
    }
    for code, label in enumerate(schema.target.classes or ()):
        found["classes"][label] = {name: int((each.target == code).sum()) for name, each in splits.items()}
    return found


def comparison(compared: Mapping[str, Any], rows: int) -> Iterator[str]:
    """List why the comparison with the champion is missing, lacks some of the test rows, or may be wrong."""
    if "fault" in compared:
        said = _printable(compared["fault"]).removeprefix(champion.IMPOSSIBLE)
        yield f"The model was not compared with production's: {said}."
    if "in_common" in compared:
        yield (
            f"Production's model and this one learned few rows in common ({compared['in_common']}). If the "
            "others are the same rows, written otherwise, the comparison favours production's model."
        )
    if compared.get("left_out"):
        yield (
            f"{compared['left_out']} of {rows} test rows are not in the comparison with production's model, "
            "which has learned from them."
        )


def few_rows(counted: Mapping[str, Any]) -> Iterator[str]:
    """List what few test rows make uncertain, given the result of `count`."""
    rows = counted["rows"]["test"]
    if rows < MIN_ROWS:
        yield f"The test split has {rows} rows, fewer than {MIN_ROWS}: the metrics may be far from the truth."
    tested = ((label, splits["test"]) for label, splits in counted["classes"].items())
    few = [f"{_quoted(label)} ({number})" for label, number in tested if number < MIN_CLASS_ROWS]
    if few:
        more = f" and {len(few) - MAX_CLASSES} more" if len(few) > MAX_CLASSES else ""
        yield (
            f"The test split has fewer than {MIN_CLASS_ROWS} rows of {', '.join(few[:MAX_CLASSES])}{more}: "
            "how well the model knows such a class is uncertain."
        )


def leaks(
    importance: Mapping[str, Any] | None, schema: Schema, splits: Mapping[str, Dataset]
) -> Iterator[str]:
    """List the sentence on features that carry nearly all importance, where each looks like an id or a copy.

    `importance` is the report of `importance.measure`, None where there is none.
    """
    methods = importance["explanations"]["permutation_importance"].values() if importance else ()
    leading, share = _leading(next((each["global_importances"] for each in methods), {}))
    named = []
    target = np.concatenate([split.target for split in splits.values()])[:MAX_ROWS]
    for place, feature in enumerate(schema.features):
        if feature.name in leading:
            values = np.concatenate([split.features[:, place] for split in splits.values()])[:MAX_ROWS]
            look = _look(feature, values, target)
            named += [f"{_quoted(feature.name)}, {look},"] if look else []
    if named and len(named) == len(leading):
        those = f"features {' '.join(named)} carry" if named[1:] else f"feature {named[0]} alone carries"
        yield (
            f"The {those} {share:.0%} of the importance: it may be an id or a copy of the target, which "
            "requests will not have. [data.kinds] of project.toml can exclude a column."
        )


def _quoted(name: str) -> str:
    text = _printable(name)
    return f"'{text if len(text) <= MAX_NAME else text[: MAX_NAME - 1] + '…'}'"


def _printable(text: str) -> str:
    """Return a text in one line, without control characters, which the registry refuses."""
    return " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())


def _leading(importances: Mapping[str, float]) -> tuple[list[str], float]:
    """Return the fewest features that carry nearly all importance, and their share; none where many do."""
    ranked = sorted(((value, name) for name, value in importances.items() if value > 0), reverse=True)
    carried = np.cumsum([value for value, _ in ranked])
    for number in range(1, min(len(ranked), MAX_FEATURES) + 1):
        if carried[number - 1] >= NEARLY_ALL * carried[-1]:
            return [name for _, name in ranked[:number]], carried[number - 1] / carried[-1]
    return [], 0.0


def _look(feature: Feature, values: FloatArray, target: FloatArray) -> str:
    """Return what a feature looks like in a few words; nothing where it looks honest."""
    present = np.isfinite(values)
    values, target = values[present], target[present]
    distinct, codes = np.unique(values, return_inverse=True)
    labels, label_codes = np.unique(target, return_inverse=True)
    pairs = ((values, target), (codes, label_codes))
    with np.errstate(all="ignore"):  # one value alone has no correlation
        is_copy = len(values) > 1 and any(abs(np.corrcoef(*pair)[0, 1]) > COPY for pair in pairs)
    if len(distinct) == len(labels) <= MAX_DISTINCT * len(values):
        is_copy |= len(np.unique(codes * len(labels) + label_codes)) == len(labels) > 1
    if is_copy:
        return "one-to-one with the target"
    whole = feature.kind == "numeric" and np.array_equal(values, np.floor(values))
    if whole and len(distinct) > MIN_DISTINCT * len(values):
        return "different in each row"
    if whole and len(distinct) >= MIN_NUMBERS and len(distinct) * MAX_REPEATS >= len(values):
        return "with few rows of each value"
    return ""
