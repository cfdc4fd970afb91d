"""Histogram gradient boosting: trees over doubles and sets of categories, added up to a score."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from container.inference.activations import softmax
from container.inference.compiled_model import (
    DOUBLES,
    UINT64,
    CompiledModel,
    NativePredictor,
    UnsupportedModelError,
    data_pointer,
)
from container.inference.native import trees
from container.inference.native.trees import CATEGORICAL, MISSING_LEFT, Tree

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from container.inference.native.library import Library
    from container.inference.native.tensor_file import Arrays
    from container.runtime.typing import FloatArray

KIND = "boosting"
SLOT = np.dtype([("value", "<u8"), ("feature", "<u4"), ("ahead", "<u4")])
UNKNOWN = 0xFFFF  # the code of a category that training did not see, as in trees.c
MAX_CODES = 256  # scikit-learn's sets of categories have a bit for each code
CATEGORY_LIMIT = 65536  # the table of codes by category would take too much memory above it
SET_WORDS = 8  # 32 bits each
LINKS = {"IdentityLink": "identity", "LogitLink": "logistic", "MultinomialLogit": "softmax"}
FLAG_VALUES = 16  # a slot has its feature times this, plus flags


def compile_model(model: Any) -> CompiledModel:
    """Compile a trained HistGradientBoostingRegressor or -Classifier, whose nodes must be consistent.

    Raises:
        UnsupportedModelError: for another loss, or categories that are not small whole numbers.
    """
    link = type(model._loss.link).__name__  # noqa: SLF001 - its parts have no public names
    if link not in LINKS:
        raise UnsupportedModelError(f"the compiled form knows no {link}")
    predictors = [tree for iteration in model._predictors for tree in iteration]  # noqa: SLF001 - as above
    baseline = np.array(model._baseline_prediction, dtype=np.float64).ravel()  # noqa: SLF001 - as above
    features = int(model.n_features_in_)
    order, tables = _columns(model, features)
    slots, sets, roots = [], [np.zeros((0, SET_WORDS), dtype=np.uint32)], [0]
    for tree in predictors:
        slots.append(_slots(tree.nodes, order, sum(map(len, sets))))
        sets.append(tree.raw_left_cat_bitsets)
        roots.append(roots[-1] + len(slots[-1]))
    arrays: Arrays = {
        "slots": np.concatenate(slots).view(np.uint64).reshape(-1, 2),
        "roots": np.array(roots, dtype=np.uint64),
        "baseline": baseline,
        "sets": np.concatenate(sets),
        "code_from": np.cumsum([0, *map(len, tables)]).astype(np.uint64),
        "codes": np.concatenate(tables),
    }
    outputs = len(baseline) + (link == "LogitLink")
    metadata = {"features": features, "outputs": outputs, "sums": len(baseline), "link": LINKS[link]}
    counts = {"trees": len(predictors), "set_count": len(arrays["sets"])}
    return CompiledModel(KIND, metadata | counts, arrays)


def _columns(model: Any, features: int) -> tuple[Any, list[NDArray[np.uint16]]]:
    """Return the feature of each column that the trees use, and each feature's codes by category."""
    tables = [np.zeros(0, dtype=np.uint16) for _ in range(features)]
    if model.is_categorical_ is None:
        return np.arange(features), tables
    categorical = np.flatnonzero(model.is_categorical_)
    encoder = model._preprocessor.named_transformers_["encoder"]  # noqa: SLF001 - no public name
    for feature, categories in zip(categorical, encoder.categories_, strict=True):
        tables[feature] = _table(np.asarray(categories, dtype=np.float64))
    return np.concatenate([categorical, np.flatnonzero(~model.is_categorical_)]), tables


def _table(categories: FloatArray) -> NDArray[np.uint16]:
    known = categories[~np.isnan(categories)]  # scikit-learn gives the missing category the last code
    if len(known) > MAX_CODES or not np.isin(known, np.arange(CATEGORY_LIMIT)).all():
        raise UnsupportedModelError(
            "the compiled form takes categories that are whole numbers from 0 to 65535"
        )
    table = np.full(int(known.max(initial=0)) + 1, UNKNOWN, dtype=np.uint16)
    table[known.astype(np.int64)] = np.arange(len(known))
    return table


