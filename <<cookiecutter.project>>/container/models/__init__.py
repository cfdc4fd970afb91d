"""Models of tables, and in `image` models of images. README.md says how to add one."""

import dataclasses
import importlib
import math
import types
import typing
from pathlib import Path
from typing import Any, Protocol, Self, runtime_checkable

from container import deprecated_modules, deprecated_names
from container.data.schema import TABULAR, Schema
from container.runtime.errors import UserError
from container.runtime.process_group import ProcessGroup
from container.runtime.typing import FloatArray

__all__ = [
    "DistributedModel",
    "FloatArray",
    "Model",
    "Module",
    "RefittableModel",
    "available",
    "module",
    "parse_hyperparameters",
    "rename_hyperparameters",
    "resolve",
]
deprecated_modules.install()


class Model(Protocol):
    """Fit numbers, predict numbers, and write what was learned to a directory."""

    def fit(
        self, features: FloatArray, target: FloatArray, validation: tuple[FloatArray, FloatArray] | None
    ) -> None:
        """Fit (n, n_features), NaN where missing, to a target of (n,) numbers or class codes."""

    def predict(self, features: FloatArray) -> FloatArray:
        """Return (n,) numbers or (n, classes) probabilities; those of a row depend on no other row."""

    def save(self, directory: Path) -> None:
        """Write what `load` needs."""

    @classmethod
    def load(cls, directory: Path, schema: Schema) -> Self:
        """Read what `save` wrote, with no types but those that the code names."""


@runtime_checkable
class DistributedModel(Protocol):
    """Fit on several hosts: an addition to `Model` that a job of more than one instance needs."""

    def fit_distributed(
        self,
        group: ProcessGroup,
        features: FloatArray,
        target: FloatArray,
        validation: tuple[FloatArray, FloatArray] | None,
    ) -> None:
        """Fit the same model on every host: each is given all rows, and computes with its share of them."""


@runtime_checkable
class RefittableModel(Model, Protocol):
    """Learn from the validation rows too: an addition to `Model` where these rows only end the training."""

    def refit(self, features: FloatArray, target: FloatArray) -> dict[str, Any]:
        """Fit again, to the train and validation rows, with what `fit` has found.

        Return entries of model.json: what was found, such as {"iterations": 57}.
        """


class Module(Protocol):
    """The names that a model's file defines."""

    Hyperparameters: type[Any]
    LOADED: type[Model]

    def create(self, schema: Schema, hyperparameters: Any, seed: int) -> Model:
        """Return an untrained model."""


def available(workload: str = TABULAR) -> list[str]:
    """Return the names of a workload's models, which are those of the files in its folder."""
    return sorted(path.stem for path in Path(__file__).parent.joinpath(*_folder(workload)).glob("[!_]*.py"))


def resolve(name: str, workload: str = TABULAR) -> str:
    """Return the present name of a model of a workload, which may be given by its former name.

    Raises:
        UserError: the workload has no such model.
    """
    names = available(workload)
    present = deprecated_names.model_name(name, names)
    if present not in names:
        kind = " ".join([*_folder(workload), "model"])
        hint = deprecated_names.missing_model_hint(name)
        raise UserError(f"{kind} '{name}' does not exist: choose one of {', '.join(names)}{hint}")
    return present


def module(name: str, workload: str = TABULAR) -> Module:
    """Import a model's file, by its present or former name.

    Raises:
        UserError: the workload has no such model.
    """
    path = ".".join([__name__, *_folder(workload), resolve(name, workload)])
    return typing.cast("Module", importlib.import_module(path))


def _folder(workload: str) -> list[str]:
    """Return the parts of a workload's folder below this one, which is that of tables."""
    return [] if workload == TABULAR else [workload]


def rename_hyperparameters(model: str, kind: type[Any], values: dict[str, Any]) -> dict[str, Any]:
    """Return hyperparameters under their present names; `model` is the present name, `kind` its dataclass.

    Raises:
        UserError: one is given by its former and by its present name.
    """
    renamed = deprecated_names.hyperparameter_names(model, (field.name for field in dataclasses.fields(kind)))
    twice = sorted(old for old, new in renamed.items() if old in values and new in values)
    if twice:
        old, new = twice[0], renamed[twice[0]]
        raise UserError(
            f"hyperparameter '{new}' is given twice, also by its former name '{old}': remove '{old}'"
        )
    return {renamed.get(name, name): value for name, value in values.items()}


def parse_hyperparameters(kind: type[Any], texts: dict[str, str]) -> Any:
    """Parse SageMaker's strings into an instance of a model's dataclass of hyperparameters.

    Raises:
        UserError: a name is unknown, or a value is not of the field's type or out of its range.
    """
    fields = {field.name: field for field in dataclasses.fields(kind)}
    unknown = sorted(set(texts) - set(fields))
    if unknown:
        allowed = ", ".join(["model", "seed", "refit", *fields])
        raise UserError(f"hyperparameter '{unknown[0]}' is unknown: this model takes {allowed}")
    types_of = typing.get_type_hints(kind)
    try:
        return kind(**{name: _parse(text, types_of[name], name) for name, text in texts.items()})
    except ValueError as error:
        raise UserError(str(error)) from error


def _parse(text: str, kind: Any, name: str) -> Any:
    options = typing.get_args(kind) if isinstance(kind, types.UnionType) else (kind,)
    if type(None) in options and text.strip().lower() in {"none", "null", ""}:
        return None
    option = next(option for option in options if option is not type(None))
    try:
        return _CONVERTERS[option](text.strip())
    except (ValueError, KeyError) as error:
        raise ValueError(f"hyperparameter '{name}' must be {_NAMES[option]}, and is '{text}'") from error


def _number(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(text)
    return value


_CONVERTERS: dict[Any, Any] = {
    int: int,
    float: _number,
    bool: lambda text: {"true": True, "1": True, "false": False, "0": False}[text.lower()],
    str: str,
}
_NAMES: dict[Any, str] = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}
