"""Protects: every content type, model and task answers through the server what the model itself predicts."""

import csv
import importlib.util
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest

from container import model_artifact, models
from container.data.schema import Feature, Schema, Target
from container.inference import compiled_model, litert
from container.inference.native import serialization
from container.inference.native.library import UnavailableError
from container.inference.native.load import load
from container.payload.negotiation import CSV, JSON, JSON_LINES, NPY, SUPPORTED
from container.runtime.typing import FloatArray

TARGETS = (
    Target("y", "regression"),
    Target("y", "binary", ("no", "yes")),
    Target("y", "multiclass", ("a", "b", 'a "quoted", one')),
)
FEATURES = (
    Feature("size", "numeric"),
    Feature("rooms", "categorical", ("1", "2", "5")),
    Feature("age", "numeric"),
)
NEEDS_TENSORFLOW = pytest.mark.skipif(
    importlib.util.find_spec("tensorflow") is None, reason="the project was made without TensorFlow"
)
MODELS = [
    pytest.param(name, marks=[NEEDS_TENSORFLOW] if name == "multilayer_perceptron" else [])
    for name in models.available()
]
QUICK: dict[str, dict[str, Any]] = {
    "multilayer_perceptron": {"units": 8, "epochs": 5},
    "random_forest": {"n_estimators": 20},
    "gradient_boosting": {"max_iter": 20},
}
MANY = 60  # rows of a request, and one alone
UNKNOWN = 7  # rooms, which no training row had


@dataclass(frozen=True)
class Served:
    """Hold a running server, and what its model predicts for rows as `Feature.encode` gives them."""

    server: Any
    target: Target
    cells: list[list[float | None]]
    expected: FloatArray


def encoded(cells: list[list[float | None]]) -> FloatArray:
    """Return rows as the training data's are encoded."""
    texts = [["" if cell is None else f"{cell:.17g}" for cell in row] for row in cells]
    return np.array([[f.encode(text) for f, text in zip(FEATURES, row, strict=True)] for row in texts])


def rows(count: int) -> list[list[float | None]]:
    """Return numbers, with missing ones and a category that is unknown."""
    random = np.random.default_rng(8)
    size, age = random.normal(size=(2, count)).tolist()
    rooms = random.choice([1, 2, 5], count).tolist()
    cells: list[list[float | None]] = [list(row) for row in zip(size, rooms, age, strict=True)]
    for place in range(3):
        cells[place + 1][place] = None
    cells[4][1] = UNKNOWN
    return cells


def train(name: str, target: Target, directory: Path) -> FloatArray:
    """Train a model, save both of its forms as `train` does, and return what it predicts for `rows(MANY)`.

    A network predicts by LiteRT, which test_multilayer_perceptron.py holds to the portable form.
    """
    schema, module = Schema(target, FEATURES), models.module(name)
    features = encoded(rows(300))
    score: FloatArray = np.nan_to_num(features) @ np.array([1.0, 0.5, -1.0])
    if target.classes is not None:
        score = np.digitize(score, [-0.5, 0.5][: len(target.classes) - 1]).astype(np.float64)
    model = module.create(schema, module.Hyperparameters(**QUICK.get(name, {})), 0)
    model.fit(features, score, None)
    model.save(directory)
    schema.write(directory / model_artifact.SCHEMA)
    description = {"version": 1, "model": name, "digests": litert.digests(directory)}
    (directory / model_artifact.MODEL).write_text(json.dumps(description))
    if model_artifact.framework(directory) == model_artifact.TENSORFLOW:
        return model_artifact.load(directory).predict(encoded(rows(MANY)))
    serialization.write(directory, compiled_model.compile_model(model))
    return model.predict(encoded(rows(MANY)))


@pytest.fixture(scope="module", params=TARGETS, ids=lambda target: target.task)
def target(request: pytest.FixtureRequest) -> Target:
    found: Target = request.param
    return found


