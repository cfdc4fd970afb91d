"""Features that carry nearly all importance and may be an id or a copy of the target."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from container.data.dataset import Dataset
from container.data.schema import Feature, Schema
from container.evaluation import sentences
from container.runtime.typing import FloatArray

NEARLY_ALL = 0.9  # of the sum of the positive importances
MAX_FEATURES = 3  # that may carry it together, as copies of one another do
MAX_ROWS = 100_000  # that are looked at
MIN_DISTINCT = 0.99  # fraction of an id's cells: a table may have a few rows twice
MAX_DISTINCT = 0.5  # fraction of the rows at which values repeat enough for one-to-one to mean something
COPY = 1 - 1e-6  # correlation of the values, or of their ranks, from which a column is a copy


def warnings(report: Mapping[str, Any] | None, schema: Schema, splits: Sequence[Dataset]) -> Iterator[str]:
    """List the sentence on features that carry nearly all importance, where each looks like an id or a copy.

    `report` is that of `importance.measure`, None where there is none. The look is at the rows of all splits.
    """
    if report is None:
        return
    (document,) = report["explanations"]["permutation_importance"].values()
    leading, share = _leading(document["global_importances"])
    target = np.concatenate([split.target for split in splits])[:MAX_ROWS]
    looks = []
    for place in map([feature.name for feature in schema.features].index, leading):
        values = np.concatenate([split.features[:, place] for split in splits])[:MAX_ROWS]
        is_number = schema.target.classes is None
        looks.append(_look(schema.features[place], values, target, is_number=is_number))
    if not looks or "" in looks:
        return
    named = [f"{sentences.quoted(name)}, {look}," for name, look in zip(leading, looks, strict=True)]
    those = f"feature {named[0]} alone carries" if len(named) == 1 else f"features {' '.join(named)} carry"
    yield (
        f"The {those} {share:.0%} of the importance: it may be an id or a copy of the target, which requests "
        "will not have. [data.kinds] of project.toml can exclude a column."
    )


def _leading(importances: Mapping[str, float]) -> tuple[list[str], float]:
    """Return the fewest features that carry nearly all importance, and their share; none where many do."""
    positive = {name: value for name, value in importances.items() if value > 0}
    ranked = sorted(positive, key=lambda name: -positive[name])
    total, carried = sum(positive.values()), 0.0
    for number, name in enumerate(ranked[:MAX_FEATURES], 1):
        carried += positive[name]
        if carried >= NEARLY_ALL * total:
            return ranked[:number], carried / total
    return [], 0.0


def _look(feature: Feature, values: FloatArray, target: FloatArray, *, is_number: bool) -> str:
    """Return what a feature looks like in a few words; nothing where it looks honest."""
    present = np.isfinite(values)
    values, target = values[present], target[present]
    if not len(values):
        return ""
    distinct, codes = np.unique(values, return_inverse=True)
    labels, label_codes = np.unique(target, return_inverse=True)
    if np.array_equal(values, target):
        return "equal to the target"
    if len(distinct) <= MAX_DISTINCT * len(values):
        pairs = len(np.unique(codes * len(labels) + label_codes))
        if len(distinct) == len(labels) == pairs > 1:
            return "one-to-one with the target"
    if is_number and _correlated(values, target, codes, label_codes):
        return "a function of the target"
    whole = feature.kind == "numeric" and np.array_equal(values, np.floor(values))
    return "different in each row" if whole and len(distinct) >= MIN_DISTINCT * len(values) else ""


def _correlated(values: FloatArray, target: FloatArray, ranks: Any, target_ranks: Any) -> bool:
    pairs = ((values, target), (ranks, target_ranks))
    with np.errstate(all="ignore"):  # one value alone has no correlation
        return any(abs(np.corrcoef(*pair)[0, 1]) > COPY for pair in pairs)
