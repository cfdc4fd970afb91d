"""A straight line for numbers, a logistic curve for classes; gaps, scales and categories are its own."""

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

LARGEST = 1e150  # a sum of weighted inputs stays a number


@dataclass(frozen=True)
class Hyperparameters:
    """Hold the strength of the penalty on large weights, and how long to look for a logistic curve."""

    alpha: float = 1.0
    max_iter: int = 1000


class LinearRegression(Estimator):
    """Weigh each input; missing numbers are the median, missing and unknown categories weigh nothing."""

    kinds = (Pipeline,)
    trusted = ("numpy.dtype",)

    def predict(self, features: FloatArray) -> FloatArray:
        """Return (n,) numbers or (n, classes) probabilities.

        A product of matrices rounds a row differently among others than alone. Adding one by one, in the
        order of the inputs, does not, and the compiled form does the same.
        """
        inputs = np.clip(np.ascontiguousarray(self.estimator[:-1].transform(features)), -LARGEST, LARGEST)
        weights, offsets = self._line()
        scores = np.zeros((len(inputs), len(weights)))
        for column, each in zip(inputs.T, weights.T, strict=True):
            scores += column[:, np.newaxis] * each
        scores += offsets
        return probabilities(scores) if self.classifies else scores[:, 0]

    def compiled(self) -> CompiledModel:
        """Return the line as flat arrays."""
        weights, offsets = self._line()
        numeric, categorical = _places(self.schema)
        parts: dict[str, Any] = {"numbers": [], "fill": [], "mean": [], "scale": []}
        if numeric:
            filling, scaling = self.estimator["inputs"].named_transformers_["numeric"]
            kept = ~np.isnan(filling.statistics_)  # a column without any value is left out
            parts = {"numbers": np.array(numeric)[kept], "fill": filling.statistics_[kept]}
            parts |= {"mean": scaling.mean_, "scale": scaling.scale_}
        parts |= {
            "categories": categorical,
            "levels": [self.schema.features[place].levels for place in categorical],
        }
        parts |= {"weights": weights, "offsets": offsets, "largest": [LARGEST]}
        return linear.compile_model(len(self.schema.features), parts, classifies=self.classifies)

    def _line(self) -> tuple[FloatArray, FloatArray]:
        """Return (scores, inputs) weights and (scores,) offsets."""
        last = self.estimator[-1]
        return np.atleast_2d(last.coef_), np.atleast_1d(last.intercept_)


def create(schema: Schema, hyperparameters: Hyperparameters, seed: int) -> LinearRegression:
    """Return an untrained model for a schema."""
    if schema.target.classes is None:
        linear: Any = Ridge(alpha=hyperparameters.alpha)
    else:
        linear = LogisticRegression(
            C=1 / hyperparameters.alpha, max_iter=hyperparameters.max_iter, random_state=seed
        )
    return LinearRegression(Pipeline([("inputs", _inputs(schema)), ("line", linear)]), schema)


def _inputs(schema: Schema) -> ColumnTransformer:
    numeric, categorical = _places(schema)
    known = [[float(code) for code in range(schema.features[place].levels)] for place in categorical]
    filled = Pipeline([("fill", SimpleImputer(strategy="median")), ("scale", StandardScaler())])
    spread = OneHotEncoder(categories=known, handle_unknown="ignore", sparse_output=False)
    return ColumnTransformer([("numeric", filled, numeric), ("categorical", spread, categorical)])


def _places(schema: Schema) -> tuple[list[int], list[int]]:
    """Return the places of the features that are numbers, and of those that are categories."""
    categorical = list(schema.categorical)
    return [place for place in range(len(schema.features)) if place not in categorical], categorical


LOADED = LinearRegression
