"""Every model of pictures learns, survives its file, and predicts a picture alone as among others."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from container import artefact, models
from container.compiled import form, store
from container.data import metrics
from container.data.schema import IMAGE, Schema, Target
from container.errors import UserError

SIDE = 16
pytestmark = pytest.mark.parametrize("name", models.available(IMAGE))


def schema_of(classes: int) -> Schema:
    task = "binary" if classes == 2 else "multiclass"
    return Schema(Target("label", task, tuple("abcd"[:classes])), (), SIDE)  # type: ignore[arg-type]


def drawn(classes: int, count: int, seed: int) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """Draw noisy stripes from upright to level, whose direction is the label."""
    random = np.random.Generator(np.random.PCG64(seed))
    labels = np.arange(count) % classes
    down, across = np.mgrid[:SIDE, :SIDE]
    rows = []
    for label in labels:
        angle = np.pi / 2 * label / (classes - 1) + random.normal(0, 0.05)
        stripes = np.sin((across * np.cos(angle) + down * np.sin(angle)) * 1.2 + random.uniform(0, 6))
        grey = 127 + 70 * stripes[..., np.newaxis] + random.normal(0, 25, (SIDE, SIDE, 3))
        rows.append(grey.clip(0, 255).astype(np.uint8).reshape(-1))
    return np.stack(rows), labels.astype(np.float64)


def trained(name: str, classes: int) -> models.Model:
    chosen = models.module(name, IMAGE)
    model = chosen.create(schema_of(classes), chosen.Hyperparameters(), 0)
    model.fit(*drawn(classes, 60 * classes // 2, 1), None)  # type: ignore[arg-type]
    return model


@pytest.mark.parametrize("classes", [2, 4])
def test_it_learns_directions(name: str, classes: int) -> None:
    """Its confidence is calibrated: sure of what is plain, and never of what is wrong."""
    pictures, labels = drawn(classes, 80, 2)
    predicted = trained(name, classes).predict(pictures)  # type: ignore[arg-type]
    found = metrics.scores(labels, predicted, schema_of(classes).target)
    assert found["accuracy"] > 0.9
    assert predicted.shape == (80, classes)
    assert np.allclose(predicted.sum(axis=1), 1)
    assert -np.log(predicted[np.arange(80), labels.astype(int)]).mean() < 0.5 * np.log(classes)


@pytest.mark.parametrize("classes", [2, 4])
def test_it_survives_its_files_and_its_forms_agree(tmp_path: Path, name: str, classes: int) -> None:
    """What was saved, and what serves, predict what was learned to the last bit, a picture or many."""
    model, schema = trained(name, classes), schema_of(classes)
    pictures, _ = drawn(classes, 12, 3)
    predicted = model.predict(pictures)  # type: ignore[arg-type]
    model.save(tmp_path)
    saved = type(model).load(tmp_path, schema)
    assert np.array_equal(saved.predict(pictures), predicted)  # type: ignore[arg-type]
    store.write(tmp_path, form.of(saved))
    compiled, _ = store.load(tmp_path, schema.width, classes)
    assert np.array_equal(compiled.predict(pictures), predicted)  # type: ignore[arg-type]
    assert np.array_equal(np.concatenate([compiled.predict(one[np.newaxis]) for one in pictures]), predicted)


def test_mirror_images_are_told_apart_where_that_is_wished(name: str) -> None:
    """Writing has a direction, and most things have none."""
    pictures, labels = drawn(3, 90, 5)
    mirrored = pictures.reshape(-1, SIDE, SIDE, 3)[:, :, ::-1].reshape(len(pictures), -1)
    both, sides = np.concatenate([pictures, mirrored]), np.repeat([0.0, 1.0], len(pictures))
    slanted = np.tile(labels == 1, 2)
    chosen = models.module(name, IMAGE)
    found = []
    for mirror in (True, False):
        model = chosen.create(schema_of(2), chosen.Hyperparameters(mirror=mirror), 0)
        model.fit(both[slanted][::2], sides[slanted][::2], None)
        predicted = model.predict(both[slanted][1::2])
        found.append(metrics.scores(sides[slanted][1::2], predicted, schema_of(2).target)["accuracy"])
    assert found[0] < 0.7
    assert found[1] > 0.9


def test_the_same_seed_gives_the_same_model(name: str) -> None:
    pictures, _ = drawn(2, 10, 4)
    assert np.array_equal(*(trained(name, 2).predict(pictures) for _ in range(2)))  # type: ignore[arg-type]


def test_a_damaged_file_is_refused(tmp_path: Path, name: str) -> None:
    trained(name, 2).save(tmp_path)
    path = tmp_path / store.PORTABLE
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(UserError, match="damaged"):
        models.module(name, IMAGE).LOADED.load(tmp_path, schema_of(2))


def test_another_size_or_number_of_classes_is_refused(tmp_path: Path, name: str) -> None:
    model = trained(name, 2)
    model.save(tmp_path)
    with pytest.raises(UserError, match="disagree on the classes"):
        type(model).load(tmp_path, schema_of(3))
    store.write(tmp_path, form.of(model))
    with pytest.raises(form.UnsuitableError, match="disagree"):
        store.load(tmp_path, schema_of(2).width + 3, 2)


def test_a_model_of_tables_takes_no_pictures(tmp_path: Path, name: str) -> None:
    """A workload's models are its own, and the message says which those are."""
    with pytest.raises(
        UserError, match=f"image model 'random_forest' does not exist: choose one of .*{name}"
    ):
        models.module("random_forest", IMAGE)
    schema_of(2).write(tmp_path / artefact.SCHEMA)
    (tmp_path / artefact.MODEL).write_text('{"version": 1, "model": "random_forest"}')
    with pytest.raises(UserError, match="image model 'random_forest'"):
        artefact.load(tmp_path)
