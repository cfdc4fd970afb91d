"""Random forests: eight bytes a node, half of them a threshold as precise as what it is compared with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from container.inference import compiled_model
from container.inference.compiled_model import Form, Native, UnsuitableError
from container.inference.native import trees
from container.inference.native.trees import MISSING_LEFT, Tree

if TYPE_CHECKING:
    from container.inference.native.tensor_file import Arrays
    from container.runtime.typing import FloatArray

Slots = NDArray[np.uint64]
BITS = 29  # of a node are for its feature and for how far ahead its children are
KIND = "forest"


def make(forest: Any) -> Form:
    """Return the form of a trained RandomForestRegressor or -Classifier, whose nodes were verified.

    Trees compare floats: a threshold is the greatest float that is not above scikit-learn's double.
    """
    features, estimators = int(forest.n_features_in_), [each.tree_ for each in forest.estimators_]
    outputs = int(estimators[0].value[0].size)
    feature_bits = max(1, (features - 1).bit_length())
    slots, values, roots = [], [], [0]
    leaves = 0
    for tree in estimators:
        contents = _leaf_contents(tree, outputs, leaves)
        slots.append(_slots(tree, contents, feature_bits))
        roots.append(roots[-1] + len(slots[-1]))
        if outputs > 1:
            values.append(tree.value[tree.children_left == -1].reshape(-1, outputs))
            leaves += len(values[-1])
    arrays: Arrays = {"slots": np.concatenate(slots), "roots": np.array(roots, dtype=np.uint64)}
    if outputs > 1:
        arrays["values"] = np.concatenate(values)
    facts = {"features": features, "outputs": outputs, "trees": len(estimators)}
    return Form(KIND, facts | {"leaves": leaves, "feature_bits": feature_bits}, arrays)


def _leaf_contents(tree: Any, outputs: int, leaves: int) -> Slots:
    """Return what each node's slot holds if it is a leaf: its value, or the number of its row of values."""
    if outputs == 1:
        return np.ascontiguousarray(tree.value[:, 0, 0]).view(np.uint64)
    return np.cumsum(tree.children_left == -1).astype(np.uint64) + np.uint64(leaves) - np.uint64(1)


def _slots(tree: Any, contents: Slots, feature_bits: int) -> Slots:
    leaf = tree.children_left == -1
    if leaf[0]:  # every row goes to the left of infinity, and finds the same on both sides
        node = _pack(
            np.array([np.inf], dtype=np.float32), np.array([2]), feature_bits, np.array([0]), np.array([7])
        )
        return np.concatenate([node, np.zeros(1, np.uint64), contents, contents])
    places = trees.place(Tree(tree.children_left, tree.children_right, leaf, tree.n_node_samples))
    inner = places.inner
    if places.ahead.max() >= 2 ** (BITS - feature_bits):
        raise UnsuitableError("a tree is too large for the compiled form of so many features")
    flags = places.flags + tree.missing_go_to_left[inner].astype(bool) * MISSING_LEFT
    slots = np.zeros(places.slots, dtype=np.uint64)
    slots[places.slot[leaf]] = contents[leaf]
    slots[places.slot[inner]] = _pack(
        _floats(tree.threshold[inner]), places.ahead, feature_bits, tree.feature[inner], flags
    )
    return slots


def _pack(thresholds: NDArray[np.float32], ahead: Any, feature_bits: int, features: Any, flags: Any) -> Slots:
    high = (ahead * 2**feature_bits + features) * 8 + flags
    packed: Slots = thresholds.view(np.uint32).astype(np.uint64) + high.astype(np.uint64) * np.uint64(2**32)
    return packed


def _floats(thresholds: FloatArray) -> NDArray[np.float32]:
    rounded = thresholds.astype(np.float32)
    above = rounded.astype(np.float64) > thresholds
    return np.where(above, np.nextafter(rounded, np.float32(-np.inf)), rounded)


class Forest(Native):
    """Average trees, for a regression or for classes."""

    name = "forest_predict"
    pointers = ("slots", "roots", "values")
    numbers = ("trees", "features", "outputs", "leaves", "feature_bits")

    def __init__(self, *given: Any) -> None:
        """Take a form; refuse one in which a walk would lead outside."""
        super().__init__(*given)
        if not compiled_model.sound(self.calls.forest_is_sound, self.model, len(self.arrays["slots"])):
            raise ValueError("a tree's node points outside of it")

    def check(self) -> None:
        """Refuse arrays that do not fit one another."""
        facts, roots = self.facts, self.arrays["roots"]
        self.expect("slots", "<u8", len(self.arrays["slots"]))
        self.expect("roots", "<u8", facts["trees"] + 1)
        counts = (facts["trees"], self.features, self.outputs)
        if not 1 <= facts["feature_bits"] < BITS or min(counts) < 1:
            raise ValueError("its numbers are none of a forest")
        if roots[0] != 0 or roots[-1] != len(self.arrays["slots"]) or (roots[1:] <= roots[:-1]).any():
            raise ValueError("its trees do not follow one another")
        if (self.outputs > 1) != ("values" in self.arrays):
            raise ValueError("its leaves do not fit the number of its outputs")
        if self.outputs > 1:
            self.expect("values", "<f8", facts["leaves"], self.outputs)

    @property
    def is_final(self) -> bool:
        """Tell whether this is a regression."""
        return bool(self.outputs == 1)

    def predict(self, features: FloatArray) -> FloatArray:
        """Return (n,) numbers, or (n, outputs)."""
        rows = self.rows(features)
        answers = np.empty((len(rows), self.outputs))
        self.fill(rows, answers)
        return answers if self.outputs > 1 else answers[:, 0]
