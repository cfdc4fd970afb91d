"""Protects: a network learns alike for a seed, and LiteRT predicts what TensorFlow does."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

from container import model_artifact, models
from container.data.schema import Feature, Schema, Target
from container.inference import litert
from container.models import Model, _keras, _network, multilayer_perceptron
from container.runtime.errors import UserError
from container.runtime.paths import ResourceConfig
from container.runtime.process_group import connect
from container.runtime.typing import FloatArray

if importlib.util.find_spec("tensorflow") is None:
    pytest.skip("the project was made without TensorFlow", allow_module_level=True)

PROJECT = Path(__file__).parents[2]
ODD = (np.nan, np.inf, -np.inf, 0.0, -0.0, 1e308, -1e308, 1e30, 1e-320, 0.5)
MANY = tuple(f"level {number}" for number in range(40))
FEATURES = (
    Feature("size", "numeric"),
    Feature("colour", "categorical", ("blue", "green", "red"), other=True),
    Feature("weight", "numeric"),
    Feature("street", "categorical", MANY),
)
TARGETS = {
    "regression": Target("y", "regression"),
    "binary": Target("y", "binary", ("no", "yes")),
    "multiclass": Target("y", "multiclass", ("a", "b", "c")),
}
KINDS = st.sampled_from(
    [Feature("x", "numeric"), Feature("c", "categorical", tuple("abc")), Feature("d", "categorical", MANY)]
)
SMALL = {"units": 8, "epochs": 3}


def rows(task: str, count: int = 600) -> tuple[FloatArray, FloatArray]:
    """Return encoded rows with gaps, and a target that depends on all of them."""
    random = np.random.default_rng(3)
    size, weight = random.normal(50, 9, size=count), random.normal(size=count)
    colour, street = random.integers(0, 3, count).astype(float), random.integers(0, 40, count).astype(float)
    score = (size - 50) / 9 + colour - 1 + np.where(street < 20, 1.0, -1.0)
    made = np.column_stack([size, colour, weight, street])
    made[::13, 2] = np.nan
    made[::17, 1] = np.nan
    kinds = {"regression": score, "binary": score > 0, "multiclass": (score > -0.7) * 1 + (score > 0.7)}
    return made, kinds[task].astype(np.float64)


def trained(task: str, **hyperparameters: Any) -> tuple[Any, Schema, FloatArray, FloatArray]:
    schema = Schema(TARGETS[task], FEATURES)
    features, target = rows(task)
    model = multilayer_perceptron.create(schema, multilayer_perceptron.Hyperparameters(**hyperparameters), 7)
    model.fit(features[:400], target[:400], (features[400:], target[400:]))
    return model, schema, features, target


def written(model: Model, schema: Schema, directory: Path) -> Path:
    """Write an artifact as `train` does."""
    directory.mkdir(exist_ok=True)
    model.save(directory)
    schema.write(directory / model_artifact.SCHEMA)
    facts = {"version": 1, "model": "multilayer_perceptron", "digests": litert.digests(directory)}
    (directory / model_artifact.MODEL).write_text(json.dumps(facts), encoding="utf-8")
    return directory


@pytest.mark.parametrize("task", TARGETS)
def test_a_network_learns_and_all_its_forms_agree(tmp_path: Path, task: str) -> None:
    """From the rows to what serves; LiteRT answers a row alone as among others, to the last bit."""
    model, schema, features, target = trained(task, epochs=60, learning_rate=0.01)
    expected = model.predict(features)
    if task == "regression":
        assert np.corrcoef(expected[400:], target[400:])[0, 1] > 0.9
    else:
        assert expected.sum(axis=1) == pytest.approx(np.ones(len(features)))
        assert (expected.argmax(axis=1) == target)[400:].mean() > 0.8
    directory = written(model, schema, tmp_path / "model")
    assert multilayer_perceptron.LOADED.load(directory, schema).predict(features) == pytest.approx(
        expected, abs=1e-5
    )
    served = model_artifact.load(directory)
    assert (served.form, model_artifact.framework(directory)) == ("litert", "tensorflow")
    answers = served.predict(features)
    assert answers == pytest.approx(expected, abs=1e-5)
    alone = np.concatenate([served.predict(features[place : place + 1]) for place in range(50)])
    assert np.array_equal(alone, answers[:50])
    assert served.predict(features[:0]).shape == expected[:0].shape


@st.composite
def schemas(draw: st.DrawFn) -> Schema:
    """Draw a target, and up to six features that are numbers or categories of few or many levels."""
    target = TARGETS[draw(st.sampled_from(sorted(TARGETS)))]
    drawn = draw(st.lists(KINDS, min_size=1, max_size=6))
    named = (Feature(f"f{place}", each.kind, each.categories, each.other) for place, each in enumerate(drawn))
    return Schema(target, tuple(named))


def table(schema: Schema, random: np.random.Generator, count: int, missing: float) -> FloatArray:
    """Return encoded rows; categories are also such as training never saw."""
    columns = [
        random.normal(random.normal() * 1e3, 1 + random.random() * 1e3, count)
        if feature.kind == "numeric"
        else random.integers(-1, feature.levels + 2, count).astype(float)
        for feature in schema.features
    ]
    made = np.column_stack(columns)
    made[random.random(made.shape) < missing] = np.nan
    return made


@settings(max_examples=12)
@given(
    schema=schemas(),
    seed=st.integers(0, 2**32 - 1),
    missing=st.sampled_from([0.0, 0.2, 1.0]),
    layers=st.integers(0, 3),
)
def test_both_forms_are_equal(
    tmp_path_factory: pytest.TempPathFactory, schema: Schema, seed: int, missing: float, layers: int
) -> None:
    """Over random networks, and rows with missing, extreme and unknown values."""
    random = np.random.default_rng(seed)
    _keras.set_deterministic(seed)
    architecture = _network.Architecture(layers, int(random.integers(1, 70)), 0.0, 16)
    network = _network.build(schema, architecture, litert.to_float32(table(schema, random, 100, missing)))
    classes = schema.target.classes is not None
    finished = _network.export(network, 0.5, 2.0, classes=classes)
    directory = tmp_path_factory.mktemp("model")
    _keras.save(finished, directory)
    asked = table(schema, random, 200, 0.3)
    odd = random.random(asked.shape) < 0.1
    asked[odd] = random.choice(ODD, int(odd.sum()))
    outputs = len(schema.target.classes or (0,))
    converted = litert.load(directory, litert.digests(directory), asked.shape[1], outputs).predict(asked)
    expected = _keras.predict(finished, asked)
    assert np.isfinite(expected).all()
    scale = max(1.0, float(np.abs(expected).max()))
    assert np.abs(converted.reshape(expected.shape) - expected).max() <= 1e-5 * scale
    assert np.array_equal(_keras.predict(_keras.load(directory), asked), expected)


def test_a_seed_repeats_a_training_in_another_process(tmp_path: Path) -> None:
    """Protects reproducibility: the same rows and seed give the same network, to the last bit."""
    model, schema, features, _ = trained("regression", **SMALL)
    written(model, schema, tmp_path / "model")
    np.save(tmp_path / "features.npy", features)
    np.save(tmp_path / "target.npy", rows("regression")[1])
    code = (
        "import sys, numpy as np; from pathlib import Path\n"
        "from container.models import multilayer_perceptron; from container.data.schema import Schema\n"
        "x, y = (np.load(Path(sys.argv[1]) / name) for name in ('features.npy', 'target.npy'))\n"
        "schema = Schema.read(Path(sys.argv[1]) / 'model/schema.json')\n"
        "settings = multilayer_perceptron.Hyperparameters(units=8, epochs=3)\n"
        "model = multilayer_perceptron.create(schema, settings, 7)\n"
        "model.fit(x[:400], y[:400], (x[400:], y[400:]))\n"
        "np.save(Path(sys.argv[1]) / 'again.npy', model.predict(x))\n"
    )
    subprocess.run([sys.executable, "-c", code, tmp_path], cwd=PROJECT, check=True, capture_output=True)
    assert np.array_equal(np.load(tmp_path / "again.npy"), model.predict(features))


SECOND_HOST = """
import json, sys, numpy as np; from pathlib import Path
from container.runtime.process_group import connect; from container.runtime.paths import ResourceConfig
from container.models import multilayer_perceptron; from container.data.schema import Schema
place = Path(sys.argv[1])
x, y = (np.load(place / name) for name in ('features.npy', 'target.npy'))
schema = Schema.read(place / 'schema.json')
settings = multilayer_perceptron.Hyperparameters(**json.loads(sys.argv[2]))
model = multilayer_perceptron.create(schema, settings, 7)
with connect(ResourceConfig('algo-2', ('algo-1', 'algo-2'), 'lo')) as hosts:
    model.fit_distributed(hosts, x[:400], y[:400], (x[400:], y[400:]))
