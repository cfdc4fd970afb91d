"""Evaluate the model on the test split: load, predict, score, explain, write."""

import csv
import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from container import model_artifact
from container.data import dataset, metrics
from container.data.dataset import Dataset
from container.data.schema import IMAGE, Schema
from container.evaluation import champion, golden, importance, learning_curve, quality
from container.images import CONFIDENCE
from container.model_artifact import ModelArtifact
from container.runtime.log import log
from container.runtime.paths import ContainerPaths
from container.runtime.typing import FloatArray

Report = dict[str, Any]


@dataclass(frozen=True)
class Inputs:
    """Hold the job's inputs: the loaded model with its unpacked directory, and the splits."""

    source: Path  # of the processing inputs, each in a directory of its own
    directory: Path  # of the unpacked model
    model: ModelArtifact
    train: Dataset
    test: Dataset


@dataclass(frozen=True)
class Predictions:
    """Hold predictions for the test rows, (n,) numbers or (n, classes) probabilities, by two models."""

    model: FloatArray
    naive: FloatArray


@dataclass(frozen=True)
class Scores:
    """Hold evaluation.json, and gate.json without its list of reports."""

    quality: Report
    gate: Report


@dataclass(frozen=True)
class Explanations:
    """Hold the reports that explain the model; None where a report does not apply to it."""

    golden: Report
    importance: Report | None
    learning_curve: Report | None


def main() -> None:
    """Evaluate the model of a processing job."""
    place = ContainerPaths.current()
    with tempfile.TemporaryDirectory() as unpacked:
        inputs = load(place.processing_input, Path(unpacked))
        predictions = predict(inputs)
        scores = score(inputs, predictions)
        explanations = explain(inputs, predictions)
        write(place.processing_output / "evaluation", inputs, predictions, scores, explanations)
    log("evaluated", model=inputs.model.name, rows=len(inputs.test.target), **scores.gate["metrics"])


def load(source: Path, directory: Path) -> Inputs:
    """Unpack the model of the processing inputs into a directory, and read the splits."""
    model_artifact.extract(source / "model" / "model.tar.gz", directory)
    model = model_artifact.load(directory)
    test = dataset.read(source / "test", model.schema)
    return Inputs(source, directory, model, dataset.read(source / "train", model.schema), test)


def predict(inputs: Inputs) -> Predictions:
    """Predict the test rows, by the model and by a naive one."""
    target = inputs.model.schema.target
    naive = quality.naive(inputs.train.target, inputs.test.target, target)
    return Predictions(inputs.model.predict(inputs.test.features), naive)


def score(inputs: Inputs, predictions: Predictions) -> Scores:
    """Measure the predictions, and the champion's where the job has one."""
    schema, labels = inputs.model.schema, inputs.test.target
    gate: Report = {
        "metrics": metrics.scores(labels, predictions.model, schema.target),
        "naive": metrics.scores(labels, predictions.naive, schema.target),
        "rows": len(labels),
        "task": schema.target.task,
    }
    archive = inputs.source / "champion" / "model.tar.gz"
    if archive.parent.is_dir():
        gate["champion"] = champion.measure(archive, schema, inputs.test)
        log("champion", **gate["champion"].get("metrics", gate["champion"]))
    report = quality.quality(labels, predictions.model, schema.target)
    # The monitor reads ground truth by the schema of the target.
    return Scores(report | {"schema": Schema(schema.target, ()).to_json()}, gate)


def explain(inputs: Inputs, predictions: Predictions) -> Explanations:
    """Make the reports beside the scores: golden requests, feature importance and the learning curve."""
    return Explanations(
        golden.requests(inputs.model, inputs.test, predictions.model),
        importance.measure(inputs.model, inputs.test),
        _learning_curve(inputs),
    )


def write(
    output: Path, inputs: Inputs, predictions: Predictions, scores: Scores, explanations: Explanations
) -> None:
    """Write every report, gate.json with their names, differences.csv and an image model's baseline."""
    output.mkdir(parents=True, exist_ok=True)
    reports = {
        "evaluation": scores.quality,
        "golden": explanations.golden,
        "explanation": explanations.importance,
        "learning_curve": explanations.learning_curve,
    }
    applicable = {name: report for name, report in reports.items() if report}
    for name, report in (applicable | {"gate": scores.gate | {"reports": list(applicable)}}).items():
        _write_json(output / f"{name}.json", report)
    _write_differences(output / "differences.csv", inputs, predictions.model)
    if inputs.model.schema.workload == IMAGE:
        _write_baseline(inputs.source / "baseline", predictions.model, output)


def _learning_curve(inputs: Inputs) -> Report | None:
    if not learning_curve.applies(inputs.directory, inputs.model.schema):
        return None
    validation = dataset.read(inputs.source / "validation", inputs.model.schema)
    return learning_curve.measure(inputs.directory, inputs.model, inputs.train, validation)


def _write_differences(path: Path, inputs: Inputs, predicted: FloatArray) -> None:
    labels, classes = inputs.test.target.tolist(), inputs.model.schema.target.classes
    rows: list[tuple[Any, ...]]
    if classes is None:
        header = ("row", "label", "prediction", "difference")
        pairs = zip(labels, predicted.tolist(), strict=True)
        rows = [(label, value, value - label) for label, value in pairs]
    else:
        header = ("row", "label", "predicted", "probability")
        codes, probabilities = predicted.argmax(axis=1).tolist(), predicted.max(axis=1).tolist()
        named = ((classes[int(label)], classes[code]) for label, code in zip(labels, codes, strict=True))
        rows = [(*names, probability) for names, probability in zip(named, probabilities, strict=True)]
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows((number, *row) for number, row in enumerate(rows, 1))


def _write_baseline(source: Path, predicted: FloatArray, output: Path) -> None:
    """Add the model's confidence in the test images, which it has not learned from, to their baseline."""
    from container.monitor import baseline  # noqa: PLC0415 - an evaluation of tables does not need the monitor

    baseline.add_columns(source, pl.DataFrame({CONFIDENCE: predicted.max(axis=1)}), output)


def _write_json(path: Path, content: Report) -> None:
    path.write_text(json.dumps(content, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
