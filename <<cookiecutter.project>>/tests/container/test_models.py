"""Every model learns, survives its file to the last bit, and trusts no file."""

import copy
import importlib.metadata
import importlib.util
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from skops import io

from container import deprecated_names, models
from container.data.schema import IMAGE, TABULAR, Feature, Schema, Target
from container.inference import compiled_model, litert
from container.inference.native.serialization import PORTABLE
from container.models import Model, RefittableModel
from container.models.gradient_boosting import GradientBoosting
from container.runtime.errors import UserError
from container.runtime.typing import FloatArray

README = Path(models.__file__).with_name("README.md")
FEATURES = (
    Feature("size", "numeric"),
    Feature("colour", "categorical", ("blue", "green", "red"), other=True),
    Feature("weight", "numeric"),
)
TARGETS = {
    "regression": Target("y", "regression"),
    "binary": Target("y", "binary", ("no", "yes")),
    "multiclass": Target("y", "multiclass", ("a", "b", "c")),
}
# A network has no file of scikit-learn's: test_multilayer_perceptron.py holds it to the same.
NAMES = [name for name in models.available() if name != "multilayer_perceptron"]
COMPILED = [name for name in NAMES if hasattr(models.module(name).LOADED, "compiled")]


def rows(task: str, count: int = 300) -> tuple[FloatArray, FloatArray]:
    random = np.random.default_rng(3)
    features = np.column_stack(
        [random.normal(size=count), random.integers(0, 3, count).astype(float), random.normal(size=count)]
    )
    score = features[:, 0] + features[:, 1] - 1
    features[::13, 0] = np.nan
    features[::17, 1] = np.nan
    target = {"regression": score, "binary": score > 0, "multiclass": (score > -0.5) * 1 + (score > 0.5)}[
        task
    ]
    return features, target.astype(np.float64)


def trained(name: str, task: str) -> tuple[Model, Schema, FloatArray, FloatArray]:
    module, schema = models.module(name), Schema(TARGETS[task], FEATURES)
    features, target = rows(task)
    model = module.create(schema, module.Hyperparameters(), 0)
    model.fit(features[:200], target[:200], (features[200:], target[200:]))
    return model, schema, features, target


@pytest.mark.parametrize("task", TARGETS)
@pytest.mark.parametrize("name", NAMES)
def test_a_model_survives_its_file_and_answers_row_by_row(tmp_path: Path, name: str, task: str) -> None:
    """Protects predictions: equal to the last bit after loading, and for a row alone or among others."""
    model, schema, features, target = trained(name, task)
    expected = model.predict(features)
    model.save(tmp_path)
    loaded = type(model).load(tmp_path, schema)
    assert np.array_equal(loaded.predict(features), expected)
    alone = np.concatenate([loaded.predict(features[place : place + 1]) for place in range(30)])
    assert np.array_equal(alone, expected[:30])
    if task == "regression":
        assert np.corrcoef(expected, target)[0, 1] > 0.8
    else:
        assert expected.shape == (len(features), len(schema.target.classes or ()))
        assert expected.sum(axis=1) == pytest.approx(np.ones(len(features)))
        assert (expected.argmax(axis=1) == target).mean() > 0.8


@pytest.mark.parametrize("task", TARGETS)
@pytest.mark.parametrize("name", NAMES)
def test_unseen_categories_and_empty_rows_get_answers(name: str, task: str) -> None:
    """Protects an endpoint from requests that training never saw."""
    model, *_ = trained(name, task)
    strange = np.array([[np.nan, np.nan, np.nan], [1.7e308, 3.0, -1.7e308], [0.0, np.nan, 0.0]])
    assert np.isfinite(model.predict(strange)).all()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("other", [(), ("no",)])
