"""A target in any number format keeps its unit from `prepare` to ground truth."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from container import models
from container.data import encode
from container.data.schema import Schema
from container.model_artifact import ModelArtifact
from container.monitor.ground_truth import join
from container.monitor.window import Window
from container.prepare import Settings, prepare
from container.serving.service import TableService
from tests.container.monitor.captured import ground_truth, lines, record

ROWS = 120


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (lambda n: n / 2, "{:g}%"),
        (lambda n: 1000 + 37 * n, "{:,}"),
        (lambda n: -n - 0.5, "({:g})"),
        (lambda n: -5 * n - 5, "\u2212{}"),
    ],
    ids=["12%", "1 234", "(12.5)", "\u22125"],
)
def test_a_target_keeps_its_unit(tmp_path: Path, number: Callable[[int], float], text: str) -> None:
    """Protects the metrics: training, answers and ground truth are in one unit, and nothing is left out."""
    numbers = [number(n) for n in range(ROWS)]
    spelled = [text.format(abs(value)).replace(",", " ") for value in numbers]
    folder = tmp_path / "in"
    folder.mkdir()
    pl.DataFrame({"x": [value + 0.25 for value in numbers], "y": spelled}).write_csv(folder / "a.csv")
    prepare(Settings("y", "regression"), folder, tmp_path)
    schema = Schema.read(tmp_path / "schema" / "schema.json")
    train, validation = (encode.read(tmp_path / name, schema) for name in ("train", "validation"))
    assert np.array_equal(train.target, train.features[:, 0] - 0.25)
    linear = models.module("linear_model")
    model = linear.create(schema, linear.Hyperparameters(), 0)
    model.fit(train.features, train.target, (validation.features, validation.target))
    service = TableService(ModelArtifact(schema, model, "linear_model"))
    body = "".join(f"{value + 0.25}\n" for value in numbers).encode()
    answers = service.respond(body, b"text/csv", b"text/csv").body.decode().split()
    sent = [record("1", inference=f"i{n}", answer=answer) for n, answer in enumerate(answers)]
    for name, content in {
        "sent": lines(sent),
        "true": lines([ground_truth(f"i{n}", label) for n, label in enumerate(spelled)]),
    }.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.jsonl").write_bytes(content)
    pairs, counts, _ = join(tmp_path / "sent", tmp_path / "true", Window(), schema.target)
    assert (counts.labelled, counts.mismatched, counts.unmatched) == (ROWS, 0, 0)
    assert pairs.labels.tolist() == numbers
    assert np.abs(pairs.predicted - pairs.labels).max() < 0.05 * np.ptp(numbers)
