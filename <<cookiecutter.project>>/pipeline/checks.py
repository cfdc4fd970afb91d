"""The checks of settings that may contradict each other, though each keeps its own rule."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from container import deprecated_names
from pipeline.errors import SettingsError
from pipeline.paths import IMAGES, MODELS, ROOT

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline.settings import Data, Gate, Production, Settings, Training

# A job reads nine folders at most, one an hour: three hours have three folders of ground truth, and
# three folders of captured requests for each of two endpoints.
MAX_QUALITY_WINDOW_SECONDS = 10_800
MAX_NOT_TRAINED = 0.9  # as container.data.split has it
MAX_ENVIRONMENT_VALUE = 256  # characters of a variable of a processing job


def check_consistency(settings: Settings) -> None:
    """Check the entries that may contradict each other, though each keeps its own rule.

    Raises:
        SettingsError: for the first contradiction.
    """
    check_fractions(settings.data)
    check_reading(settings.data)
    check_gate(settings.gate)
    check_spot(settings.stages.train)
    check_data_prefix(settings)
    check_ground_truth(settings)
    check_workload(settings)
    check_capacity(settings.stages.prd)
    check_model_name(settings)


def check_fractions(data: Data) -> None:
    """Check that enough rows are left for training.

    Raises:
        SettingsError: if they are not.
    """
    if data.validation_fraction + data.test_fraction > MAX_NOT_TRAINED:
        raise SettingsError(
            "data.validation_fraction and data.test_fraction leave less than a tenth of the rows to"
            " train on: lower one."
        )


def check_reading(data: Data) -> None:
    """Check the entries that say how tables are read: a role for each column, and texts that a job takes.

    Raises:
        SettingsError: if a column has two roles, or a text is too long for a job.
    """
    if data.target in dict(data.kinds):
        raise SettingsError(
            f"data.kinds names the target {data.target}, whose kind data.task decides: remove it there."
        )
    for entry in ("group", "time", "kinds", "missing_words"):
        if getattr(data, entry) == data.target:
            raise SettingsError(
                f"data.{entry} is {data.target}, but that is the target: name another column."
            )
        if getattr(data, entry) and data.workload == "image":
            raise SettingsError(f"data.{entry} is for the columns of tables, not for images: leave it empty.")
    if data.group and data.time:
        raise SettingsError("data.group and data.time are set, but only one can decide the split: empty one.")
    for entry, value in (("kinds", dict(data.kinds)), ("missing_words", list(data.missing_words))):
        length = len(json.dumps(value, ensure_ascii=False))
        if length > MAX_ENVIRONMENT_VALUE:
            raise SettingsError(
                f"data.{entry} has {length} characters as JSON, but SageMaker takes at most"
                f" {MAX_ENVIRONMENT_VALUE}: shorten it."
            )


def check_gate(gate: Gate) -> None:
    """Check that a metric is named where numbers of the gate depend on it.

    Raises:
        SettingsError: if the metric is auto.
    """
    if gate.metric == "auto" and (gate.comparison, gate.threshold, gate.margin) != ("auto", "naive", 0):
        raise SettingsError(
            "gate.comparison, gate.threshold and gate.margin mean nothing while gate.metric is auto:"
            " name a metric."
        )


def check_spot(train: Training) -> None:
    """Check that a training on spot capacity may wait at least as long as it may run.

    Raises:
        SettingsError: if it may not.
    """
    if train.spot and train.max_wait_seconds < train.max_runtime_seconds:
        raise SettingsError(
            f"stages.train.max_wait_seconds is {train.max_wait_seconds}, but SageMaker wants no less than"
            f" max_runtime_seconds ({train.max_runtime_seconds}): raise it."
        )


def check_data_prefix(settings: Settings) -> None:
    """Check that the data are not among the artifacts of the pipeline, which expire.

    Raises:
        SettingsError: if they are.
    """
    if settings.data.prefix.startswith(f"{settings.project.name}-"):
        raise SettingsError(
            f"data.prefix is {settings.data.prefix}, but what begins with {settings.project.name}- are the"
            " artifacts of the pipeline, which expire: rename it."
        )


def check_ground_truth(settings: Settings) -> None:
    """Check that ground truth is apart from the data, and that a job can read a window of it.

    Raises:
        SettingsError: if one folder lies in the other, ground truth would expire, or the window is too long.
    """
    truth, data = settings.monitor.ground_truth_prefix, settings.data.prefix
    if not truth:
        return
    if truth.startswith((data, f"{settings.project.name}-")) or data.startswith(truth):
        raise SettingsError(
            f"monitor.ground_truth_prefix is {truth}, and data.prefix {data}: neither may lie in the other,"
            f" nor begin with {settings.project.name}-, as what expires does; rename it."
        )
    if settings.monitor.window_seconds > MAX_QUALITY_WINDOW_SECONDS:
        raise SettingsError(
            f"monitor.window_seconds is {settings.monitor.window_seconds}, but a job reads the hours of"
            f" {MAX_QUALITY_WINDOW_SECONDS} seconds at most when it compares with ground truth: shorten it,"
            " or leave monitor.ground_truth_prefix empty."
        )


def check_workload(settings: Settings) -> None:
    """Check that images are read where the data are images, and that one instance prepares tables.

    Raises:
        SettingsError: if the project has no code for images, if Model Monitor would read them, or if several
            instances would prepare tables.
    """
    if settings.data.workload == "image" and not IMAGES.exists():
        raise SettingsError(
            "data.workload is image, but this project was generated for tables: generate one with"
            " workload=image, or add its files with"
            """ cruft update --variables-to-update '{"workload": "image"}'."""
        )
    if (settings.data.workload, settings.monitor.engine) == ("image", "model-monitor"):
        raise SettingsError(
            "monitor.engine is model-monitor, which reads no pictures: where data.workload is image,"
            " take container."
        )
    count = settings.stages.prepare.instance_count
    if count > 1 and settings.data.workload == "tabular":
        raise SettingsError(
            f"stages.prepare.instance_count is {count}, but one instance prepares tables: set it to 1."
            " Several prepare pictures."
        )


def check_capacity(prd: Production) -> None:
    """Check that scaling would keep the number of instances that an endpoint starts with.

    Raises:
        SettingsError: if it would not.
    """
    if not prd.min_capacity <= prd.instance_count <= prd.max_capacity:
        raise SettingsError(
            f"stages.prd.instance_count is {prd.instance_count}, but scaling keeps {prd.min_capacity} to"
            f" {prd.max_capacity} instances: change it, min_capacity or max_capacity."
        )


def check_model_name(settings: Settings) -> None:
    """Check that container/models has the model, where the folder is there to be read.

    Raises:
        SettingsError: if the model is not there.
    """
    folder, offered = _offered_models(settings)
    if offered and deprecated_names.model_name(settings.model.name, offered) not in offered:
        names = f"{', '.join(offered)}{deprecated_names.missing_model_hint(settings.model.name)}"
        raise SettingsError(
            f"model.name is {settings.model.name}, but {folder.relative_to(ROOT)} has {names}."
        )


def list_deprecations(settings: Settings) -> list[str]:
    """Return a warning for each former name of a model or a hyperparameter."""
    given = settings.model.name
    name = deprecated_names.model_name(given, _offered_models(settings)[1])
    renamed = [("model", given, name)] if name != given else []
    renamed += [
        ("hyperparameter", old, new)
        for old, new in deprecated_names.hyperparameter_names(name).items()
        if old in settings.model.hyperparameters
    ]
    return [deprecated_names.warning(*names) for names in renamed]


def _offered_models(settings: Settings) -> tuple[Path, list[str]]:
    """Return the folder of the workload's models, and their names."""
    folder = MODELS if settings.data.workload == "tabular" else MODELS / settings.data.workload
    return folder, sorted(path.stem for path in folder.glob("[!_]*.py"))
