"""The metrics are scikit-learn's."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as reference

from container.data import metrics
from container.data.schema import Target

numbers = st.floats(-1e6, 1e6)
NAMES = ("accuracy", "precision", "recall", "f1")


@given(st.lists(st.tuples(numbers, numbers), min_size=2, max_size=50))
def test_regression_metrics(pairs: list[tuple[float, float]]) -> None:
    """Protects mae, mse, rmse and r2."""
    labels, predicted = np.array(pairs).T
    made = metrics.regression(labels, predicted)
    assert made["mae"] == pytest.approx(reference.mean_absolute_error(labels, predicted))
    assert made["mse"] == pytest.approx(reference.mean_squared_error(labels, predicted))
    assert made["rmse"] == pytest.approx(reference.root_mean_squared_error(labels, predicted))
    if np.var(labels) > 1e-6:
        assert made["r2"] == pytest.approx(reference.r2_score(labels, predicted))


@given(st.integers(2, 4), st.integers(5, 60), st.integers(0, 1000))
def test_classification_metrics(classes: int, rows: int, seed: int) -> None:
    """Protects accuracy, precision, recall, f1 and auc, of two classes and of more; ties included."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, classes, rows).astype(np.float64)
    labels[:classes] = range(classes)
    predicted = random.integers(1, 5, (rows, classes)) / 4.0
    predicted /= predicted.sum(axis=1, keepdims=True)
    binary = classes == 2
    target = Target("y", "binary" if binary else "multiclass", tuple("abcd"[:classes]))
    made = metrics.scores(labels, predicted, target)
    chosen, average = predicted.argmax(axis=1), "binary" if binary else "weighted"
    options = {"average": average, "zero_division": 0}
    expected = [
        reference.accuracy_score(labels, chosen),
        reference.precision_score(labels, chosen, **options),
        reference.recall_score(labels, chosen, **options),
        reference.f1_score(labels, chosen, **options),
    ]
    assert [made[name] for name in NAMES] == pytest.approx(expected)
    scores = predicted[:, 1] if binary else predicted
    area = reference.roc_auc_score(
        labels, scores, multi_class="ovr", average="macro" if binary else "weighted"
    )
    assert made["auc"] == pytest.approx(area)


def test_what_is_undefined_is_left_out() -> None:
    """Protects JSON from NaN, and the gate from comparing with it."""
    same = np.ones(4)
    assert "r2" not in metrics.regression(same, same)
    target = Target("y", "binary", ("no", "yes"))
    assert "auc" not in metrics.scores(same, np.tile([0.2, 0.8], (4, 1)), target)