def _slots(nodes: Any, order: Any, sets: int) -> Any:
    leaf = nodes["is_leaf"].astype(bool)
    if leaf[0]:  # an inner root whose two children are this leaf, since trees.c starts at an inner node
        slots = np.zeros(4, dtype=SLOT)
        slots[0] = (np.float64(np.inf).view(np.uint64), 7, 2)
        slots["value"][2:] = nodes["value"].view(np.uint64)
        return slots
    tree = Tree(nodes["left"].astype(np.int64), nodes["right"].astype(np.int64), leaf, nodes["count"])
    layout = trees.lay_out(tree)
    inner = nodes[layout.inner]
    categorical = inner["is_categorical"].astype(bool)
    thresholds = np.ascontiguousarray(inner["num_threshold"]).view(np.uint64)
    own_sets = inner["bitset_idx"].astype(np.uint64) + np.uint64(sets)
    flags = layout.flags + inner["missing_go_to_left"].astype(bool) * MISSING_LEFT + categorical * CATEGORICAL
    slots = np.zeros(layout.slots, dtype=SLOT)
    slots["value"][layout.slot[leaf]] = np.ascontiguousarray(nodes["value"][leaf]).view(np.uint64)
    at = layout.slot[layout.inner]
    slots["value"][at] = np.where(categorical, own_sets, thresholds)
    slots["feature"][at] = order[inner["feature_idx"]] * FLAG_VALUES + flags
    slots["ahead"][at] = layout.ahead
    return slots


class BoostingPredictor(NativePredictor):
    """Add the values of trees to a baseline, for a regression or for classes."""

    predict_function = "boosting_predict"
    validate_function = "boosting_is_valid"
    array_fields = ("slots", "roots", "baseline", "sets", "code_from", "codes")
    count_fields = ("trees", "features", "sums", "set_count")

    def __init__(self, library: Library, metadata: dict[str, Any], arrays: Arrays) -> None:
        """Take the parts of a compiled model as they were read from a file, which may be damaged.

        Raises:
            ValueError: the parts do not fit one another, or an index in the arrays leads outside.
        """
        super().__init__(library, metadata, arrays)
        self.logistic = library.function("logistic", releases_gil=True)
        self.logistic.argtypes, self.logistic.restype = [DOUBLES, UINT64, DOUBLES], None
        links = {"identity": self._identity, "logistic": self._logistic, "softmax": softmax}
        self.link: Callable[[FloatArray], FloatArray] = links[metadata["link"]]

    def check(self) -> None:
        """Check the arrays' shapes, and each index in them but the slots' (`boosting_is_valid` checks these).

        Raises:
            ValueError: one of them does not fit.
        """
        metadata, roots, starts = self.metadata, self.arrays["roots"], self.arrays["code_from"]
        codes, slots = self.arrays["codes"], len(self.arrays["slots"])
        self.check_array("slots", "<u8", slots, 2)
        self.check_array("roots", "<u8", metadata["trees"] + 1)
        self.check_array("baseline", "<f8", metadata["sums"])
        self.check_array("sets", "<u4", metadata["set_count"], SET_WORDS)
        self.check_array("code_from", "<u8", self.features + 1)
        self.check_array("codes", "<u2", len(codes))
        counts = {"identity": (1, 1), "logistic": (1, 2), "softmax": (self.outputs, self.outputs)}
        if counts[metadata["link"]] != (metadata["sums"], self.outputs) or self.features < 1:
            raise ValueError("its numbers are none of boosted trees")
        if roots[0] != 0 or roots[-1] != slots or (roots[1:] <= roots[:-1]).any():
            raise ValueError("its trees do not follow one another")
        if starts[0] != 0 or starts[-1] != len(codes) or (starts[1:] < starts[:-1]).any():
            raise ValueError("its codes do not follow one another")
        if ((codes >= MAX_CODES) & (codes != UNKNOWN)).any():
            raise ValueError("a code has no place in a set")

    @property
    def returns_scores(self) -> bool:
        """Return whether the sums of the trees are the predictions."""
        return bool(self.metadata["link"] == "identity")

    def predict(self, features: FloatArray) -> FloatArray:
        """Return (n,) numbers or (n, classes) probabilities."""
        rows = self.to_rows(features)
        sums = np.empty((self.metadata["sums"], len(rows)))
        self.predict_into(rows, sums)
        return self.link(sums)

    @staticmethod
    def _identity(sums: FloatArray) -> FloatArray:
        numbers: FloatArray = sums[0]
        return numbers

    def _logistic(self, sums: FloatArray) -> FloatArray:
        probabilities = np.empty((sums.shape[1], 2))
        if len(probabilities):
            self.logistic(data_pointer(sums), len(probabilities), data_pointer(probabilities))
        return probabilities
