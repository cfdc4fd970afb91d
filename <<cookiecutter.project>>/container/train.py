"""The command `train`: fit the chosen model to the prepared splits, and save it."""

import json
import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np

from container import deprecated_names, learned_rows, model_artifact, models
from container.data import dataset, metrics
from container.data.dataset import Dataset
from container.data.schema import Schema
from container.evaluation import learning_curve
from container.inference import compiled_model, litert
from container.inference.compiled_model import UnsupportedModelError
from container.inference.native import serialization
from container.models import DistributedModel, Model, Module, RefittableModel
from container.runtime import failure, process_group
from container.runtime.errors import UserError
from container.runtime.log import log
from container.runtime.paths import ContainerPaths, ResourceConfig
from container.runtime.process_group import ProcessGroup
from container.runtime.typing import FloatArray

DEFAULT_MODEL = "gradient_boosting"
PARTIAL = ".partial-"


@dataclass(frozen=True)
class _Job:
    """Hold the model that a job trains, as its hyperparameters name it."""

    name: str
    seed: int
    refit: bool
    module: Module
    hyperparameters: Any


def main() -> None:
    """Train the model of a training job, and write it to the model directory.

    Raises:
        UserError: a hyperparameter, a channel or the data can't be used.
    """
    signal.signal(signal.SIGTERM, _stop)
    paths = ContainerPaths.current()
    schema = Schema.read(paths.channel("schema") / model_artifact.SCHEMA)
    job = _read_job(paths.hyperparameters(), schema.workload)
    resources = paths.resources()
    _check_instances(job, resources)
    train = dataset.read(paths.channel("train"), schema)
    validation = dataset.read(paths.channel("validation"), schema)
    log("read", train=len(train.target), validation=len(validation.target), features=schema.width)
    _check_classes(train, schema)
    model = job.module.create(schema, job.hyperparameters, job.seed)
    with process_group.connect(resources) as group:
        _fit(model, train, validation, group)
    if group.rank:
        log("trained", model=job.name, written_by=group.names[0])
        return
    description = {
        "version": model_artifact.VERSION,
        "model": job.name,
        "hyperparameters": asdict(job.hyperparameters),
        "seed": job.seed,
        "refit": False,
        "learned_rows": len(train.target),
    }
    if job.refit and group.size == 1 and isinstance(model, RefittableModel):
        description |= _refit(model, schema, train, validation)
    scores = _save(model, schema, train, validation, description)
    for metric, value in scores.items():
        print(f"validation_{metric}={value!r};", flush=True)  # noqa: T201 - MetricDefinitions read these lines
    log("trained", model=job.name)


def _read_job(texts: dict[str, str], workload: str) -> _Job:
    texts = texts.copy()
    given, seed = texts.pop("model", DEFAULT_MODEL), _parse_seed(texts.pop("seed", "0"))
    refit = _parse_refit(texts.pop("refit", "true"))
    name = models.resolve(given, workload)
    module = models.module(name, workload)
    renamed = models.rename_hyperparameters(name, module.Hyperparameters, texts)
    if name != given:
        log("warning", message=deprecated_names.warning("model", given, name))
    for old, new in zip(texts, renamed, strict=True):
        if old != new:
            log("warning", message=deprecated_names.warning("hyperparameter", old, new))
    return _Job(name, seed, refit, module, models.parse_hyperparameters(module.Hyperparameters, renamed))


def _check_classes(train: Dataset, schema: Schema) -> None:
    classes = schema.target.classes or ()
    unseen = set(range(len(classes))) - set(train.target.tolist())
    if unseen:
        raise UserError(f"no training row has the class '{classes[min(unseen)]}'")


def _check_instances(job: _Job, resources: ResourceConfig) -> None:
    if len(resources.hosts) > 1 and not issubclass(job.module.LOADED, DistributedModel):
        raise UserError(
            f"model '{job.name}' learns on one instance, and the job has {len(resources.hosts)}:"
            " set instance_count = 1 in project.toml, below [stages.train]"
        )


