"""Protects: the requests that an image endpoint accepts, its responses and its errors."""

import base64
import importlib.util
import io
import json
import re
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from container import model_artifact, models
from container.data.schema import IMAGE, Schema, Target
from container.images import decode
from container.inference import compiled_model, litert
from container.inference.native import serialization

from .conftest import Server

SIDE = 16
NEEDS_TENSORFLOW = pytest.mark.skipif(
    importlib.util.find_spec("tensorflow") is None, reason="the project was made without TensorFlow"
)
QUICK: dict[str, dict[str, Any]] = {"convolutional_network": {"filters": 8, "epochs": 40, "batch_size": 16}}
SCHEMA = Schema(Target("label", "binary", ("bicycle", "motor, cycle")), (), SIDE)


def drawn(label: int, seed: int, size: int = 20) -> Image.Image:
    """Draw level or upright stripes."""
    random = np.random.Generator(np.random.PCG64(seed))
    stripes = 100 + 80 * np.sin(np.arange(size) * 1.3 + seed)
    grey = np.tile(stripes, (size, 1)) if label else np.tile(stripes, (size, 1)).T
    noisy = grey[..., np.newaxis] + random.normal(0, 15, (size, size, 3))
    return Image.fromarray(noisy.clip(0, 255).astype(np.uint8))


def encoded(picture: Image.Image, kind: str = "PNG") -> bytes:
    body = io.BytesIO()
    picture.save(body, kind)
    return body.getvalue()