def test_a_tick_box_is_learned(name: str, other: tuple[str, ...]) -> None:
    """Protects a category that is there or missing: one value, or another that no training row has."""
    module, count = models.module(name), 300
    features = (Feature("ticked", "categorical", (*other, "yes")), Feature("size", "numeric"))
    model = module.create(Schema(TARGETS["regression"], features), module.Hyperparameters(), 0)
    ticked = np.arange(count) % 3 == 0
    inputs = np.column_stack([np.where(ticked, len(other), np.nan), np.random.default_rng(0).random(count)])
    model.fit(inputs[:200], ticked[:200] * 5.0, (inputs[200:], ticked[200:] * 5.0))
    assert np.abs(model.predict(inputs) - ticked * 5.0).max() < 0.5


@pytest.mark.filterwarnings("ignore:Skipping features without any observed values")
@pytest.mark.parametrize("name", NAMES)
def test_a_column_without_any_training_value_changes_nothing(name: str) -> None:
    """Protects a training whose few rows with a value are all in the test split."""
    module, (features, target) = models.module(name), rows("regression")
    features[:, 2] = np.nan
    model = module.create(Schema(TARGETS["regression"], FEATURES), module.Hyperparameters(), 0)
    model.fit(features[:200], target[:200], (features[200:], target[200:]))
    if isinstance(model, RefittableModel):
        model.refit(features, target)
    present = features.copy()
    present[:, 2] = 5.0
    assert np.array_equal(model.predict(present), model.predict(features))


@pytest.mark.parametrize("name", NAMES)
def test_a_seed_repeats_a_training(name: str) -> None:
    """Protects reproducibility: the same rows and seed give the same model."""
    first, _, features, _ = trained(name, "regression")
    second, *_ = trained(name, "regression")
    assert np.array_equal(first.predict(features), second.predict(features))


@pytest.mark.parametrize("name", NAMES)
def test_a_refit_learns_from_all_rows(name: str) -> None:
    """Boosting grows as many trees as gave the validation rows their best score, the others fit as before."""
    model, schema, features, target = trained(name, "regression")
    assert isinstance(model, RefittableModel)
    before, best = model.predict(features), None
    if isinstance(model, GradientBoosting):
        best = int(model.estimator.validation_score_.argmax())
        assert 0 < best < len(model.estimator.validation_score_) - 1
    found = model.refit(features, target)
    module = models.module(name)
    settings = {} if best is None else {"max_iter": found["iterations"]}
    again = module.create(schema, module.Hyperparameters(**settings), 0)
    again.fit(features, target, None)
    assert np.array_equal(model.predict(features), again.predict(features))
    assert not np.array_equal(model.predict(features), before)
    if best is not None:
        assert found["iterations"] == round((best * 1.5) ** (100 / 160) * 100 ** (60 / 160))


@pytest.mark.parametrize(("settings", "iterations"), [({"max_iter": 7}, 7), ({"learning_rate": 0.01}, None)])
def test_a_refit_keeps_to_the_hyperparameters(settings: dict[str, Any], iterations: int | None) -> None:
    """The limit holds, and a lower learning rate has more trees."""
    features, target = rows("regression")
    module = models.module("gradient_boosting")
    model = module.create(Schema(TARGETS["regression"], FEATURES), module.Hyperparameters(**settings), 0)
    assert isinstance(model, GradientBoosting)
    model.fit(features[:200], target[:200], (features[200:], target[200:]))
    found = model.refit(features, target)["iterations"]
    assert found == iterations if iterations else found > 200
    model.fit(features, target, None)
    assert model.refit(features, target) == {"iterations": found}


def test_categories_of_few_rows_are_split_by_their_order() -> None:
    """scikit-learn's sets leave out a category that has fewer than ten rows in a node."""
    random = np.random.default_rng(1)
    codes = random.integers(0, 40, 400).astype(np.float64)
    target = codes + random.normal(size=400)
    names = tuple(f"{code:02}" for code in range(40))
    schema = Schema(TARGETS["regression"], (Feature("city", "categorical", names),))
    module = models.module("gradient_boosting")
    model: Any = module.create(schema, module.Hyperparameters(), 0)
    model.fit(codes[:300, np.newaxis], target[:300], (codes[300:, np.newaxis], target[300:]))
    assert not np.any(model.estimator.is_categorical_)
    assert np.corrcoef(model.predict(codes[300:, np.newaxis]), target[300:])[0, 1] > 0.98
    model.fit(np.tile(codes, 2)[:, np.newaxis], np.tile(target, 2), None)
    assert model.estimator.is_categorical_.tolist() == [True]


