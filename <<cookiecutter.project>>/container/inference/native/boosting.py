"""Histogram gradient boosting: trees over doubles and sets of categories, added up to a line's sum."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from container.inference import compiled_model
from container.inference.activations import softmax
from container.inference.compiled_model import Form, Native, UnsuitableError, first
from container.inference.native import trees
from container.inference.native.trees import CATEGORICAL, MISSING_LEFT, Tree

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from container.inference.native.tensor_file import Arrays
    from container.runtime.typing import FloatArray

KIND = "boosting"
SLOT = np.dtype([("value", "<u8"), ("feature", "<u4"), ("ahead", "<u4")])
UNKNOWN = 0xFFFF
MOST_CODES = 256  # that a set's bits can say
MOST_NUMBER = 65536  # above which a category's number takes too much room in a table
SET = 8  # numbers of 32 bits
LINKS = {"IdentityLink": "identity", "LogitLink": "logistic", "MultinomialLogit": "softmax"}
FEATURE = 16  # stands above so many flags


def make(model: Any) -> Form:
    """Return the form of a HistGradientBoostingRegressor or -Classifier with verified nodes."""
    link = type(model._loss.link).__name__  # noqa: SLF001  its parts have no public names
    if link not in LINKS:
        raise UnsuitableError(f"the compiled form knows no {link}")
    predictors = [tree for iteration in model._predictors for tree in iteration]  # noqa: SLF001
    baseline = np.array(model._baseline_prediction, dtype=np.float64).ravel()  # noqa: SLF001
    features = int(model.n_features_in_)
    order, tables = _columns(model, features)
    slots, sets, roots = [], [np.zeros((0, SET), dtype=np.uint32)], [0]
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
    facts = {"features": features, "outputs": outputs, "sums": len(baseline), "link": LINKS[link]}
    return Form(KIND, facts | {"trees": len(predictors), "set_count": len(arrays["sets"])}, arrays)


def _columns(model: Any, features: int) -> tuple[Any, list[NDArray[np.uint16]]]:
    """Return which feature each column of the trees is, and each feature's codes by category."""
    tables = [np.zeros(0, dtype=np.uint16) for _ in range(features)]
    if model.is_categorical_ is None:
        return np.arange(features), tables
    categorical = np.flatnonzero(model.is_categorical_)
    encoder = model._preprocessor.named_transformers_["encoder"]  # noqa: SLF001
    for feature, categories in zip(categorical, encoder.categories_, strict=True):
        tables[feature] = _table(np.asarray(categories, dtype=np.float64))
    return np.concatenate([categorical, np.flatnonzero(~model.is_categorical_)]), tables


def _table(categories: FloatArray) -> NDArray[np.uint16]:
    known = categories[~np.isnan(categories)]  # a missing one stands last
    if len(known) > MOST_CODES or not np.isin(known, np.arange(MOST_NUMBER)).all():
        raise UnsuitableError("the compiled form takes categories that are whole numbers from 0 to 65535")
    table = np.full(int(known.max(initial=0)) + 1, UNKNOWN, dtype=np.uint16)
    table[known.astype(np.int64)] = np.arange(len(known))
    return table


def _slots(nodes: Any, order: Any, sets: int) -> Any:
    leaf = nodes["is_leaf"].astype(bool)
    if leaf[0]:  # every row goes to the left of infinity, and finds the same on both sides
        slots = np.zeros(4, dtype=SLOT)
        slots[0] = (np.float64(np.inf).view(np.uint64), 7, 2)
        slots["value"][2:] = nodes["value"].view(np.uint64)
        return slots
    tree = Tree(nodes["left"].astype(np.int64), nodes["right"].astype(np.int64), leaf, nodes["count"])
    places = trees.place(tree)
    inner = nodes[places.inner]
    categorical = inner["is_categorical"].astype(bool)
    thresholds = np.ascontiguousarray(inner["num_threshold"]).view(np.uint64)
    own_sets = inner["bitset_idx"].astype(np.uint64) + np.uint64(sets)
    flags = places.flags + inner["missing_go_to_left"].astype(bool) * MISSING_LEFT + categorical * CATEGORICAL
    slots = np.zeros(places.slots, dtype=SLOT)
    slots["value"][places.slot[leaf]] = np.ascontiguousarray(nodes["value"][leaf]).view(np.uint64)
    at = places.slot[places.inner]
    slots["value"][at] = np.where(categorical, own_sets, thresholds)
    slots["feature"][at] = order[inner["feature_idx"]] * FEATURE + flags
    slots["ahead"][at] = places.ahead
    return slots


class Boosting(Native):
    """Add trees to a baseline, for a regression or for classes."""

    name = "boosting_predict"
    pointers = ("slots", "roots", "baseline", "sets", "code_from", "codes")
    numbers = ("trees", "features", "sums", "set_count")

    def __init__(self, *given: Any) -> None:
        """Take a form; refuse one in which a walk would lead outside."""
        super().__init__(*given)
        self.logistic = self.calls.logistic
        self.logistic.argtypes, self.logistic.restype = (
            [compiled_model.NUMBERS, compiled_model.COUNT, compiled_model.NUMBERS],
            None,
        )
        links = {"identity": self._identity, "logistic": self._logistic, "softmax": softmax}
        self.link: Callable[[FloatArray], FloatArray] = links[self.facts["link"]]
        if not compiled_model.sound(self.calls.boosting_is_sound, self.model, len(self.arrays["slots"])):
            raise ValueError("a tree's node points outside of it")

    def check(self) -> None:
        """Refuse arrays that do not fit one another."""
        facts, roots, starts = self.facts, self.arrays["roots"], self.arrays["code_from"]
        codes, slots = self.arrays["codes"], len(self.arrays["slots"])
        self.expect("slots", "<u8", slots, 2)
        self.expect("roots", "<u8", facts["trees"] + 1)
        self.expect("baseline", "<f8", facts["sums"])
        self.expect("sets", "<u4", facts["set_count"], SET)
        self.expect("code_from", "<u8", self.features + 1)
        self.expect("codes", "<u2", len(codes))
        counts = {"identity": (1, 1), "logistic": (1, 2), "softmax": (self.outputs, self.outputs)}
        if counts[facts["link"]] != (facts["sums"], self.outputs) or self.features < 1:
            raise ValueError("its numbers are none of boosted trees")
        if roots[0] != 0 or roots[-1] != slots or (roots[1:] <= roots[:-1]).any():
            raise ValueError("its trees do not follow one another")
        if starts[0] != 0 or starts[-1] != len(codes) or (starts[1:] < starts[:-1]).any():
            raise ValueError("its codes do not follow one another")
        if ((codes >= MOST_CODES) & (codes != UNKNOWN)).any():
            raise ValueError("a code has no place in a set")

    @property
    def is_final(self) -> bool:
        """Tell whether nothing is done to the sums."""
        return bool(self.facts["link"] == "identity")

    def predict(self, features: FloatArray) -> FloatArray:
        """Return (n,) numbers or (n, classes) probabilities."""
        rows = self.rows(features)
        sums = np.empty((self.facts["sums"], len(rows)))
        self.fill(rows, sums)
        return self.link(sums)

    @staticmethod
    def _identity(sums: FloatArray) -> FloatArray:
        answers: FloatArray = sums[0]
        return answers

    def _logistic(self, sums: FloatArray) -> FloatArray:
        answers = np.empty((sums.shape[1], 2))
        if len(answers):
            self.logistic(first(sums), len(answers), first(answers))
        return answers
