"""A model learns from the validation rows too, and its scores stay those of a model that has not."""

import json
import shutil
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from container import learned_rows, train
from container.data import dataset
from container.data.schema import Feature, Schema, Target
from container.evaluation import learning_curve
from container.model_artifact import load

SCHEMA = Schema(Target("y", "regression"), (Feature("a", "numeric"), Feature("b", "numeric")))


@pytest.fixture
def base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the directory of a training job with 300 train and 100 validation rows."""
    monkeypatch.setenv("SAGEMAKER_BASE_DIR", str(tmp_path))
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    random = np.random.default_rng(1)
    for name, count in (("train", 300), ("validation", 100)):
        rows = random.normal(size=(count, 2))
        labels = rows[:, 0] * rows[:, 1] + random.normal(size=count) / 2
        lines = [
            f"{label!r},{a!r},{b!r}" for label, (a, b) in zip(labels.tolist(), rows.tolist(), strict=True)
        ]
        path = tmp_path / "input/data" / name / f"{name}.csv"
        path.parent.mkdir(parents=True)
        path.write_text("\n".join(["y,a,b", *lines]) + "\n")
    SCHEMA.write(tmp_path / "input/data/schema/schema.json")
    (tmp_path / "input/config").mkdir()
    return tmp_path


def trained(base: Path, **hyperparameters: str) -> tuple[dict[str, Any], Path]:
    """Train as a job does; return the content of model.json, and a copy of the model."""
    (base / "input/config/hyperparameters.json").write_text(json.dumps(hyperparameters))
    train.main()
    copied = base / ("-".join(hyperparameters.values()) or "default")
    shutil.copytree(base / "model", copied)
    return json.loads((copied / "model.json").read_bytes()), copied


def test_scores_are_those_of_the_model_before_its_refit(
    base: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Protects the metrics that a job prints, and the learning curve: no row of theirs was learned from."""
    facts, refit = trained(base)
    printed = capsys.readouterr().out
    before, plain = trained(base, refit="false")
    assert (facts["refit"], before["refit"]) == (True, False)
    assert (facts["learned_rows"], before["learned_rows"]) == (400, 300)
    assert facts["validation"] == before["validation"]
    assert f"validation_rmse={facts['validation']['rmse']!r};" in printed.splitlines()
    assert 0 < facts["iterations"] < 500
    parts = [dataset.read(base / "input/data" / name, SCHEMA) for name in ("train", "validation")]
    curves = [learning_curve.measure(path, load(path), *parts) for path in (refit, plain)]
    assert curves[0] == curves[1]
    assert curves[0]["points"][-1] == {
        "training": facts["training"],
        "validation": facts["validation"],
        "rows": 300,
    }
    features = parts[1].features
    assert not np.array_equal(load(refit).predict(features), load(plain).predict(features))


def test_the_record_has_the_rows_of_both_splits_and_is_not_needed_to_serve(base: Path) -> None:
    """The validation rows ended the training of a model that is not refit: they are not test rows either."""
    for path in (trained(base)[1], trained(base, refit="false")[1]):
        for name in ("train", "validation"):
            part = dataset.read(base / "input/data" / name, SCHEMA)
            assert not learned_rows.new_rows(path, part.features, part.target).any()
            assert learned_rows.new_rows(path, part.features, part.target + 1).all()
        (path / learned_rows.FILE).unlink()
        assert load(path).form == "compiled"


def test_a_model_without_a_refit_is_used_as_fitted(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Protects the models of a project's own that were written before."""
    from container.models import linear_model  # noqa: PLC0415 - the one that is changed

    members = {name: member for name, member in vars(linear_model.LinearModel).items() if name != "refit"}
    plain = type("Plain", linear_model.LinearModel.__bases__, members)
    monkeypatch.setattr(linear_model, "LinearModel", plain)
    monkeypatch.setattr(linear_model, "LOADED", plain)
    facts, _ = trained(base, model="linear_model")
    assert (facts["refit"], facts["learned_rows"], facts.get("iterations")) == (False, 300, None)