def _fit(model: Model, train: Dataset, validation: Dataset, group: ProcessGroup) -> None:
    held_out = (validation.features, validation.target)
    with _errors_of_settings():
        if group.size > 1 and isinstance(model, DistributedModel):
            model.fit_distributed(group, train.features, train.target, held_out)
        else:
            model.fit(train.features, train.target, held_out)


def _refit(model: RefittableModel, schema: Schema, train: Dataset, validation: Dataset) -> dict[str, Any]:
    """Fit the model again, to the rows of both splits; return its entries of model.json.

    Among them are the scores of the model before: afterwards no row is left that it has not learned from.
    """
    scores = learning_curve.score(model, schema, train, validation)
    features = np.concatenate([train.features, validation.features])
    target = np.concatenate([train.target, validation.target])
    with _errors_of_settings():
        found = model.refit(features, target)
    log("refitted", rows=len(target), **found)
    return {**found, **scores, "refit": True, "learned_rows": len(target)}


@contextmanager
def _errors_of_settings() -> Iterator[None]:
    try:
        yield
    except ValueError as error:
        raise UserError(f"the model cannot learn with these settings: {error}") from error


def _save(
    model: Model, schema: Schema, train: Dataset, validation: Dataset, description: dict[str, Any]
) -> dict[str, float]:
    """Write the artifact and return the scores on the validation rows.

    A description of a refit model has them; else they are those of the model that was read back. The files
    are written to a temporary directory first: a job that is stopped leaves no incomplete model.
    """
    directory = ContainerPaths.current().model
    directory.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=directory, prefix=PARTIAL) as partial:
        temporary = Path(partial)
        model.save(temporary)
        schema.write(temporary / model_artifact.SCHEMA)
        saved = type(model).load(temporary, schema)
        predicted = saved.predict(validation.features)
        scores: dict[str, float] | None = description.get("validation")
        if scores is None:
            scores = metrics.scores(validation.target, predicted, schema.target)
        description = description | _write_serving_form(saved, temporary, validation.features, predicted)
        learned_rows.write(temporary, (train, validation))
        content = json.dumps({**description, "validation": scores}, indent=1)
        (temporary / model_artifact.MODEL).write_text(content + "\n", encoding="utf-8")
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # the model is complete: all its files move
        for path in sorted(temporary.iterdir()):
            shutil.rmtree(directory / path.name, ignore_errors=True)  # a folder can't replace a folder
            path.replace(directory / path.name)
    return scores


def _write_serving_form(
    model: Model, directory: Path, features: FloatArray, predicted: FloatArray
) -> dict[str, Any]:
    """Write the form that serves, if it predicts as the model does; return its entries of model.json."""
    if model_artifact.framework(directory) == model_artifact.SCIKIT_LEARN:
        return _compile(model, directory, features, predicted)
    digests = litert.digests(directory)
    converted = litert.load(directory, digests, features.shape[1], (*predicted.shape, 1)[1])
    litert.assert_close(converted.predict(features), predicted)
    log("converted", runtime=f"LiteRT {litert.version()}", equal_rows=len(predicted))
    return {"digests": digests}


def _compile(model: Model, directory: Path, features: FloatArray, predicted: FloatArray) -> dict[str, str]:
    """Write the compiled form of the model, if it predicts equal bits; return the reason if it does not."""
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


def _parse_refit(text: str) -> bool:
    if text not in {"true", "false"}:
        raise UserError(f"hyperparameter 'refit' is '{text}', and must be true or false")
    return text == "true"


def _parse_seed(text: str) -> int:
    if not text.isdecimal() or int(text) >= 2**32:
        raise UserError(f"hyperparameter 'seed' is '{text}', and must be a whole number below 4294967296")
    return int(text)


def _stop(number: int, frame: FrameType | None) -> None:
    """End the process without an exception, which a library could catch."""
    del frame
    for partial in ContainerPaths.current().model.glob(f"{PARTIAL}*"):
        shutil.rmtree(partial, ignore_errors=True)
    failure.report(f"stopped by {signal.Signals(number).name} before the model was complete")
    os._exit(1)
