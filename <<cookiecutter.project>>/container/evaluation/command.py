"""Evaluate the model on the test split: load, predict, score, explain, write."""

import csv
import json
import tempfile
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from container import model_artifact
from container.data import dataset, metrics
from container.data.dataset import Dataset
from container.data.schema import IMAGE, Schema
from container.evaluation import champion, golden, importance, intervals, learning_curve, quality, warnings
from container.evaluation.champion import Comparison
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
    validation: Dataset
    test: Dataset

    @property
    def splits(self) -> dict[str, Dataset]:
        """Return the splits by name."""
        return {"train": self.train, "validation": self.validation, "test": self.test}

    @property
    def keys(self) -> intervals.Keys:
        """Return the (n,) keys of the test rows, where they are known."""
        return self.test.keys.rows if self.test.keys else None


@dataclass(frozen=True)
class Predictions:
    """Hold predictions for the test rows, (n,) numbers or (n, classes) probabilities, of the models."""

    model: FloatArray
    naive: FloatArray
    champion: Comparison | None  # where the job has one


@dataclass(frozen=True)
class Scores:
    """Hold evaluation.json, and intervals.json and gate.json without warnings and the list of reports."""

    quality: Report
    intervals: Report
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
        # The learning curve trains models, which takes as long as all that the other thread does meanwhile.
        with ThreadPoolExecutor(max_workers=1) as pool:
            curve = pool.submit(_learning_curve, inputs)
            predictions = predict(inputs)
            scores = score(inputs, predictions)
            explanations = explain(inputs, predictions, curve)
        write(place.processing_output / "evaluation", inputs, predictions, scores, explanations)
    log("evaluated", model=inputs.model.name, rows=len(inputs.test.target), **scores.gate["metrics"])


def load(source: Path, directory: Path) -> Inputs:
    """Unpack the model of the processing inputs into a directory, and read the splits."""
    model_artifact.extract(source / "model" / "model.tar.gz", directory)
    model = model_artifact.load(directory)
    train, validation, test = (
        dataset.read(source / split, model.schema) for split in ("train", "validation", "test")
    )
    return Inputs(source, directory, model, train, validation, test)


def predict(inputs: Inputs) -> Predictions:
    """Predict the test rows, by the model, by a naive one and by the champion."""
    schema = inputs.model.schema
    naive = quality.naive(inputs.train.target, inputs.test.target, schema.target)
    archive = inputs.source / "champion" / "model.tar.gz"
    compared = None
    if archive.parent.is_dir():
        compared = champion.measure(archive, schema, inputs.test, inputs.directory)
    return Predictions(inputs.model.predict(inputs.test.features), naive, compared)


def score(inputs: Inputs, predictions: Predictions) -> Scores:
    """Measure the predictions, how sure their metrics are, and how far they are from the champion's."""
    labels, target = inputs.test.target, inputs.model.schema.target
    measured = metrics.scores(labels, predictions.model, target)
    gate: Report = {
        "metrics": measured,
        "written": {name: f"{value:,.6g}" for name, value in measured.items()},  # as a terminal shows them
        "naive": metrics.scores(labels, predictions.naive, target),
        "rows": len(labels),
        "task": target.task,
    }
    own = intervals.of_metrics(labels, predictions.model, target, inputs.keys)
    gate["intervals"] = {name: intervals.describe(interval) for name, interval in own.items()}
    report: Report = {
        **intervals.METHOD,
        **warnings.count(inputs.splits, inputs.model.schema),
        "metrics": own,
    }
    if predictions.champion is not None:
        gate["champion"], report["differences"] = compare(inputs, predictions.model, predictions.champion)
        log("champion", **predictions.champion.report.get("metrics", predictions.champion.report))
    # The monitor reads ground truth by the schema of the target.
    known = quality.quality(labels, predictions.model, target) | {"schema": Schema(target, ()).to_json()}
    return Scores(known, report, gate)


def compare(inputs: Inputs, predicted: FloatArray, theirs: Comparison) -> tuple[Report, Report]:
    """Return the champion's part of gate.json, and the differences from the champion with their intervals."""
    if theirs.predicted is None or theirs.rows is None:
        return theirs.report, {}
    labels, ours = inputs.test.target[theirs.rows], predicted[theirs.rows]
    target = inputs.model.schema.target
    measured = metrics.scores(labels, ours, target)
    known = theirs.report["metrics"]
    apart = {name: value - known[name] for name, value in measured.items() if name in known}
    keys = None if inputs.keys is None else inputs.keys[theirs.rows]
    found = intervals.of_differences(apart, labels, [ours, theirs.predicted], target, keys)
    few = intervals.too_few(len(labels), keys)
    said = {
        name: intervals.describe_difference(name, found.get(name, {"value": value}), len(labels), few)
        for name, value in apart.items()
    }
    return {**theirs.report, "challenger": measured, "differences": said}, found


def explain(inputs: Inputs, predictions: Predictions, curve: Future[Report | None]) -> Explanations:
    """Make the reports beside the scores: golden requests, feature importance and the learning curve."""
    fair = predictions.champion.rows if predictions.champion else None
    return Explanations(
        golden.requests(inputs.model, inputs.test, predictions.model, fair),
        importance.measure(inputs.model, inputs.test),
        curve.result(),
    )


def write(
    output: Path, inputs: Inputs, predictions: Predictions, scores: Scores, explanations: Explanations
) -> None:
    """Write every report, gate.json with their names, differences.csv and an image model's baseline."""
    output.mkdir(parents=True, exist_ok=True)
    cautions = {"warnings": list_warnings(inputs, scores, explanations.importance)}
    for message in cautions["warnings"]:
        log("warning", message=message)
    reports = {
        "evaluation": scores.quality,
        "intervals": scores.intervals | cautions,
        "golden": explanations.golden,
        "explanation": explanations.importance,
        "learning_curve": explanations.learning_curve,
    }
    applicable = {name: report for name, report in reports.items() if report}
    gate = scores.gate | cautions | {"reports": list(applicable)}
    for name, report in (applicable | {"gate": gate}).items():
        _write_json(output / f"{name}.json", report)
    _write_differences(output / "differences.csv", inputs, predictions.model)
    if inputs.model.schema.workload == IMAGE:
        _write_baseline(inputs.source / "baseline", predictions.model, output)


def list_warnings(inputs: Inputs, scores: Scores, explained: Report | None) -> list[str]:
    """List what a person should know before the model serves, in plain sentences."""
    few = intervals.too_few(scores.gate["rows"], inputs.keys)
    unsure = f"The test split {few}: how far the metrics are from the truth is not known."
    return [
        *warnings.comparison(scores.gate.get("champion", {}), scores.gate["rows"]),
        *warnings.few_rows(scores.intervals),
        *([unsure] if few else []),
        *warnings.leaks(explained, inputs.model.schema, inputs.splits),
    ]


def _learning_curve(inputs: Inputs) -> Report | None:
    if not learning_curve.applies(inputs.directory, inputs.model.schema):
        return None
    return learning_curve.measure(inputs.directory, inputs.model, inputs.train, inputs.validation)


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