@pytest.fixture(scope="module", params=MODELS)
def served(
    request: pytest.FixtureRequest, target: Target, tmp_path_factory: pytest.TempPathFactory, serve: Any
) -> Iterator[Served]:
    base = tmp_path_factory.mktemp("served")
    (base / "model").mkdir()
    expected = train(request.param, target, base / "model")
    with serve("-m", "container", "serve", SAGEMAKER_BASE_DIR=str(base), MODEL_SERVER_WORKERS="1") as server:
        yield Served(server, target, rows(MANY), expected)


def as_csv(cells: list[list[float | None]]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(cells)
    return text.getvalue().encode()


def as_array(cells: list[list[float | None]]) -> bytes:
    file = io.BytesIO()
    np.save(file, np.array([[np.nan if cell is None else cell for cell in row] for row in cells]))
    return file.getvalue()


def named(cells: list[list[float | None]]) -> list[dict[str, float | None]]:
    return [dict(zip(("size", "rooms", "age"), row, strict=True)) for row in cells]


REQUESTS = {
    "csv": (CSV, as_csv),
    "csv with a header": (CSV, lambda cells: b"size,rooms,age\n" + as_csv(cells)),
    "json": (JSON, lambda cells: orjson.dumps({"instances": cells})),
    "json by name": (JSON, lambda cells: orjson.dumps({"instances": named(cells)})),
    "json lines": (JSON_LINES, lambda cells: b"\n".join(map(orjson.dumps, cells))),
    "json lines by name": (JSON_LINES, lambda cells: b"\n".join(map(orjson.dumps, named(cells)))),
    "npy": (NPY, as_array),
}


def exact(answer: bytes, kind: str, target: Target) -> list[Any]:
    """Read an answer: numbers, or rows of probabilities; of CSV a label and its probability."""
    if kind == NPY:
        array: list[Any] = np.load(io.BytesIO(answer), allow_pickle=False).tolist()
        return array
    if kind == CSV:
        lines = list(csv.reader(io.StringIO(answer.decode())))
        return (
            [(label, float(sure)) for label, sure in lines]
            if target.classes
            else [float(row[0]) for row in lines]
        )
    predictions = (
        orjson.loads(answer)["predictions"] if kind == JSON else [*map(orjson.loads, answer.split(b"\n"))]
    )
    if target.classes is None:
        return list(predictions)
    return [[row["probabilities"][name] for name in target.classes] for row in predictions]


@pytest.mark.parametrize("accept", SUPPORTED)
@pytest.mark.parametrize("request_form", REQUESTS)
def test_the_server_answers_what_the_model_predicts(served: Served, request_form: str, accept: str) -> None:
    """To the last bit, for many rows, and for single ones."""
    kind, write = REQUESTS[request_form]
    expected: list[Any] = served.expected.tolist()
    if served.target.classes and accept == CSV:
        expected = [(served.target.classes[row.index(max(row))], max(row)) for row in expected]
    for part in (slice(None), *(slice(row, row + 1) for row in range(6))):
        reply = served.server.predict(write(served.cells[part]), kind, accept=accept)
        assert reply.status == 200, reply.body
        assert reply.headers["content-type"].partition(";")[0] == accept
        assert exact(reply.body, accept, served.target) == expected[part]


@pytest.mark.parametrize("request_form", REQUESTS)
def test_what_is_missing_or_unknown_is_counted_in_every_form(served: Served, request_form: str) -> None:
    kind, write = REQUESTS[request_form]
    headers = served.server.predict(write(served.cells), kind).headers
    assert (headers["x-missing-values"], headers["x-unknown-values"]) == ("3", "1")


def test_its_compiled_form_serves(served: Served) -> None:
    """Protects the other tests: the two forms of a model are compared, and not one with itself."""
    try:
        load()
    except UnavailableError as error:
        pytest.skip(str(error))
    assert served.server.ask("GET", "/ping").headers["x-serving-form"] in {"compiled", "litert"}
