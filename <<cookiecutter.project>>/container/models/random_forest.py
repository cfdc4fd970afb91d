"""A random forest: the average of many trees, each fitted to a sample of the rows."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

from container.data.schema import Schema
from container.inference.compiled_model import CompiledModel
from container.inference.native import forest
from container.inference.native.serialization import PORTABLE
from container.models._estimator import Estimator, descends, in_range
from container.runtime.errors import UserError
from container.runtime.typing import FloatArray

LARGEST = float(np.finfo(np.float32).max)


@dataclass(frozen=True)
class Hyperparameters:
    """Hold hyperparameters by scikit-learn's names; smaller leaves make forests better and much larger."""

    n_estimators: int = 100
    max_depth: int | None = None
    min_samples_leaf: int = 2
    max_features: float = 0.4


class RandomForest(Estimator):
    """Average trees; the number of a category is its index in the schema's list."""

    kinds = (RandomForestClassifier, RandomForestRegressor)
    trusted = ("sklearn.tree._tree.Tree",)

    def fit(
        self, features: FloatArray, target: FloatArray, validation: tuple[FloatArray, FloatArray] | None
    ) -> None:
        """Fit on all processors; predictions use one, so that sums have a fixed order."""
        self.estimator.set_params(n_jobs=-1)
        super().fit(_clipped(features), target, validation)
        self.estimator.set_params(n_jobs=1)

    def refit(self, features: FloatArray, target: FloatArray) -> dict[str, Any]:
        """Fit again; nothing depends on the validation rows."""
        self.fit(features, target, None)
        return {}

    def predict(self, features: FloatArray) -> FloatArray:
        """Return (n,) numbers or (n, classes) probabilities for (n, n_features)."""
        return super().predict(_clipped(features))

    def compiled(self) -> CompiledModel:
        """Return the forest as flat arrays."""
        return forest.compile_model(self.estimator)

    def verify(self) -> None:
        """Check the trees too, since scikit-learn follows their nodes unchecked.

        Raises:
            UserError: a node points outside its tree, or the estimator does not fit the schema.
        """
        super().verify()
        for tree in self.estimator.estimators_:
            _verify_tree(tree.tree_, self.estimator, len(self.schema.features))
        self.estimator.set_params(n_jobs=1)


def create(schema: Schema, hyperparameters: Hyperparameters, seed: int) -> RandomForest:
    """Return an untrained model for a schema."""
    kind = RandomForestRegressor if schema.target.classes is None else RandomForestClassifier
    return RandomForest(kind(**vars(hyperparameters), random_state=seed), schema)


def _clipped(features: FloatArray) -> FloatArray:
    """Return (n, n_features) clipped to the range of 32-bit floats, in which these trees compare."""
    return np.clip(features, -LARGEST, LARGEST)


def _verify_tree(tree: Any, estimator: Any, features: int) -> None:
    places = np.flatnonzero(tree.children_left != -1)
    outputs = getattr(estimator, "n_classes_", 1)
    sound = (
        descends(places, tree.children_left[places], tree.node_count)
        and descends(places, tree.children_right[places], tree.node_count)
        and in_range(tree.feature[places], 0, features)
        and tree.value.shape == (tree.node_count, 1, outputs)
    )
    if not sound:
        raise UserError(f"{PORTABLE} is damaged: a tree's node points outside of it")


LOADED = RandomForest