def model_of(name: str, directory: Path) -> models.Model:
    """Train a model and leave its artifact."""
    chosen = models.module(name, IMAGE)
    labels = np.arange(40) % 2
    seen = np.stack([decode.pixels(drawn(place % 2, place), SIDE) for place in range(len(labels))])
    model = chosen.create(SCHEMA, chosen.Hyperparameters(**QUICK.get(name, {})), 0)
    model.fit(seen, labels.astype(np.float64), None)  # type: ignore[arg-type]
    directory.mkdir(parents=True)
    model.save(directory)
    if model_artifact.framework(directory) == model_artifact.SCIKIT_LEARN:
        serialization.write(directory, compiled_model.compile_model(model))
    SCHEMA.write(directory / model_artifact.SCHEMA)
    facts = {"version": 1, "model": name, "digests": litert.digests(directory)}
    (directory / model_artifact.MODEL).write_text(json.dumps(facts))
    return model


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(name, marks=[NEEDS_TENSORFLOW] if name in QUICK else [])
        for name in models.available(IMAGE)
    ],
)
def model(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[models.Model, Path]:
    base = tmp_path_factory.mktemp("endpoint")
    return model_of(request.param, base / "model"), base


@pytest.fixture(scope="module")
def endpoint(model: tuple[models.Model, Path]) -> Iterator[Server]:
    _, base = model
    environment = {
        "SAGEMAKER_BASE_DIR": str(base),
        "MODEL_SERVER_WORKERS": "1",
        "PYTHONPROFILEIMPORTTIME": "1",
    }
    server = Server(["-m", "container", "serve"], base / "log", **environment)
    yield server.ready()
    assert server.stop() == 0
    imported = set(re.findall(r"^import time:.*\| +(\w+)", server.log, re.MULTILINE))
    assert imported & {"tensorflow", "keras"} == set()


@pytest.mark.parametrize(
    ("kind", "form_of"),
    [
        ("image/png", "PNG"),
        ("image/jpeg", "JPEG"),
        ("application/x-image", "PNG"),
        ("application/x-image", "JPEG"),
        *((f"image/{name.lower()}", name) for name in ("WEBP", "BMP", "TIFF", "GIF")),
    ],
)
def test_a_picture_is_answered_as_the_model_itself_would(
    endpoint: Server, model: tuple[models.Model, Path], kind: str, form_of: str
) -> None:
    body = encoded(drawn(1, 1000), form_of)
    seen: Any = decode.pixels(decode.decode(body), SIDE)[np.newaxis]
    (expected,) = model[0].predict(seen)
    reply = endpoint.predict(body, kind)
    assert reply.headers["content-type"] == "application/json"
    (answer,) = reply.json["predictions"]
    assert answer["probabilities"] == pytest.approx(
        dict(zip(SCHEMA.target.classes or (), expected, strict=True)),
        abs=1e-5,
    )
    assert answer["label"] == (SCHEMA.target.classes or ())[int(expected.argmax())] == "motor, cycle"
    assert expected.max() > 0.7


def test_csv_is_the_label_and_its_confidence(endpoint: Server) -> None:
    body = encoded(drawn(1, 1001))
    reply = endpoint.predict(body, "image/png", accept="text/csv")
    label, _, confidence = reply.body.decode().rpartition(",")
    assert label == '"motor, cycle"'
    assert float(confidence) == max(
        endpoint.predict(body, "image/png").json["predictions"][0]["probabilities"].values()
    )


def test_json_holds_one_picture_or_many(endpoint: Server) -> None:
    """As for TensorFlow Serving, or without its wrapping objects; the same predictions as one by one."""
    bodies = [encoded(drawn(label, 2000 + label)) for label in (0, 1)]
    texts = [base64.b64encode(body).decode() for body in bodies]
    alone = [endpoint.predict(body, "image/png").json["predictions"][0] for body in bodies]
    wrapped: list[Any] = [{"b64": text} for text in texts]
    url_safe = [base64.urlsafe_b64encode(body).decode().rstrip("=") for body in bodies]
    lines = [base64.encodebytes(body).decode().replace("\n", "\r\n") for body in bodies]
    urls = [f"data:image/png;{more}base64,{text}" for more in ("", "name=a.png;") for text in texts]
    assert any("-" in text or "_" in text for text in url_safe)
    for document in (
        *({"instances": wrapped}, wrapped, texts, {"instances": texts}),
        *(url_safe, lines, urls[:2], [{"b64": text} for text in urls[2:]]),
    ):
        assert endpoint.predict(json.dumps(document), "application/json").json["predictions"] == alone
    for one in (wrapped[0], texts[0]):
        assert endpoint.predict(json.dumps(one), "application/json").json["predictions"] == alone[:1]


def large(width: int, height: int) -> bytes:
    """Return a small PNG that says it is large."""
    parts = [
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)),
        (b"IDAT", zlib.compress(bytes(99))),
    ]
    chunks = (
        struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        for kind, content in [*parts, (b"IEND", b"")]
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


PNG = encoded(drawn(0, 0))


@pytest.mark.parametrize(
    ("body", "kind", "accept", "status", "code"),
    [
        (b"", "image/png", "", 400, "picture-empty"),
        (b"no picture", "image/png", "", 400, "picture-corrupt"),
        (PNG[: len(PNG) // 2], "image/png", "", 400, "picture-corrupt"),
        (large(6000, 6000), "image/png", "", 413, "picture-too-many-pixels"),
        (bytes(7 * 1024 * 1024), "image/png", "", 413, "too-large"),
        (PNG, "text/csv", "", 415, "unsupported-media-type"),
        (PNG, "", "", 415, "unsupported-media-type"),
        (PNG, "image/png", "image/png", 406, "not-acceptable"),
        (b"{", "application/json", "", 400, "invalid-json"),
        (b"{}", "application/json", "", 400, "no-instances"),
        (b"[]", "application/json", "", 400, "no-instances"),
        (b"[1]", "application/json", "", 400, "no-picture"),
        (b'[{"b64": 1}]', "application/json", "", 400, "no-picture"),
        (b'["?"]', "application/json", "", 400, "not-base64"),
        (b'["YWJ"]', "application/json", "", 400, "picture-corrupt"),
        (b'["YWJjZ"]', "application/json", "", 400, "not-base64"),
        (b'["YWI=="]', "application/json", "", 400, "not-base64"),
        (b'["data:image/png,YWJj"]', "application/json", "", 400, "not-base64"),
        (b'["data:image/png;base64,"]', "application/json", "", 400, "picture-empty"),
        (b'["YWJj"]', "application/json", "", 400, "picture-corrupt"),
        (json.dumps(["YWJj"] * 101).encode(), "application/json", "", 413, "too-many-pictures"),
    ],
)
def test_what_is_no_request_is_refused(  # noqa: PLR0913, PLR0917 - a case
    endpoint: Server, body: bytes, kind: str, accept: str, status: int, code: str
) -> None:
    """The caller gets an error that says what is wrong, and the next caller a prediction."""
    headers = {"accept": accept} if accept else {}
    reply = endpoint.predict(body, kind, **headers)
    assert (reply.status, reply.json["error"]["code"]) == (status, code)
    assert endpoint.predict(PNG, "image/png").status == 200


def test_the_compiled_form_is_what_serves(model: tuple[models.Model, Path]) -> None:
    """An endpoint starts without its training library, and the workers share the memory of the arrays."""
    assert model_artifact.load(model[1] / "model").form in {"compiled", "litert"}
