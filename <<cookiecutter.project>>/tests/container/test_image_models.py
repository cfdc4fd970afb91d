"""Every model of images learns, survives its file, and predicts an image alone as among others."""

import importlib.util
import json
import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from container import model_artifact, models
from container.data import metrics
from container.data.schema import IMAGE, Schema, Target
from container.inference import compiled_model, litert
from container.inference.native import serialization
from container.runtime.errors import UserError

SIDE = 16
NETWORK, MACHINE = "convolutional_network", "hog_svm"
NEEDS_TENSORFLOW = pytest.mark.skipif(
    importlib.util.find_spec("tensorflow") is None, reason="the project was made without TensorFlow"
)
QUICK: dict[str, dict[str, Any]] = {NETWORK: {"filters": 8, "epochs": 40, "batch_size": 16}}
each_model = pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[NEEDS_TENSORFLOW] if name == NETWORK else [])
        for name in models.available(IMAGE)
    ],
)


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


def untrained(name: str, classes: int, **hyperparameters: Any) -> models.Model:
    chosen = models.module(name, IMAGE)
    wished = chosen.Hyperparameters(**QUICK.get(name, {}), **hyperparameters)
    return chosen.create(schema_of(classes), wished, 0)


@cache
def trained(name: str, classes: int) -> models.Model:
    model = untrained(name, classes)
    model.fit(*drawn(classes, 60 * classes // 2, 1), None)  # type: ignore[arg-type]
    return model


Written = Callable[[str, int, Path], model_artifact.ModelArtifact]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Written:
    """Write both forms of a model as `train` does, and return what serves."""

    @cache
    def kept(name: str, classes: int) -> Path:
        """Write a model once, since a network takes seconds."""
        model, directory = trained(name, classes), tmp_path_factory.mktemp(name)
        model.save(directory)
        schema_of(classes).write(directory / model_artifact.SCHEMA)
        if model_artifact.framework(directory) == model_artifact.SCIKIT_LEARN:
            serialization.write(directory, compiled_model.compile_model(model))
        facts = {"version": 1, "model": name, "digests": litert.digests(directory)}
        (directory / model_artifact.MODEL).write_text(json.dumps(facts))
        return directory

    def copy(name: str, classes: int, directory: Path) -> model_artifact.ModelArtifact:
        shutil.copytree(kept(name, classes), directory, dirs_exist_ok=True)
        return model_artifact.load(directory)

    return copy


@each_model
@pytest.mark.parametrize("classes", [2, 4])
def test_it_learns_directions(name: str, classes: int) -> None:
    """Its confidence is calibrated: sure of what is plain, and never of what is wrong."""
    images, labels = drawn(classes, 80, 2)
    predicted = trained(name, classes).predict(images)  # type: ignore[arg-type]
    found = metrics.scores(labels, predicted, schema_of(classes).target)
    assert found["accuracy"] > 0.9
    assert predicted.shape == (80, classes)
    assert np.allclose(predicted.sum(axis=1), 1)
    assert -np.log(predicted[np.arange(80), labels.astype(int)]).mean() < 0.5 * np.log(classes)


@each_model
@pytest.mark.parametrize("classes", [2, 4])
def test_it_survives_its_files_and_its_forms_agree(
    written: Written, tmp_path: Path, name: str, classes: int
) -> None:
    """What was saved, and what serves, predict what was learned, an image alone as among others."""
    model = trained(name, classes)
    images: Any = drawn(classes, 12, 3)[0]
    predicted = model.predict(images)
    served = written(name, classes, tmp_path)
    near = served.tolerance(predicted)  # 0 of what counts in 64 bits
    saved = type(model).load(tmp_path, schema_of(classes))
    assert np.allclose(saved.predict(images), predicted, rtol=0, atol=near)
    answers = served.predict(images)
    assert np.allclose(answers, predicted, rtol=0, atol=near)
    assert np.array_equal(np.concatenate([served.predict(one[np.newaxis]) for one in images]), answers)


@each_model
def test_mirror_images_are_told_apart_where_that_is_wished(name: str) -> None:
    """Writing has a direction, and most things have none."""
    images, labels = drawn(3, 90, 5)
    mirrored = images.reshape(-1, SIDE, SIDE, 3)[:, :, ::-1].reshape(len(images), -1)
    both, sides = np.concatenate([images, mirrored]), np.repeat([0.0, 1.0], len(images))
    slanted = np.tile(labels == 1, 2)
    found = []
    for mirror in (True, False):
        model = untrained(name, 2, mirror=mirror)
        model.fit(both[slanted][::2], sides[slanted][::2], None)
        predicted = model.predict(both[slanted][1::2])
        found.append(metrics.scores(sides[slanted][1::2], predicted, schema_of(2).target)["accuracy"])
    assert found[0] < 0.7
    assert found[1] > 0.9


@each_model
def test_the_same_seed_gives_the_same_model(name: str) -> None:
    images: Any = drawn(2, 10, 4)[0]
    again = untrained(name, 2)
    again.fit(*drawn(2, 60, 1), None)  # type: ignore[arg-type]
    assert np.array_equal(again.predict(images), trained(name, 2).predict(images))


@each_model
def test_a_damaged_file_is_refused(written: Written, tmp_path: Path, name: str) -> None:
    written(name, 2, tmp_path)
    path = tmp_path / {NETWORK: litert.CONVERTED, MACHINE: serialization.PORTABLE}[name]
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(UserError, match="damaged"):
        model_artifact.load(tmp_path)


@each_model
def test_another_number_of_classes_is_refused(written: Written, tmp_path: Path, name: str) -> None:
    written(name, 2, tmp_path)
    with pytest.raises(UserError, match="disagree on the classes"):
        models.module(name, IMAGE).LOADED.load(tmp_path, schema_of(3))


def test_flat_arrays_of_another_size_are_refused(written: Written, tmp_path: Path) -> None:
    written(MACHINE, 2, tmp_path)
    with pytest.raises(compiled_model.UnsupportedModelError, match="disagree"):
        serialization.load(tmp_path, schema_of(2).width + 3, 2)


@NEEDS_TENSORFLOW
def test_a_large_request_is_answered_in_parts(written: Written, tmp_path: Path) -> None:
    """Protects the memory of an endpoint, and the answers on both sides of where a request is cut."""
    served = written(NETWORK, 2, tmp_path)
    images: Any = drawn(2, 12, 3)[0]
    assert litert.batch_rows(images.shape[1]) < 480
    assert np.array_equal(served.predict(np.tile(images, (40, 1))), np.tile(served.predict(images), (40, 1)))


@NEEDS_TENSORFLOW
def test_a_network_of_another_size_is_refused(written: Written, tmp_path: Path) -> None:
    """Protects answers from a network that learned from larger images: in either of its forms."""
    written(NETWORK, 2, tmp_path)
    larger = Schema(schema_of(2).target, (), 2 * SIDE)
    with pytest.raises(UserError, match="disagree on the size"):
        models.module(NETWORK, IMAGE).LOADED.load(tmp_path, larger)
    larger.write(tmp_path / model_artifact.SCHEMA)
    with pytest.raises(UserError, match=r"disagrees with schema\.json"):
        model_artifact.load(tmp_path)


@each_model
def test_a_model_of_tables_takes_no_pictures(tmp_path: Path, name: str) -> None:
    """A workload's models are its own, and the message says which those are."""
    with pytest.raises(
        UserError, match=f"image model 'random_forest' does not exist: choose one of .*{name}"
    ):
        models.module("random_forest", IMAGE)
    schema_of(2).write(tmp_path / model_artifact.SCHEMA)
    (tmp_path / model_artifact.MODEL).write_text('{"version": 1, "model": "random_forest"}')
    with pytest.raises(UserError, match="image model 'random_forest'"):
        model_artifact.load(tmp_path)
