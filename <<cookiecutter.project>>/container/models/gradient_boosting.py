"""Histogram gradient boosting, the default model, which handles missing values and categories by itself."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

from container.data.schema import Schema
from container.inference.activations import softmax
from container.inference.compiled_model import CompiledModel
from container.inference.native import boosting
from container.inference.native.serialization import PORTABLE
from container.models._estimator import Estimator, descends, in_range, threads_for
from container.runtime.errors import UserError
from container.runtime.typing import FloatArray

SET_ROWS = 16  # for each category, from which a split may be by a set of categories
# scikit-learn's own number of trees is 100, at a learning rate of 0.1. It has the weight of 20 validation
# rows, which was best on 57 small tables.
USUAL_SUM, USUAL_ROWS = 10.0, 60


@dataclass(frozen=True)
class Hyperparameters:
    """Hold the hyperparameters by scikit-learn's names.

    Training stops `n_iter_no_change` trees after the score of the validation rows was best. The refit grows
    at most `max_iter` trees.
    """

    learning_rate: float = 0.1
    max_iter: int = 500
    max_leaf_nodes: int = 31
    max_depth: int | None = None
    min_samples_leaf: int = 20
    l2_regularization: float = 0.0
    max_features: float = 1.0
    n_iter_no_change: int = 20


class GradientBoosting(Estimator):
    """Add up trees, each fitted to the errors of the trees before it."""

    kinds = (HistGradientBoostingClassifier, HistGradientBoostingRegressor)
    trusted = (
        "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
        # the encoder of categories: a function of scikit-learn with its arguments
        "functools.partial",
        "sklearn.utils.validation.check_array",
    )

    fitted_rows = 0  # by `fit`

    def fit(
        self, features: FloatArray, target: FloatArray, validation: tuple[FloatArray, FloatArray] | None
    ) -> None:
        """Fit (n, n_features) to a (n,) target; stop early by the score of the validation rows."""
        held_out = {} if validation is None else {"X_val": validation[0], "y_val": validation[1]}
        self.fitted_rows = len(target)
        self.estimator.set_params(early_stopping=bool(held_out), categorical_features=self._sets(features))
        with threads_for(features):
            self.estimator.fit(_filled(features), target, **held_out)

    def _sets(self, features: FloatArray) -> list[int] | None:
        """Return the columns that trees split by sets of categories; they split the others like numbers.

        Of one category and missing values scikit-learn 1.9 makes splits that its predictions do not follow.
        As a number such a column splits into present and missing. Sets leave out a category of fewer than ten
        rows in a node, so a column with few rows for each category is split by the categories' order.
        """
        least, most = np.fmin.reduce(features), np.fmax.reduce(features)
        enough = [len(features) >= SET_ROWS * feature.levels for feature in self.schema.features]
        return [at for at in self.schema.categorical if least[at] < most[at] and enough[at]] or None

    def refit(self, features: FloatArray, target: FloatArray) -> dict[str, Any]:
        """Fit again, with the number of trees that `fit` has found for fewer rows."""
        iterations = self._iterations(len(target))
        self.estimator.set_params(early_stopping=False, max_iter=iterations)
        with threads_for(features):
            self.estimator.fit(_filled(features), target)
        return {"iterations": iterations}

    def _iterations(self, rows: int) -> int:
        """Return how many trees suit the train and validation rows.

        It is the number that gave the validation rows their best score, in proportion to the rows. With few
        validation rows that number is mostly chance, so it is averaged, as a logarithm, with the usual one.
        """
        scores, limit = self.estimator.validation_score_, self.estimator.max_iter
        if not len(scores):
            return int(limit)
        best = max(1, int(np.argmax(scores))) * rows / self.fitted_rows  # the first score is without trees
        numbers = np.log([best, USUAL_SUM / self.estimator.learning_rate])
        mean = np.average(numbers, weights=[rows - self.fitted_rows, USUAL_ROWS])
        return min(max(1, round(float(np.exp(mean)))), int(limit))

    def predict(self, features: FloatArray) -> FloatArray:
        """Return (n,) numbers or (n, classes) probabilities."""
        if self.schema.target.task != "multiclass":
            return super().predict(features)
        return softmax(np.ascontiguousarray(self.estimator.decision_function(features).T))

    def compiled(self) -> CompiledModel:
        """Return the trees as flat arrays."""
        return boosting.compile_model(self.estimator)

    def verify(self) -> None:
        """Check the trees too, since scikit-learn follows their nodes unchecked.

        Raises:
            UserError: a node points outside its tree, or the estimator does not fit the schema.
        """
        super().verify()
        for predictors in self.estimator._predictors:  # noqa: SLF001 - the trees have no public name
            for tree in predictors:
                _verify_tree(tree, len(self.schema.features))


def create(schema: Schema, hyperparameters: Hyperparameters, seed: int) -> GradientBoosting:
    """Return an untrained model for a schema."""
    settings: dict[str, Any] = vars(hyperparameters) | {
        "early_stopping": True,
        "random_state": seed,
    }
    kind = HistGradientBoostingRegressor if schema.target.classes is None else HistGradientBoostingClassifier
    return GradientBoosting(kind(**settings), schema)


def _filled(features: FloatArray) -> FloatArray:
    """Return the features with 0 in columns without any value, which scikit-learn 1.9 can't fit."""
    empty = np.isnan(features).all(axis=0)
    return np.where(empty, 0.0, features) if empty.any() else features


def _verify_tree(tree: Any, features: int) -> None:
    nodes = tree.nodes
    places = np.flatnonzero(nodes["is_leaf"] == 0)
    inner = nodes[places]
    sets = inner[inner["is_categorical"] == 1]
    sound = (
        in_range(inner["feature_idx"], 0, features)
        and descends(places, inner["left"], len(nodes))
        and descends(places, inner["right"], len(nodes))
        and in_range(sets["bitset_idx"], 0, len(tree.raw_left_cat_bitsets))
    )
    if not sound:
        raise UserError(f"{PORTABLE} is damaged: a tree's node points outside of it")


LOADED = GradientBoosting
