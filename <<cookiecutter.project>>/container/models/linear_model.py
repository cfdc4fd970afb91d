"""Linear models: ridge regression for numbers, logistic regression for classes.

They fill missing values, scale numbers and one-hot encode categories by themselves.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from container.data.schema import Schema
from container.inference.compiled_model import CompiledModel
from container.inference.native import linear
from container.inference.native.linear import probabilities
from container.models._estimator import Estimator
from container.runtime.typing import FloatArray

MAX_INPUT = 1e150  # so that a sum of weighted inputs stays finite


@dataclass(frozen=True)
class Hyperparameters:
    """Hold the strength of the L2 penalty, and the maximum of iterations of the logistic regression."""

    alpha: float = 1.0
    max_iter: int = 1000


class LinearModel(Estimator):
    """Add up weighted inputs; a missing number is the median, a missing or unknown category adds nothing."""

    kinds = (Pipeline,)
    trusted = ("numpy.dtype",)

    def refit(self, features: FloatArray, target: FloatArray) -> dict[str, Any]:
        """Fit again; nothing depends on the validation rows."""
        self.fit(features, target, None)
        return {}

    def predict(self, features: FloatArray) -> FloatArray:
        """Return (n,) numbers or (n, classes) probabilities.

        A matrix product may round a row differently alone and among others. Adding the inputs one by one, in
        their order, always gives the same bits, and the compiled form adds in the same way.
        """
        inputs = np.clip(np.ascontiguousarray(self.estimator[:-1].transform(features)), -MAX_INPUT, MAX_INPUT)
        weights, offsets = self._coefficients()
        scores = np.zeros((len(inputs), len(weights)))
        for column, each in zip(inputs.T, weights.T, strict=True):
            scores += column[:, np.newaxis] * each
        scores += offsets
        return probabilities(scores) if self.classifies else scores[:, 0]

    def compiled(self) -> CompiledModel:
        """Return the weights as flat arrays."""
        weights, offsets = self._coefficients()
        numeric, categorical = _indices(self.schema)
        parts: dict[str, Any] = {"numbers": [], "fill": [], "mean": [], "scale": []}
        if numeric:
            imputer, scaler = self.estimator["inputs"].named_transformers_["numeric"]
            kept = ~np.isnan(imputer.statistics_)  # a column without any value is left out
            parts = {"numbers": np.array(numeric)[kept], "fill": imputer.statistics_[kept]}
            parts |= {"mean": scaler.mean_, "scale": scaler.scale_}
        parts |= {
            "categories": categorical,
            "levels": [self.schema.features[index].levels for index in categorical],
        }
        parts |= {"weights": weights, "offsets": offsets, "largest": [MAX_INPUT]}
        return linear.compile_model(len(self.schema.features), parts, classifies=self.classifies)

    def _coefficients(self) -> tuple[FloatArray, FloatArray]:
        """Return (scores, inputs) weights and (scores,) offsets."""
        last = self.estimator[-1]
        return np.atleast_2d(last.coef_), np.atleast_1d(last.intercept_)


def create(schema: Schema, hyperparameters: Hyperparameters, seed: int) -> LinearModel:
    """Return an untrained model for a schema."""
    if schema.target.classes is None:
        linear: Any = Ridge(alpha=hyperparameters.alpha)
    else:
        linear = LogisticRegression(
            C=1 / hyperparameters.alpha, max_iter=hyperparameters.max_iter, random_state=seed
        )
    return LinearModel(Pipeline([("inputs", _inputs(schema)), ("line", linear)]), schema)


def _inputs(schema: Schema) -> ColumnTransformer:
    numeric, categorical = _indices(schema)
    levels = [[float(code) for code in range(schema.features[index].levels)] for index in categorical]
    filled = Pipeline([("fill", SimpleImputer(strategy="median")), ("scale", StandardScaler())])
    spread = OneHotEncoder(categories=levels, handle_unknown="ignore", sparse_output=False)
    return ColumnTransformer([("numeric", filled, numeric), ("categorical", spread, categorical)])


def _indices(schema: Schema) -> tuple[list[int], list[int]]:
    """Return the indices of the features that are not categorical, and of those that are."""
    categorical = list(schema.categorical)
    return [index for index in range(len(schema.features)) if index not in categorical], categorical


LOADED = LinearModel
