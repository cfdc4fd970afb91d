"""Protects: a compiled model predicts as scikit-learn does, to the last bit, and reads inside its arrays."""

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings
from sklearn.ensemble import RandomForestRegressor
from threadpoolctl import threadpool_limits

from container import model_artifact, models
from container.data.schema import Feature, Schema, Target
from container.inference.compiled_model import UnsupportedModelError
from container.inference.native import forest, serialization, tensor_file
from container.inference.native.library import UnavailableError
from container.inference.native.load import load
from container.models import Model
from container.runtime.typing import FloatArray

try:
    LIBRARY = load()
except UnavailableError as unavailable:
    pytest.skip(str(unavailable), allow_module_level=True)

LARGEST = float(np.finfo(np.float32).max)
ODD = (np.nan, np.inf, -np.inf, 0.0, -0.0, 1e308, -1e308, LARGEST, 1e-320, 0.5)
KINDS = st.sampled_from(["numeric", "numeric", "categorical"])
TASKS = st.sampled_from(["regression", "binary", "multiclass"])
LEVELS = 6
# LiteRT runs networks: test_multilayer_perceptron.py compares its predictions with the portable form's.
NAMES = [name for name in models.available() if name != "multilayer_perceptron"]


@st.composite
def schemas(draw: st.DrawFn) -> Schema:
    """Draw a target, and up to eight features that are numbers or categories."""
    task = draw(TASKS)
    count = {"regression": 0, "binary": 2, "multiclass": draw(st.integers(3, 11))}[task]
    classes = tuple(f"class {number}" for number in range(count)) or None
    levels = tuple("abcdef")
    features = [
        Feature(f"f{place}", "numeric") if kind == "numeric" else Feature(f"f{place}", "categorical", levels)
        for place, kind in enumerate(draw(st.lists(KINDS, min_size=1, max_size=8)))
    ]
    return Schema(Target("y", task, classes), tuple(features))  # type: ignore[arg-type]


