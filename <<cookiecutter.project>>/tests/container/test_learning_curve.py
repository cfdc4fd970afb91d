"""The learning curve has the scores of models that are trained on fewer rows."""

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from container import model_artifact, models
from container.data import metrics
from container.data.encode import TabularDataset
from container.data.schema import Feature, Schema, Target
from container.evaluation import learning_curve
from container.model_artifact import ModelArtifact

NUMBER, CLASSES = Target("y", "regression"), Target("y", "binary", ("no", "yes"))


def rows(target: Target, count: int, seed: int, width: int = 8) -> TabularDataset:
    random = np.random.default_rng(seed)
    features = random.normal(size=(count, width))
    score = features.sum(axis=1) + random.normal(size=count)
    return TabularDataset(
        pl.DataFrame(), features, score if target.classes is None else (score > 4).astype(np.float64)
    )


def trained(
    directory: Path, target: Target, train: TabularDataset, validation: TabularDataset
) -> ModelArtifact:
    """Train the linear model as a job does, and load it."""
    schema = Schema(
        target, tuple(Feature(f"f{place}", "numeric") for place in range(train.features.shape[1]))
    )
    module = models.module("linear_model")
    model = module.create(schema, module.Hyperparameters(), 3)
    model.fit(train.features, train.target, (validation.features, validation.target))
    model.save(directory)
    schema.write(directory / model_artifact.SCHEMA)
    facts = {
        "version": model_artifact.VERSION,
        "model": "linear_model",
        "hyperparameters": {},
        "seed": 3,
    }
    (directory / model_artifact.MODEL).write_text(json.dumps(facts))
    return model_artifact.load(directory)


def test_points_are_what_the_model_scores_when_it_learns_from_so_many_rows(tmp_path: Path) -> None:
    """Protects rows and scores: more rows give better scores, and the last point is the trained model."""
    train, validation = rows(NUMBER, 2700, 1), rows(NUMBER, 500, 2)
    loaded = trained(tmp_path, NUMBER, train, validation)
    found = learning_curve.measure(tmp_path, loaded, train, validation)
    assert found["validation_rows"] == 500
    points = found["points"]
    assert [point["rows"] for point in points] == [100, 300, 900, 2700]
    last = metrics.scores(validation.target, loaded.predict(validation.features), NUMBER)
    assert points[-1]["validation"] == last
    again = model_artifact.build_untrained(tmp_path, loaded.schema)
    again.fit(train.features, train.target, (validation.features, validation.target))
    assert np.array_equal(again.predict(validation.features), loaded.predict(validation.features))
    whole = metrics.scores(train.target, loaded.predict(train.features), NUMBER)
    assert points[-1]["training"] == pytest.approx(whole)
    gaps = [point["validation"]["rmse"] - point["training"]["rmse"] for point in points]
    assert gaps[0] > abs(gaps[-1])
    assert found == learning_curve.measure(tmp_path, loaded, train, validation)


def test_rows_are_few_in_a_large_and_in_a_wide_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Protects the evaluation's time; the point of the trained model has the number of all rows."""
    train, validation = rows(NUMBER, 2700, 1), rows(NUMBER, 100, 2)
    loaded = trained(tmp_path, NUMBER, train, validation)
    monkeypatch.setattr(learning_curve, "MAX_CELLS", 8 * 1350)
    points = learning_curve.measure(tmp_path, loaded, train, validation)["points"]
    assert [point["rows"] for point in points] == [150, 450, 2700]
    monkeypatch.setattr(learning_curve, "MAX_ROWS", 540)
    points = learning_curve.measure(tmp_path, loaded, train, validation)["points"]
    assert [point["rows"] for point in points] == [180, 2700]


def test_too_few_rows_and_rows_without_every_class_give_no_point(tmp_path: Path) -> None:
    """Protects small tables: a point without enough rows is left out, the trained model's never."""
    train, validation = rows(CLASSES, 900, 1), rows(CLASSES, 100, 2)
    order = np.random.Generator(np.random.PCG64(0)).permutation(900)
    train.target[:] = 0
    train.target[order[200]] = 1
    loaded = trained(tmp_path, CLASSES, train, validation)
    points = learning_curve.measure(tmp_path, loaded, train, validation)["points"]
    assert [point["rows"] for point in points] == [300, 900]


def test_networks_and_pictures_have_no_curve(tmp_path: Path) -> None:
    """Training them again takes too long."""
    table, pictures = Schema(NUMBER, (Feature("f", "numeric"),)), Schema(CLASSES, (), 8)
    assert learning_curve.applies(tmp_path, table)
    assert not learning_curve.applies(tmp_path, pictures)
    (tmp_path / "model.tflite").touch()
    assert not learning_curve.applies(tmp_path, table)
