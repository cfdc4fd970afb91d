"""The models: put yours here.

A model is one file with three names: `Hyperparameters`, a frozen dataclass of int, float, bool, str or
optional values with defaults; `create(schema, hyperparameters, seed)`, which returns an untrained `Model`;
and `LOADED`, the class whose `load` reads what the model saved. A file that begins with _ is no model.
Models of pictures have a folder of their own, `image`. A model that has `fit_among` learns on several hosts.
"""

import dataclasses
import importlib
import math
import types
import typing
from pathlib import Path
from typing import Any, Protocol, Self, runtime_checkable

from container.data.schema import TABULAR, Schema
from container.runtime.errors import UserError
from container.runtime.process_group import Cluster
from container.runtime.typing import FloatArray


class Model(Protocol):
    """Learn from numbers, predict numbers, and survive a trip through a directory."""

    def fit(
        self, features: FloatArray, target: FloatArray, validation: tuple[FloatArray, FloatArray] | None
    ) -> None:
        """Learn; features (n, n_features) with NaN for missing, target (n,) numbers or class codes."""

    def predict(self, features: FloatArray) -> FloatArray:
        """Return (n,) numbers or (n, classes) probabilities; a row's answer depends on no other row."""

    def save(self, directory: Path) -> None:
        """Write what `load` needs."""

    @classmethod
    def load(cls, directory: Path, schema: Schema) -> Self:
        """Read what `save` wrote, trusting only the types that the code names."""


@runtime_checkable
class Parallel(Protocol):
    """Learn on several hosts: what a model may offer beside `fit`, and needs for more than one instance."""

    def fit_among(
        self,
        cluster: Cluster,
        features: FloatArray,
        target: FloatArray,
        validation: tuple[FloatArray, FloatArray] | None,
    ) -> None:
        """Learn the same on every host; each is given all rows, and takes its share."""


class Module(Protocol):
    """Say what a file of this folder offers."""

    Hyperparameters: type[Any]
    LOADED: type[Model]

    def create(self, schema: Schema, hyperparameters: Any, seed: int) -> Model:
        """Return an untrained model."""


def available(workload: str = TABULAR) -> list[str]:
    """Return the names of the models of a workload: the files of this folder, or of a folder of it."""
    return sorted(path.stem for path in Path(__file__).parent.joinpath(*_folder(workload)).glob("[!_]*.py"))


def check(name: str, workload: str = TABULAR) -> None:
    """Refuse a name that is no model's."""
    known = available(workload)
    if name not in known:
        kind = " ".join([*_folder(workload), "model"])
        raise UserError(f"{kind} '{name}' does not exist: choose one of {', '.join(known)}")


def module(name: str, workload: str = TABULAR) -> Module:
    """Import one model's file; refuse a name that is none."""
    check(name, workload)
    return typing.cast("Module", importlib.import_module(".".join([__name__, *_folder(workload), name])))


def _folder(workload: str) -> list[str]:
    """Return where a workload's models are below this folder: those of tables are here."""
    return [] if workload == TABULAR else [workload]


def parse_hyperparameters(kind: type[Any], texts: dict[str, str]) -> Any:
    """Turn SageMaker's strings into the model's dataclass; refuse unknown names and wrong values."""
    fields = {field.name: field for field in dataclasses.fields(kind)}
    unknown = sorted(set(texts) - set(fields))
    if unknown:
        allowed = ", ".join(["model", "seed", *fields])
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