class Stranger:
    """Be a type that no model has."""

    def __init__(self) -> None:
        """Hold nothing of interest."""
        self.value = 1


@pytest.mark.parametrize("name", NAMES)
def test_a_file_is_not_trusted(tmp_path: Path, name: str) -> None:
    """Protects the process: a file's own list of types counts for nothing."""
    schema = Schema(TARGETS["regression"], FEATURES)
    io.dump(Stranger(), tmp_path / PORTABLE)
    with pytest.raises(UserError, match=r"types that this model does not have.*Stranger"):
        models.module(name).LOADED.load(tmp_path, schema)
    (tmp_path / PORTABLE).write_bytes(b"PK\x05\x06 no model")
    with pytest.raises(UserError, match="is damaged"):
        models.module(name).LOADED.load(tmp_path, schema)
    (tmp_path / PORTABLE).unlink()
    with pytest.raises(UserError, match="is missing"):
        models.module(name).LOADED.load(tmp_path, schema)


@pytest.mark.parametrize("name", NAMES)
def test_a_model_and_a_schema_that_disagree_are_refused(tmp_path: Path, name: str) -> None:
    """Protects answers from a model that learned other columns or classes."""
    model, schema, *_ = trained(name, "binary")
    model.save(tmp_path)
    with pytest.raises(UserError, match="number of features"):
        type(model).load(tmp_path, Schema(schema.target, FEATURES[:2]))
    with pytest.raises(UserError, match="classes"):
        type(model).load(tmp_path, Schema(TARGETS["multiclass"], FEATURES))


def test_another_models_file_is_refused(tmp_path: Path) -> None:
    """Protects against a model.json that names another model than was saved."""
    model, schema, *_ = trained("linear_model", "regression")
    model.save(tmp_path)
    with pytest.raises(UserError, match=r"which is not this model's|does not have"):
        models.module("random_forest").LOADED.load(tmp_path, schema)


@pytest.mark.parametrize(("place", "value"), [("left", 0), ("right", 10**6), ("feature_idx", 99)])
def test_boosted_trees_that_point_outside_are_refused(tmp_path: Path, place: str, value: int) -> None:
    """Protects the process from a crafted file: scikit-learn follows these numbers unchecked."""
    model, schema, *_ = trained("gradient_boosting", "regression")
    inner: Any = model
    inner.estimator._predictors[0][0].nodes[place][0] = value  # noqa: SLF001 - the private part is what is tested
    model.save(tmp_path)
    with pytest.raises(UserError, match="points outside"):
        type(model).load(tmp_path, schema)


@pytest.mark.parametrize(
    ("place", "value"), [("children_left", 0), ("children_right", 10**6), ("feature", 99)]
)
def test_forest_trees_that_point_outside_are_refused(tmp_path: Path, place: str, value: int) -> None:
    """Protects the process from a crafted file: scikit-learn follows these numbers unchecked."""
    model, schema, *_ = trained("random_forest", "regression")
    inner: Any = model
    getattr(inner.estimator.estimators_[0].tree_, place)[0] = value
    model.save(tmp_path)
    with pytest.raises(UserError, match="points outside"):
        type(model).load(tmp_path, schema)


