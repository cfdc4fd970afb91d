"""Protects the memory and the start of an endpoint: a network is served without TensorFlow."""

import importlib.util
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from container import model_artifact

if importlib.util.find_spec("tensorflow") is None:
    pytest.skip("the project was made without TensorFlow", allow_module_level=True)

PROJECT = Path(__file__).parents[3]
SCHEMA: dict[str, Any] = {
    "version": 1,
    "target": {"name": "y", "task": "regression", "classes": None},
    "features": [
        {"name": "size", "kind": "numeric"},
        {"name": "sex", "kind": "categorical", "categories": ["F", "I", "M"], "other": False},
    ],
}


@pytest.fixture
def trained(tmp_path: Path) -> Path:
    """Return the tree of a training job that has ended; TensorFlow was in its process alone."""
    random = np.random.default_rng(3)
    for channel, count in (("train", 200), ("validation", 50)):
        folder = tmp_path / "input/data" / channel
        folder.mkdir(parents=True)
        rows = zip(random.normal(size=count).tolist(), random.choice(list("FIM"), count), strict=True)
        lines = [f"{size * 2 + 'FIM'.index(sex)!r},{size!r},{sex}\n" for size, sex in rows]
        (folder / f"{channel}.csv").write_text("y,size,sex\n" + "".join(lines), encoding="utf-8")
    for name, content in (
        ("data/schema/schema.json", SCHEMA),
        ("config/hyperparameters.json", {"model": "multilayer_perceptron", "units": "8", "epochs": "5"}),
    ):
        (tmp_path / "input" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "input" / name).write_text(json.dumps(content), encoding="utf-8")
    command = [sys.executable, "-m", "container", "train"]
    environment = os.environ | {"SAGEMAKER_BASE_DIR": str(tmp_path)}
    subprocess.run(command, cwd=PROJECT, env=environment, check=True, capture_output=True)
    return tmp_path


def test_a_network_is_served_without_tensorflow(start: Callable[..., Any], trained: Path) -> None:
    """No process of the server imports it, and each answer is that of `predict`, to the last bit."""
    server = start(
        "-m",
        "container",
        "serve",
        SAGEMAKER_BASE_DIR=str(trained),
        MODEL_SERVER_WORKERS="2",
        PYTHONPROFILEIMPORTTIME="1",
    ).ready()
    rows = np.array([[0.5, 1.0], [np.nan, 2.0], [-3.0, np.nan]])
    expected = model_artifact.load(trained / "model").predict(rows)
    lines = ["0.5,I", ",M", "-3.0,"]
    assert [float(each) for each in server.predict("\n".join(lines)).body.split()] == expected.tolist()
    assert [float(server.predict(line).body) for line in lines] == expected.tolist()
    assert server.stop() == 0
    imported = set(re.findall(r"^import time:.*\| +(\w+)", server.log, re.MULTILINE))
    assert "ai_edge_litert" in imported
    assert imported & {"tensorflow", "keras", "sklearn"} == set()
