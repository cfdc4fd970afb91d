"""Score the model on the held-out test split, beside what a guess and the champion score there."""

import csv
import importlib
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from container import model_artifact
from container.data import dataset, metrics
from container.data.dataset import Dataset
from container.data.schema import IMAGE, Target
from container.evaluation import champion, importance, learning_curve
from container.images import CONFIDENCE
from container.model_artifact import ModelArtifact
from container.runtime.log import log
from container.runtime.paths import ContainerPaths
from container.runtime.typing import FloatArray

GOLDEN_ROWS = 100
# As SageMaker's own analyzer does it: the spread of five random four fifths, and only of so many rows.
RESAMPLES, RESAMPLED, MIN_RESAMPLED_ROWS = 5, 0.8, 200
SECTIONS = {
    "regression": "regression_metrics",
    "binary": "binary_classification_metrics",
    "multiclass": "multiclass_classification_metrics",
}


def main() -> None:
    """Evaluate the model of a processing job."""
    place = ContainerPaths.current()
    given, output = place.processing_input, place.processing_output / "evaluation"
    output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as unpacked:
        model_artifact.extract(given / "model" / "model.tar.gz", Path(unpacked))
        _evaluate(Path(unpacked), given, output)


def _evaluate(directory: Path, given: Path, output: Path) -> None:
    loaded = model_artifact.load(directory)
    target = loaded.schema.target
    test = dataset.read(given / "test", loaded.schema)
    train = dataset.read(given / "train", loaded.schema)
    predicted = loaded.predict(test.features)
    reports = {
        "evaluation": quality(test.target, predicted, target),
        "golden": _golden(loaded, test, predicted),
        "explanation": importance.measure(loaded, test),
        "learning_curve": _learning_curve(directory, loaded, train, given / "validation"),
    }
    made = {name: report for name, report in reports.items() if report}
    for name, report in made.items():
        _write(output / f"{name}.json", report)
    gate = _gate(test.target, predicted, naive(train.target, test.target, target), target)
    archive = given / "champion" / "model.tar.gz"
    if archive.parent.is_dir():
        gate["champion"] = champion.measure(archive, loaded.schema, test)
        log("champion", **gate["champion"].get("metrics", gate["champion"]))
    _write(output / "gate.json", gate | {"reports": list(made)})
    _write_differences(output / "differences.csv", test, predicted, target)
    if loaded.schema.workload == IMAGE:
        _write_baseline(given / "baseline", predicted, output)
    log("evaluated", model=loaded.name, rows=len(test.target), **gate["metrics"])


def _learning_curve(
    directory: Path, loaded: ModelArtifact, train: Dataset, validation: Path
) -> dict[str, Any] | None:
    if not learning_curve.applies(directory, loaded.schema):
        return None
    held = dataset.read(validation, loaded.schema)
    return learning_curve.measure(directory, loaded, train, held)


def naive(train: FloatArray, test: FloatArray, target: Target) -> FloatArray:
    """Return what a guess predicts for the test rows: the training mean, or each class's share there."""
    if target.classes is None:
        return np.full(len(test), train.mean())
    counts = np.bincount(train.astype(np.int64), minlength=len(target.classes))
    return np.tile(counts / len(train), (len(test), 1))


def quality(labels: FloatArray, predicted: FloatArray, target: Target) -> dict[str, Any]:
    """Return the metrics in the shape of SageMaker's model quality statistics."""
    spread = _spread(labels, predicted, target)
    section: dict[str, Any] = {}
    for name, value in metrics.scores(labels, predicted, target).items():
        section[_public(name, target)] = {"value": value, "standard_deviation": spread.get(name, "NaN")}
    if target.classes is not None:
        codes, chosen = labels.astype(np.int64), predicted.argmax(axis=1)
        counted = metrics.confusion(codes, chosen, len(target.classes)).tolist()
        rows = (dict(zip(target.classes, row, strict=True)) for row in counted)
        section["confusion_matrix"] = dict(zip(target.classes, rows, strict=True))
    if target.task == "binary":
        section |= metrics.curves(labels.astype(np.int64), predicted)
    return {"version": 0.0, "dataset": {"item_count": len(labels)}, SECTIONS[target.task]: section}


def _spread(labels: FloatArray, predicted: FloatArray, target: Target) -> dict[str, float]:
    if len(labels) < MIN_RESAMPLED_ROWS:
        return {}
    random = np.random.Generator(np.random.PCG64(0))
    size = int(len(labels) * RESAMPLED)
    drawn = [random.permutation(len(labels))[:size] for _ in range(RESAMPLES)]
    found = [metrics.scores(labels[rows], predicted[rows], target) for rows in drawn]
    names = [name for name in found[0] if all(name in each for each in found)]
    return {name: float(np.std([each[name] for each in found])) for name in names}


def _public(name: str, target: Target) -> str:
    """Return SageMaker's name of a metric: those of several classes are weighted."""
    weighted = target.task == "multiclass" and name in {"precision", "recall", "f1"}
    return f"weighted_{name}" if weighted else name


def _gate(labels: FloatArray, predicted: FloatArray, guessed: FloatArray, target: Target) -> dict[str, Any]:
    return {
        "metrics": metrics.scores(labels, predicted, target),
        "naive": metrics.scores(labels, guessed, target),
        "rows": len(labels),
        "task": target.task,
    }


def _golden(loaded: ModelArtifact, test: Dataset, predicted: FloatArray) -> dict[str, Any]:
    """Return up to 100 rows, evenly spaced, as requests with their true labels and the model's answers."""
    count = min(GOLDEN_ROWS, len(test.target))
    chosen = [place * len(test.target) // count for place in range(count)]
    requests = []
    for number, row in enumerate(chosen, 1):
        requests.append(
            {
                "id": f"golden-{number:04}",
                "body": test.body(row),
                "label": _label(test.target[row], loaded.schema.target),
                "answer": _answer(predicted[row], loaded.schema.target),
            }
        )
    tolerance = loaded.tolerance(predicted)
    return {"version": 1, "content_type": test.content_type, "precision": tolerance, "requests": requests}


def _label(value: float, target: Target) -> float | str:
    return float(value) if target.classes is None else target.classes[int(value)]


def _answer(predicted: Any, target: Target) -> Any:
    if target.classes is None:
        return float(predicted)
    probabilities = dict(zip(target.classes, predicted.tolist(), strict=True))
    return {"label": target.classes[int(predicted.argmax())], "probabilities": probabilities}


def _write_differences(path: Path, test: Dataset, predicted: FloatArray, target: Target) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        if target.classes is None:
            writer.writerow(["row", "label", "prediction", "difference"])
            pairs = zip(test.target.tolist(), predicted.tolist(), strict=True)
            writer.writerows([row, label, made, made - label] for row, (label, made) in enumerate(pairs, 1))
            return
        writer.writerow(["row", "label", "predicted", "probability"])
        best = predicted.argmax(axis=1).tolist()
        sure = predicted.max(axis=1).tolist()
        for row, (label, code, probability) in enumerate(
            zip(test.target.tolist(), best, sure, strict=True), 1
        ):
            writer.writerow([row, target.classes[int(label)], target.classes[code], probability])


def _write_baseline(given: Path, predicted: FloatArray, output: Path) -> None:
    """Add the model's confidence in the test pictures, which it has not learned from, to their baseline."""
    confidence = pl.DataFrame({CONFIDENCE: predicted.max(axis=1)})
    # Tables are evaluated without the monitor.
    importlib.import_module("container.monitor.baseline").add_columns(given, confidence, output)


def _write(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
