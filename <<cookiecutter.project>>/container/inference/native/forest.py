"""Random forests: eight bytes a node, of which four are a threshold in the precision of the features."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from container.inference.compiled_model import CompiledModel, NativePredictor, UnsupportedModelError
from container.inference.native import trees
from container.inference.native.trees import MISSING_LEFT, Tree

if TYPE_CHECKING:
    from container.inference.native.tensor_file import Arrays
    from container.runtime.typing import FloatArray

Slots = NDArray[np.uint64]
NODE_BITS = 29  # of a node, for its feature and the distance to its children
KIND = "forest"


def compile_model(forest: Any) -> CompiledModel:
    """Compile a trained RandomForestRegressor or -Classifier, whose nodes must be consistent.

    scikit-learn compares features of 32 bits with thresholds of 64. The greatest float that is not above such
    a threshold splits these features the same way.

    Raises:
        UnsupportedModelError: a tree has too many nodes for the bits of a slot.
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
    metadata = {"features": features, "outputs": outputs, "trees": len(estimators)}
    return CompiledModel(KIND, metadata | {"leaves": leaves, "feature_bits": feature_bits}, arrays)


def _leaf_contents(tree: Any, outputs: int, leaves: int) -> Slots:
    """Return each node's slot if the node is a leaf: its value, or the index of its row of values."""
    if outputs == 1:
        return np.ascontiguousarray(tree.value[:, 0, 0]).view(np.uint64)
    return np.cumsum(tree.children_left == -1).astype(np.uint64) + np.uint64(leaves) - np.uint64(1)


def _slots(tree: Any, contents: Slots, feature_bits: int) -> Slots:
    leaf = tree.children_left == -1
    if leaf[0]:  # an inner root whose two children are this leaf, since trees.c starts at an inner node
        node = _pack(
            np.array([np.inf], dtype=np.float32), np.array([2]), feature_bits, np.array([0]), np.array([7])
        )
        return np.concatenate([node, np.zeros(1, np.uint64), contents, contents])
    layout = trees.lay_out(Tree(tree.children_left, tree.children_right, leaf, tree.n_node_samples))
    inner = layout.inner
    if layout.ahead.max() >= 2 ** (NODE_BITS - feature_bits):
        raise UnsupportedModelError("a tree is too large for the compiled form with this number of features")
    flags = layout.flags + tree.missing_go_to_left[inner].astype(bool) * MISSING_LEFT
    slots = np.zeros(layout.slots, dtype=np.uint64)
    slots[layout.slot[leaf]] = contents[leaf]
    slots[layout.slot[inner]] = _pack(
        _floats(tree.threshold[inner]), layout.ahead, feature_bits, tree.feature[inner], flags
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


class ForestPredictor(NativePredictor):
    """Average the values of trees, for a regression or for classes."""

    predict_function = "forest_predict"
    validate_function = "forest_is_valid"
    array_fields = ("slots", "roots", "values")
    count_fields = ("trees", "features", "outputs", "leaves", "feature_bits")

    def check(self) -> None:
        """Check the arrays' shapes, and each index in them but the slots' (`forest_is_valid` checks these).

        Raises:
            ValueError: one of them does not fit.
        """
        metadata, roots = self.metadata, self.arrays["roots"]
        self.check_array("slots", "<u8", len(self.arrays["slots"]))
        self.check_array("roots", "<u8", metadata["trees"] + 1)
        counts = (metadata["trees"], self.features, self.outputs)
        if not 1 <= metadata["feature_bits"] < NODE_BITS or min(counts) < 1:
            raise ValueError("its numbers are none of a forest")
        if roots[0] != 0 or roots[-1] != len(self.arrays["slots"]) or (roots[1:] <= roots[:-1]).any():
            raise ValueError("its trees do not follow one another")
        if (self.outputs > 1) != ("values" in self.arrays):
            raise ValueError("its leaves do not fit the number of its outputs")
        if self.outputs > 1:
            self.check_array("values", "<f8", metadata["leaves"], self.outputs)

    @property
    def returns_scores(self) -> bool:
        """Return whether the forest has one output, as a regression's."""
        return bool(self.outputs == 1)

    def predict(self, features: FloatArray) -> FloatArray:
        """Return (n,) numbers, or (n, outputs)."""
        rows = self.to_rows(features)
        means = np.empty((len(rows), self.outputs))
        self.predict_into(rows, means)
        return means if self.outputs > 1 else means[:, 0]
