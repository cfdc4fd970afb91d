"""Train the chosen model on the prepared tables."""

import json
import os
import shutil
import signal
import tempfile
from dataclasses import asdict
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np

from container import model_artifact, models
from container.data import dataset, metrics
from container.data.dataset import Examples
from container.data.schema import Schema
from container.inference import compiled_model, litert
from container.inference.compiled_model import UnsupportedModelError
from container.inference.native import serialization
from container.models import Model, Module, Parallel
from container.runtime import failure, paths, process_group
from container.runtime.errors import UserError
from container.runtime.log import log
from container.runtime.paths import ResourceConfig
from container.runtime.process_group import Cluster
from container.runtime.typing import FloatArray

DEFAULT_MODEL = "gradient_boosting"
PARTIAL = ".partial-"


def main() -> None:
    """Train the model of a training job, and leave it in the model directory."""
    signal.signal(signal.SIGTERM, _stop)
    place = paths.current()
    texts = place.hyperparameters()
    name, seed = texts.pop("model", DEFAULT_MODEL), _seed(texts.pop("seed", "0"))
    schema = Schema.read(place.channel("schema") / model_artifact.SCHEMA)
    chosen = models.module(name, schema.workload)
    resources = place.resources()
    _refuse_several(chosen, name, resources)
    hyperparameters = models.parse_hyperparameters(chosen.Hyperparameters, texts)
    train = dataset.read(place.channel("train"), schema)
    validation = dataset.read(place.channel("validation"), schema)
    log("read", train=len(train.target), validation=len(validation.target), features=schema.width)
    _refuse_unseen(train, schema)
    model = chosen.create(schema, hyperparameters, seed)
    with process_group.join(resources) as hosts:
        _fit(model, train, validation, hosts)
    if hosts.rank:
        log("trained", model=name, written_by=hosts.names[0])
        return
    facts = {"version": model_artifact.VERSION, "model": name, "hyperparameters": asdict(hyperparameters)}
    scores = _save(model, schema, validation, facts | {"seed": seed})
    for metric, value in scores.items():
        print(f"validation_{metric}={value!r};", flush=True)  # noqa: T201  MetricDefinitions read these lines
    log("trained", model=name)


def _refuse_unseen(train: Examples, schema: Schema) -> None:
    classes = schema.target.classes or ()
    unseen = set(range(len(classes))) - set(train.target.tolist())
    if unseen:
        raise UserError(f"no training row has the class '{classes[min(unseen)]}'")


def _refuse_several(chosen: Module, name: str, resources: ResourceConfig) -> None:
    if len(resources.hosts) > 1 and not issubclass(chosen.LOADED, Parallel):
        raise UserError(
            f"model '{name}' learns on one instance, and the job has {len(resources.hosts)}:"
            " set instance_count = 1 in project.toml, below [stages.train]"
        )


def _fit(model: Model, train: Examples, validation: Examples, hosts: Cluster) -> None:
    held = (validation.features, validation.target)
    try:
        if hosts.size > 1 and isinstance(model, Parallel):
            model.fit_among(hosts, train.features, train.target, held)
        else:
            model.fit(train.features, train.target, held)
    except ValueError as error:
        raise UserError(f"the model cannot learn with these settings: {error}") from error


def _save(model: Model, schema: Schema, validation: Examples, facts: dict[str, Any]) -> dict[str, float]:
    """Write the artefact and return its metrics on the validation rows: what was saved is what is measured.

    It grows in a directory of its own, so that a job that is stopped leaves no half of one.
    """
    directory = paths.current().model
    directory.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=directory, prefix=PARTIAL) as made:
        model.save(Path(made))
        schema.write(Path(made) / model_artifact.SCHEMA)
        saved = type(model).load(Path(made), schema)
        predicted = saved.predict(validation.features)
        scores = metrics.scores(validation.target, predicted, schema.target)
        facts = facts | _write_serving_form(saved, Path(made), validation.features, predicted)
        content = json.dumps({**facts, "validation": scores}, indent=1)
        (Path(made) / model_artifact.MODEL).write_text(content + "\n", encoding="utf-8")
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # the model is complete, and moves as a whole
        for path in sorted(Path(made).iterdir()):
            shutil.rmtree(directory / path.name, ignore_errors=True)  # no folder takes another's place
            path.replace(directory / path.name)
    return scores


def _write_serving_form(
    model: Model, directory: Path, features: FloatArray, predicted: FloatArray
) -> dict[str, Any]:
    """Write what will serve, if it predicts what the model does; return the facts that belong to it."""
    if model_artifact.framework(directory) == model_artifact.SCIKIT_LEARN:
        return _compile(model, directory, features, predicted)
    known = litert.digests(directory)
    converted = litert.load(directory, known, features.shape[1], (*predicted.shape, 1)[1])
    litert.assert_close(converted.predict(features), predicted)
    log("converted", runtime=f"LiteRT {litert.version()}", equal_rows=len(predicted))
    return {"digests": known}


def _compile(model: Model, directory: Path, features: FloatArray, predicted: FloatArray) -> dict[str, str]:
    """Write the model's compiled form, if it predicts the same to the last bit; return the reason if not."""
    try:
        compiler = _write_compiled(model, directory, features, predicted)
    except UnsupportedModelError as error:
        (directory / serialization.COMPILED).unlink(missing_ok=True)
        log("warning", message=f"the portable form will serve, which is slower: {error}")
        return {"not_compiled": str(error)}
    log("compiled", compiler=compiler, equal_rows=len(predicted))
    return {}


def _write_compiled(model: Model, directory: Path, features: FloatArray, predicted: FloatArray) -> str:
    serialization.write(directory, compiled_model.compile_model(model))
    compiled, library = serialization.load(directory, features.shape[1], (*predicted.shape, 1)[1])
    if not np.array_equal(compiled.predict(features), predicted):
        raise UnsupportedModelError("the compiled form predicts other numbers than the portable one")
    return library.compiler


def _seed(text: str) -> int:
    if not text.isdecimal() or int(text) >= 2**32:
        raise UserError(f"hyperparameter 'seed' is '{text}', and must be a whole number below 4294967296")
    return int(text)


def _stop(number: int, frame: FrameType | None) -> None:
    """End the process here and now: an exception could be caught by whatever library is at work."""
    del frame
    for partial in paths.current().model.glob(f"{PARTIAL}*"):
        shutil.rmtree(partial, ignore_errors=True)
    failure.report(f"stopped by {signal.Signals(number).name} before the model was complete")
    os._exit(1)
