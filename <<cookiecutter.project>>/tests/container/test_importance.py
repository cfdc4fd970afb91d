"""The importance of a feature is what the model's score loses without it."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from sklearn.inspection import permutation_importance
from sklearn.linear_model import LinearRegression, LogisticRegression

from container.data.encode import TabularDataset
from container.data.schema import Feature, Schema, Target
from container.evaluation import importance
from container.model_artifact import ModelArtifact
from container.runtime.typing import FloatArray

NUMBER, CLASSES = Target("y", "regression"), Target("y", "binary", ("no", "yes"))
FEATURES = tuple(Feature(name, "numeric") for name in ("noise", "little", "much"))


class Fitted:
    """Wrap what scikit-learn has fitted as evaluation sees it."""

    def __init__(self, estimator: LinearRegression | LogisticRegression) -> None:
        """Keep the estimator."""
        self.estimator = estimator

    def predict(self, features: FloatArray) -> FloatArray:
        """Return numbers or probabilities."""
        of_classes = isinstance(self.estimator, LogisticRegression)
        made: FloatArray = (self.estimator.predict_proba if of_classes else self.estimator.predict)(features)
        return made


def rows(target: Target, count: int = 900) -> TabularDataset:
    random = np.random.default_rng(2)
    features = random.normal(size=(count, 3))
    score = features @ [0.0, 1.0, 3.0] + random.normal(size=count) / 2
    return TabularDataset(
        pl.DataFrame(), features, score if target.classes is None else (score > 0).astype(np.float64)
    )


@pytest.mark.parametrize(
    ("target", "estimator", "metric", "scoring"),
    [
        (NUMBER, LinearRegression(), "rmse", "neg_root_mean_squared_error"),
        (CLASSES, LogisticRegression(), "auc", "roc_auc"),
    ],
)
def test_importances_are_those_of_scikit_learn(
    target: Target, estimator: LinearRegression | LogisticRegression, metric: str, scoring: str
) -> None:
    """Protects size, order and sign; other shuffles differ by a few deviations of the repeats' mean."""
    given = rows(target)
    estimator.fit(given.features, given.target)
    loaded = ModelArtifact(Schema(target, FEATURES), Fitted(estimator), "linear")
    document = importance.measure(loaded, given)
    assert document is not None
    assert document == importance.measure(loaded, given)
    assert document["version"] == "1.0"
    found = document["explanations"]["permutation_importance"]["y"]
    assert (found["metric"], found["rows"]) == (metric, 900)
    assert list(found["global_importances"]) == ["much", "little", "noise"]
    theirs = permutation_importance(
        estimator, given.features, given.target, scoring=scoring, n_repeats=20, random_state=0
    )
    for place, feature in enumerate(FEATURES):
        allowed = 4 * theirs.importances_std[place] / np.sqrt(importance.REPEATS) + 1e-3
        mean = theirs.importances_mean[place]
        assert found["global_importances"][feature.name] == pytest.approx(mean, abs=allowed)


def test_rows_are_few_and_fewer_in_a_wide_table() -> None:
    """Protects the evaluation's time: the number of predictions is bounded for every table."""
    assert [importance.rows_to_predict(10**6, width) for width in (1, 100, 500, 1000)] == [
        1000,
        1000,
        200,
        100,
    ]
    assert importance.rows_to_predict(36, 13) == 36


@pytest.mark.parametrize("schema", ["pictures", "wide"])
def test_what_can_not_be_explained_is_left_out(schema: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A pixel has no meaning as a feature, and each of 1,001 features would get too few rows."""
    wide = Schema(NUMBER, tuple(Feature(f"f{number}", "numeric") for number in range(1001)))
    chosen = {"pictures": replace(wide, features=(), side=8), "wide": wide}[schema]
    loaded = ModelArtifact(chosen, Fitted(LinearRegression()), "any")
    assert importance.measure(loaded, rows(NUMBER)) is None
    assert ("1001 features are too many" in capsys.readouterr().out) == (schema == "wide")