def test_hyperparameters_are_parsed_from_text() -> None:
    """Protects the types: SageMaker gives text alone."""
    kind = models.module("gradient_boosting").Hyperparameters
    made = models.parse_hyperparameters(kind, {"learning_rate": "0.3", "max_depth": "4", "max_iter": " 7 "})
    assert made == kind(learning_rate=0.3, max_depth=4, max_iter=7)
    assert models.parse_hyperparameters(kind, {"max_depth": "None"}) == kind()


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (
            {"learning_rte": "0.3"},
            "'learning_rte' is unknown: this model takes model, seed, refit, learning_rate, max_iter",
        ),
        ({"max_iter": "0.5"}, "'max_iter' must be a whole number, and is '0.5'"),
        ({"learning_rate": "nan"}, "'learning_rate' must be a number, and is 'nan'"),
    ],
)
def test_hyperparameters_that_do_not_fit_are_refused(texts: dict[str, str], message: str) -> None:
    """Protects a paid training from a typing error."""
    with pytest.raises(UserError, match=message):
        models.parse_hyperparameters(models.module("gradient_boosting").Hyperparameters, texts)


def test_a_model_that_does_not_exist_is_refused() -> None:
    """Protects the user: the message lists the names to choose from."""
    with pytest.raises(UserError, match=", ".join(models.available())):
        models.module("../errors")


def test_an_artifact_without_litert_says_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Protects who serves a network by an image that was made for scikit-learn."""

    def missing(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", missing)
    with pytest.raises(UserError, match=r"LiteRT is not installed.*framework=tensorflow"):
        litert.load(tmp_path, {}, 3, 1)


@pytest.mark.parametrize("name", COMPILED)
def test_whoever_predicts_in_its_own_way_serves_so(name: str) -> None:
    """Protects a user's model that is made from one of ours: its base's compiled form would pass it over."""
    model, *_ = trained(name, "regression")
    assert compiled_model.compile_model(model).kind
    made = copy.copy(model)
    made.__class__ = type("Own", (type(model),), {"predict": type(model).predict})
    with pytest.raises(compiled_model.UnsupportedModelError, match="predicts in its own way"):
        compiled_model.compile_model(made)


PRESENT = {*models.available(), *models.available(IMAGE)}


@pytest.mark.parametrize(
    ("old", "new"), [names for names in deprecated_names.MODELS.items() if names[1] in PRESENT]
)
def test_former_names_of_models_still_work(old: str, new: str) -> None:
    """Protects projects and champions that were made before models were renamed."""
    workload = IMAGE if new == "hog_svm" else TABULAR
    assert models.resolve(old, workload) == new
    assert models.module(old, workload) is models.module(new, workload)


@pytest.mark.parametrize("name", ["multilayer_perceptron", "convolutional_network", "tensorflow"])
def test_a_model_of_tensorflow_is_explained_in_a_project_without(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Protects a user who changes the model of a project that was generated for scikit-learn."""
    monkeypatch.setattr(models, "available", lambda _workload: ["linear_model"])
    with pytest.raises(UserError, match=f"'{name}' does not exist.*with framework=tensorflow has it"):
        models.resolve(name)


def test_a_users_model_may_have_a_former_name() -> None:
    """Protects a file that a user has called like a model that was renamed."""
    assert deprecated_names.model_name("tensorflow", ["tensorflow", "multilayer_perceptron"]) == "tensorflow"


@pytest.mark.parametrize("task", TARGETS)
def test_the_example_of_the_readme_is_a_model(tmp_path: Path, task: str) -> None:
    """Protects users who begin with the example: it trains, is saved and loads as it is written there."""
    (code,) = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    (tmp_path / "nearest_neighbours.py").write_text(code, encoding="utf-8")
    spec = importlib.util.spec_from_file_location("nearest_neighbours", tmp_path / "nearest_neighbours.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    schema = Schema(TARGETS[task], FEATURES)
    features, target = rows(task)
    hyperparameters = models.parse_hyperparameters(module.Hyperparameters, {"n_neighbors": "7"})
    model = module.create(schema, hyperparameters, 0)
    model.fit(features, target, None)
    model.save(tmp_path)
    expected = model.predict(features)
    assert np.array_equal(module.LOADED.load(tmp_path, schema).predict(features), expected)