np.savez(place / 'second.npz', *model.network.get_weights())
"""


def test_two_hosts_learn_one_network_as_good_as_one_hosts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Protects training on several instances: equal to the last bit on both, stopped after the same epoch."""
    settings: dict[str, Any] = {"epochs": 60, "units": 32, "learning_rate": 0.01, "patience": 5}
    alone, schema, features, target = trained("regression", **settings)
    monkeypatch.setenv("SAGEMAKER_BASE_DIR", str(tmp_path / "algo-1"))
    np.save(tmp_path / "features.npy", features)
    np.save(tmp_path / "target.npy", target)
    schema.write(tmp_path / "schema.json")
    other = subprocess.Popen([sys.executable, "-c", SECOND_HOST, tmp_path, json.dumps(settings)], cwd=PROJECT)
    model = multilayer_perceptron.create(schema, multilayer_perceptron.Hyperparameters(**settings), 7)
    with connect(ResourceConfig("algo-1", ("algo-1", "algo-2"), "lo")) as hosts:
        model.fit_distributed(hosts, features[:400], target[:400], (features[400:], target[400:]))
    assert other.wait(60) == 0
    with np.load(tmp_path / "second.npz") as second:
        both = zip(model.network.get_weights(), second.values(), strict=True)
        assert all(np.array_equal(first, other) for first, other in both)
    errors = [np.abs(each.predict(features) - target)[400:].mean() for each in (alone, model)]
    assert errors[1] < 1.2 * errors[0] + 0.01


