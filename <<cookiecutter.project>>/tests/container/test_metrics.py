"""The metrics are scikit-learn's."""

from typing import Any

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
    """Protects mae, mse, rmse, r2, explained_variance and mape."""
    labels, predicted = np.array(pairs).T
    made = metrics.regression(labels, predicted)
    assert made["mae"] == pytest.approx(reference.mean_absolute_error(labels, predicted))
    assert made["mse"] == pytest.approx(reference.mean_squared_error(labels, predicted))
    assert made["rmse"] == metrics.score("rmse", labels, predicted)
    assert made["rmse"] == pytest.approx(reference.root_mean_squared_error(labels, predicted))
    if np.var(labels) > 1e-6:
        assert made["r2"] == pytest.approx(reference.r2_score(labels, predicted))
        explained = reference.explained_variance_score(labels, predicted)
        assert made["explained_variance"] == pytest.approx(explained, abs=1e-9)
    assert ("mape" in made) == bool(labels.all())
    if np.abs(labels).min() > 1e-6:
        assert made["mape"] == pytest.approx(reference.mean_absolute_percentage_error(labels, predicted))


@given(st.integers(2, 4), st.integers(5, 60), st.integers(0, 1000))
def test_classification_metrics(classes: int, rows: int, seed: int) -> None:
    """Protects accuracy, precision, recall, f1, auc and log_loss, of two classes and more; ties included."""
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
    assert {name: metrics.score(name, labels, predicted) for name in ("auc", "accuracy")} == {
        name: made[name] for name in ("auc", "accuracy")
    }
    scores = predicted[:, 1] if binary else predicted
    area = reference.roc_auc_score(
        labels, scores, multi_class="ovr", average="macro" if binary else "weighted"
    )
    assert made["auc"] == pytest.approx(area)
    assert made["log_loss"] == pytest.approx(reference.log_loss(labels, predicted, labels=range(classes)))


def test_certainty_that_was_wrong_has_a_finite_loss() -> None:
    """Protects forests, whose probabilities are often 0: the loss is scikit-learn's."""
    labels, certain = np.array([0, 1]), np.array([[1.0, 0.0], [1.0, 0.0]])
    assert metrics.log_loss(labels, certain) == pytest.approx(reference.log_loss(labels, certain))


def drawn(rows: int, steps: int) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Return labels of two classes and informative probabilities with `steps` different values."""
    random = np.random.default_rng(rows)
    labels = random.integers(0, 2, rows)
    sure = np.round((labels * 0.3 + random.random(rows) * 0.7) * steps) / steps
    return labels, np.stack([1 - sure, sure], axis=1)


@pytest.mark.parametrize(("rows", "steps"), [(150, 10**9), (900, 20)], ids=["different", "ties"])
def test_curves_are_those_of_scikit_learn(rows: int, steps: int) -> None:
    """Protects every point, by the names and in the order of SageMaker's statistics."""
    labels, predicted = drawn(rows, steps)
    roc, recalled = metrics.curves(labels, predicted).values()
    missed, found, _ = reference.roc_curve(labels, predicted[:, 1], drop_intermediate=False)
    assert roc["false_positive_rates"] == pytest.approx(missed)
    assert roc["true_positive_rates"] == pytest.approx(found)
    precision, recall, _ = reference.precision_recall_curve(labels, predicted[:, 1])
    assert recalled["recalls"] == pytest.approx(recall[::-1])
    assert recalled["precisions"][1:] == pytest.approx(precision[:-1][::-1])
    assert recalled["precisions"][0] == recalled["precisions"][1]  # scikit-learn begins with 1, Spark so


def test_curves_have_so_many_points_at_most() -> None:
    """Protects evaluation.json from a size that grows with the test rows; the shape stays."""
    labels, predicted = drawn(20_000, 10**9)
    roc, recalled = metrics.curves(labels, predicted).values()
    assert {len(values) for values in (*roc.values(), *recalled.values())} == {metrics.CURVE_POINTS}
    missed, found = roc["false_positive_rates"], roc["true_positive_rates"]
    assert (missed[0], found[0], missed[-1], found[-1]) == (0, 0, 1, 1)
    assert np.trapezoid(found, missed) == pytest.approx(metrics.auc(labels, predicted), abs=1e-3)


def test_what_is_undefined_is_left_out() -> None:
    """Protects JSON from NaN, and the gate from comparing with it."""
    same = np.ones(4)
    assert {"r2", "explained_variance"}.isdisjoint(metrics.regression(same, same))
    assert "mape" not in metrics.scores(np.array([5e-324, 1.0]), same[:2], Target("y", "regression"))
    target = Target("y", "binary", ("no", "yes"))
    assert "auc" not in metrics.scores(same, np.tile([0.2, 0.8], (4, 1)), target)
    assert metrics.scores(same, np.full(4, np.nan), Target("y", "regression")) == {}
    halves = np.array([0.0, 0.0, 1.0, 1.0])
    assert metrics.scores(halves, np.full((4, 2), np.nan), target).keys().isdisjoint({"auc", "log_loss"})
    assert metrics.curves(same.astype(np.int64), np.tile([0.2, 0.8], (4, 1))) == {}