def table(schema: Schema, random: np.random.Generator, rows: int, missing: float) -> FloatArray:
    """Return encoded rows; numbers repeat, so that some equal a threshold."""
    columns = [
        random.choice(random.normal(size=rows // 2 + 1), rows)
        if feature.kind == "numeric"
        else random.integers(0, LEVELS - 1, rows).astype(float)
        for feature in schema.features
    ]
    made = np.column_stack(columns)
    made[random.random(made.shape) < missing] = np.nan
    return made


def target(schema: Schema, random: np.random.Generator, rows: FloatArray) -> FloatArray:
    """Return a target that depends on the rows, in which every class occurs."""
    score = np.nan_to_num(rows) @ random.normal(size=rows.shape[1]) + random.normal(size=len(rows)) / 4
    count = len(schema.target.classes or ())
    if not count:
        return score
    codes = np.digitize(score, np.quantile(score, np.arange(1, count) / count)).astype(float)
    codes[:count] = np.arange(count)
    return codes


def trained(name: str, schema: Schema, random: np.random.Generator, missing: float) -> Model:
    module = models.module(name)
    few = {"n_estimators": 70, "max_iter": 40, "min_samples_leaf": int(random.integers(1, 9))}
    known = asdict(module.Hyperparameters())
    hyperparameters = module.Hyperparameters(
        **{key: value for key, value in few.items() if key in known and name != "linear_model"}
    )
    rows = table(schema, random, 120, missing)
    model = module.create(schema, hyperparameters, int(random.integers(0, 100)))
    model.fit(rows, target(schema, random, rows), None)
    return model


def unseen(schema: Schema, random: np.random.Generator, rows: int) -> FloatArray:
    """Return rows that training never saw: extremes, unknown categories, and odd numbers."""
    made = table(schema, random, rows, 0.2)
    odd = random.random(made.shape) < 0.1
    made[odd] = random.choice(ODD[3:], int(odd.sum()))
    for place in schema.categorical:
        unknown = random.choice([-1, 5, 6, 300, 70000, 1.5], rows)
        made[:, place] = np.where(odd[:, place], unknown, made[:, place])
    return made


def by_scikit_learn(model: Any, rows: FloatArray) -> FloatArray:
    clipped = rows if "Hist" in type(model.estimator).__name__ else np.clip(rows, -LARGEST, LARGEST)
    predict = model.estimator.predict_proba if model.classifies else model.estimator.predict
    return np.asarray(predict(clipped))


def bits(numbers: FloatArray) -> list[int]:
    return [int(each) for each in np.ascontiguousarray(numbers).view(np.uint64).ravel()]


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    with threadpool_limits(limits=1):
        yield


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # of scikit-learn, at infinities
@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=15)
@given(schema=schemas(), seed=st.integers(0, 2**32 - 1), missing=st.sampled_from([0.0, 0.2, 0.9]))
def test_both_forms_are_equal_to_the_last_bit(
    tmp_path_factory: pytest.TempPathFactory, name: str, schema: Schema, seed: int, missing: float
) -> None:
    """Over random models, and rows with missing, extreme and unknown values; for many rows and for one."""
    random = np.random.default_rng(seed)
    model: Any = trained(name, schema, random, missing)
    directory = tmp_path_factory.mktemp("model")
    model.save(directory)
    serialization.write(directory, model.compiled())
    predictor, _ = serialization.load(directory, len(schema.features), len(schema.target.classes or (0,)))
    rows = unseen(schema, random, int(random.integers(65, 150)))
    expected = model.predict(rows)
    if name != "linear_model":
        assert bits(expected) == bits(by_scikit_learn(model, rows))
    assert bits(predictor.predict(rows)) == bits(expected)
    for place in range(8):
        assert bits(predictor.predict(rows[place : place + 1])) == bits(expected[place : place + 1])
    assert predictor.predict(rows[:0]).shape == expected[:0].shape


@settings(max_examples=15)
@given(
    seed=st.integers(0, 2**32 - 1),
    outputs=st.integers(1, 3),
    most_leaves=st.sampled_from([None, 2, 9]),
    levels=st.sampled_from([1, 2, 1000]),
)
def test_forests_of_several_outputs_and_of_single_leaves(
    seed: int, outputs: int, most_leaves: int | None, levels: int
) -> None:
    """Also trees grown best first, trees that are one leaf, and rows that are the thresholds themselves."""
    random = np.random.default_rng(seed)
    rows = random.normal(size=(80, 3))
    labels = np.round(rows @ random.normal(size=(3, outputs)) * (levels - 1), 2)
    model = RandomForestRegressor(n_estimators=20, max_leaf_nodes=most_leaves, random_state=0)
    model.fit(rows, labels if outputs > 1 else labels[:, 0])
    compiled = forest.compile_model(model)
    predictor = forest.ForestPredictor(LIBRARY, compiled.metadata, compiled.arrays)
    thresholds = np.concatenate([tree.tree_.threshold for tree in model.estimators_])
    near = np.concatenate([np.nextafter(thresholds, way) for way in (-np.inf, np.inf)] + [thresholds])
    asked = random.choice(near, (200, 3))
    asked[random.random(asked.shape) < 0.1] = np.nan
    assert bits(predictor.predict(asked)) == bits(model.predict(asked))


def test_a_set_of_many_categories_has_its_bits(tmp_path: Path) -> None:
    """Protects categories beyond the first 32, whose bits are in another word."""
    levels = tuple(f"level {number}" for number in range(200))
    schema = Schema(Target("y", "regression"), (Feature("x", "numeric"), Feature("c", "categorical", levels)))
    random = np.random.default_rng(5)
    rows = np.column_stack([random.normal(size=4000), random.integers(0, 200, 4000).astype(float)])
    module = models.module("gradient_boosting")
    model = module.create(schema, module.Hyperparameters(max_iter=30), 0)
    model.fit(rows, random.normal(size=200)[rows[:, 1].astype(int)] + rows[:, 0], None)
    model.save(tmp_path)
    serialization.write(tmp_path, model.compiled())  # type: ignore[attr-defined]
    predictor, _ = serialization.load(tmp_path, 2, 1)
    asked = np.column_stack([np.zeros(260), np.arange(-30.0, 230.0)])
    assert bits(predictor.predict(asked)) == bits(model.predict(asked))


@pytest.fixture(params=NAMES)
def saved(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Return the directory of a trained model with its compiled form."""
    features = (
        Feature("a", "numeric"),
        Feature("b", "categorical", tuple("abcdef")),
        Feature("c", "numeric"),
    )
    schema = Schema(Target("y", "multiclass", ("x", "y", "z")), features)
    model: Any = trained(request.param, schema, np.random.default_rng(1), 0.1)
    model.save(tmp_path)
    serialization.write(tmp_path, model.compiled())
    schema.write(tmp_path / model_artifact.SCHEMA)
    (tmp_path / model_artifact.MODEL).write_text(
        f'{{"version": 1, "model": "{request.param}"}}', encoding="utf-8"
    )
    return tmp_path


def test_the_compiled_form_serves_and_says_why(saved: Path) -> None:
    loaded = model_artifact.load(saved)
    assert (loaded.form, loaded.reason) == ("compiled", f"built by {LIBRARY.compiler}")


def test_a_form_that_was_made_from_another_model_does_not_serve(saved: Path) -> None:
    """Protects against answers of a model that has been replaced."""
    with (saved / serialization.PORTABLE).open("ab") as file:
        file.write(b" ")
    with pytest.raises(UnsupportedModelError, match="was made from another"):
        serialization.load(saved, 3, 3)


def test_a_form_that_does_not_fit_the_schema_does_not_serve(saved: Path) -> None:
    for features, outputs in ((2, 3), (3, 2)):
        with pytest.raises(UnsupportedModelError, match="disagree"):
            serialization.load(saved, features, outputs)


def test_without_its_form_the_portable_model_serves(saved: Path) -> None:
    """Protects artifacts of machines without a compiler; the reason is that of the training."""
    rows = np.array([[0.5, 1.0, np.nan], [np.nan, 9.0, 2.0]])
    expected = model_artifact.load(saved).predict(rows)
    (saved / serialization.COMPILED).unlink()
    description = (saved / model_artifact.MODEL).read_text(encoding="utf-8")
    (saved / model_artifact.MODEL).write_text(
        description[:-1] + ', "not_compiled": "it rained"}', encoding="utf-8"
    )
    loaded = model_artifact.load(saved)
    assert (loaded.form, loaded.reason) == ("portable", "the artifact has no model.arrays: it rained")
    assert bits(loaded.predict(rows)) == bits(expected)


def test_a_damaged_form_is_refused_or_harmless(saved: Path) -> None:
    """Protects the process: whatever the file says, no walk leads outside of it, and each one ends."""
    whole = (saved / serialization.COMPILED).read_bytes()
    metadata, _ = tensor_file.read(saved / serialization.COMPILED)
    head = len(whole.partition(b"\n")[0])
    random = np.random.default_rng(11)
    rows = random.normal(size=(70, 3)) * 3
    rows[::5, 1] = np.arange(14.0)
    refused = 0
    for _ in range(400):
        damaged = bytearray(whole)
        start = head if random.random() < 0.9 else head - len(str(metadata)) * 3
        for place in random.integers(max(0, start), len(whole), random.integers(1, 40)):
            damaged[place] = random.choice([0, 1, 7, 255, int(random.integers(0, 256))])
        replaced = saved / "replaced"
        replaced.write_bytes(damaged[: random.integers(0, len(whole))] if random.random() < 0.1 else damaged)
        replaced.replace(saved / serialization.COMPILED)  # mapped files are never written
        try:
            predictor, _ = serialization.load(saved, 3, 3)
        except UnsupportedModelError:
            refused += 1
            continue
        with np.errstate(all="ignore"):
            assert predictor.predict(rows).shape == (70, 3)
    assert refused


@pytest.mark.parametrize(
    ("name", "value"),
    [("features", 2**64 + 3), ("trees", 1.5), ("outputs", "3"), ("leaves", 10**9), ("feature_bits", 40)],
)
def test_numbers_that_do_not_fit_the_arrays_are_refused(name: str, value: Any) -> None:
    random = np.random.default_rng(2)
    rows = random.normal(size=(50, 3))
    compiled = forest.compile_model(RandomForestRegressor(n_estimators=3).fit(rows, rows))
    with pytest.raises(ValueError, match=r"whole number|none of a forest|should be"):
        forest.ForestPredictor(LIBRARY, compiled.metadata | {name: value}, compiled.arrays)