def test_rows_that_training_never_saw_get_answers() -> None:
    """Protects an endpoint: unknown categories, empty rows and numbers beyond 32 bits."""
    model, *_ = trained("regression", **SMALL)
    nothing = [np.nan] * 4
    strange = np.array([nothing, [1.7e308, 3.0, -1.7e308, 99.0], [0.0, np.nan, 0.0, -1.0]])
    assert np.isfinite(model.predict(strange)).all()


def test_training_stops_when_the_validation_rows_no_longer_gain(capsys: pytest.CaptureFixture[str]) -> None:
    """Protects from learning the training rows by heart, and keeps the weights of the best epoch."""
    schema = Schema(TARGETS["regression"], FEATURES)
    features, _ = rows("regression")
    noise = np.random.default_rng(0).normal(size=len(features))
    model = multilayer_perceptron.create(
        schema, multilayer_perceptron.Hyperparameters(epochs=400, patience=3), 1
    )
    model.fit(features[:400], noise[:400], (features[400:], noise[400:]))
    epochs = int(capsys.readouterr().out.partition("epochs=")[2].split()[0])
    assert epochs < 400
    assert np.std(model.predict(features[:400])) < np.std(noise) / 2


def test_weights_that_grow_beyond_all_numbers_are_refused() -> None:
    """Protects from a model that answers every request with no number."""
    with pytest.raises(ValueError, match="learning_rate"):
        trained("regression", learning_rate=1e30, **SMALL)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the directory of a small artifact."""
    model, schema, *_ = trained("multiclass", **SMALL)
    return written(model, schema, tmp_path_factory.mktemp("saved") / "model")


def copied(saved: Path, directory: Path) -> Path:
    """Return a copy of an artifact, and its schema."""
    subprocess.run(["cp", "-R", saved, directory], check=True)
    return directory / saved.name


@pytest.mark.parametrize("name", ["model.tflite", "saved_model/saved_model.pb"])
def test_a_file_that_training_did_not_write_is_refused(saved: Path, tmp_path: Path, name: str) -> None:
    """Protects from damage, and from one model's answers under another's name."""
    directory = copied(saved, tmp_path)
    content = bytearray((directory / name).read_bytes())
    content[len(content) // 2] ^= 1
    (directory / name).write_bytes(content)
    with pytest.raises(UserError, match=f"{name.partition('/')[0]} is damaged or another model's"):
        model_artifact.load(directory)


def test_without_its_converted_form_a_network_does_not_serve(saved: Path, tmp_path: Path) -> None:
    """Protects serving processes from importing TensorFlow."""
    directory = copied(saved, tmp_path)
    (directory / litert.CONVERTED).unlink()
    with pytest.raises(UserError, match=r"model\.tflite is missing"):
        model_artifact.load(directory)


def test_a_network_and_a_schema_that_disagree_are_refused(saved: Path, tmp_path: Path) -> None:
    """Protects answers from a model that learned other columns or classes."""
    directory = copied(saved, tmp_path)
    for schema, message in (
        (Schema(TARGETS["multiclass"], FEATURES[:2]), "number of features"),
        (Schema(TARGETS["binary"], FEATURES), "classes"),
    ):
        schema.write(directory / model_artifact.SCHEMA)
        with pytest.raises(UserError, match=message):
            multilayer_perceptron.LOADED.load(directory, schema)
        with pytest.raises(UserError, match=r"disagrees with schema\.json"):
            model_artifact.load(directory)


def test_damaged_networks_are_refused(saved: Path) -> None:
    """Protects the process: the interpreter takes only what its own check lets through."""
    whole = (saved / litert.CONVERTED).read_bytes()
    for content in (b"", b"no model", whole[: len(whole) // 2]):
        with pytest.raises(ValueError, match=r".+"):
            litert.LiteRT(content, 4, 3)


def test_a_scikit_learn_model_stays_one(tmp_path: Path) -> None:
    """Protects projects that change their model: each artifact says by its files what it is."""
    schema = Schema(TARGETS["regression"], FEATURES)
    features, target = rows("regression")
    module = models.module("linear_model")
    model = module.create(schema, module.Hyperparameters(), 0)
    model.fit(features, target, None)
    model.save(tmp_path)
    schema.write(tmp_path / model_artifact.SCHEMA)
    (tmp_path / model_artifact.MODEL).write_text('{"version": 1, "model": "linear_model"}', encoding="utf-8")
    assert model_artifact.framework(tmp_path) == "scikit-learn"
    assert np.array_equal(model_artifact.load(tmp_path).predict(features), model.predict(features))
