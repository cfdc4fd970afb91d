"""What a compiled form is, and what predicts with one."""

from __future__ import annotations

import ctypes
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, runtime_checkable

import numpy as np

if TYPE_CHECKING:
    from container.inference.native.library import Library
    from container.inference.native.tensor_file import Arrays
    from container.runtime.typing import FloatArray

NUMBERS = ctypes.POINTER(ctypes.c_double)
COUNT = ctypes.c_uint64
FEW = 4  # rows, which other threads can wait for
MOST = 2**40  # of anything that is counted
FLOAT = np.dtype(np.float64)
first: Any = ctypes.c_double.from_buffer  # of an array's numbers: the quickest way to its address


class UnsuitableError(Exception):
    """Say in one line why a model has no compiled form, or why the one that is there does not serve."""


@dataclass(frozen=True)
class Form:
    """Hold a compiled form: the name of its kind, its numbers and its arrays."""

    kind: str
    facts: dict[str, Any]
    arrays: Arrays = field(repr=False)


@runtime_checkable
class Compilable(Protocol):
    """Be a model that has a compiled form."""

    def compiled(self) -> Form:
        """Return the form. Raises `UnsuitableError` for what the form cannot hold."""


def of(model: object) -> Form:
    """Return a model's compiled form. Raises `UnsuitableError` when it has none, or that of another model."""
    if not isinstance(model, Compilable):
        raise UnsuitableError("this model says nothing of a compiled form")
    if not is_aware(model, "compiled", "predict"):
        raise UnsuitableError(
            "this model predicts in its own way, and its compiled form is of what it is made from"
        )
    return model.compiled()


def is_aware(model: object, name: str, *others: str) -> bool:
    """Tell whether a method was written where these others were, or below: by someone who knew them."""
    return all(issubclass(_definer(model, name), _definer(model, other)) for other in others)


def _definer(model: object, name: str) -> type:
    """Return the class that the model has a method from."""
    return next(kind for kind in type(model).__mro__ if name in vars(kind))


class Predictor(ABC):
    """Predict with a form's arrays, as the portable model does; a kind says how."""

    numbers: ClassVar[tuple[str, ...]] = ()  # facts that count something

    def __init__(self, library: Library, facts: dict[str, Any], arrays: Arrays) -> None:
        """Take a form as it was read from a file; refuse one whose parts do not fit by `ValueError`."""
        del library  # which not every kind asks
        self.facts = facts
        self.arrays = arrays
        for name in {"features", "outputs", *self.numbers}:
            if type(facts[name]) is not int or not 0 <= facts[name] < MOST:
                raise ValueError(f"{name} is {facts[name]!r}, and no whole number below {MOST}")
        self.features, self.outputs = facts["features"], facts["outputs"]
        self.check()

    @abstractmethod
    def check(self) -> None:
        """Raise `ValueError` when an array's shape or contents would lead outside of it."""

    @abstractmethod
    def predict(self, features: FloatArray) -> FloatArray:
        """Return (n,) numbers or (n, classes) probabilities for (n, n_features) rows."""

    def expect(self, name: str, kind: str, *shape: int) -> None:
        """Refuse an array of another kind or shape."""
        array = self.arrays[name]
        if array.dtype.str != kind or array.shape != shape:
            raise ValueError(f"{name} is {array.dtype.str} {array.shape}, and should be {kind} {shape}")


class Native(Predictor):
    """Predict by the C library."""

    pointers: ClassVar[tuple[str, ...]] = ()  # the arrays, and then the numbers, of the C structure
    name: ClassVar[str]  # the library's function

    def __init__(self, library: Library, facts: dict[str, Any], arrays: Arrays) -> None:
        """Take a form as it was read from a file; refuse one whose parts do not fit by `ValueError`."""
        self.calls = library.calls
        self.call, self.quick = (
            _function(getattr(calls, self.name)) for calls in (library.calls, library.quick)
        )
        super().__init__(library, facts, arrays)
        self.structure = self._structure()
        self.model = ctypes.byref(self.structure)

    @property
    @abstractmethod
    def is_final(self) -> bool:
        """Tell whether the library's numbers are what `predict` returns, one a row."""

    def rows(self, features: FloatArray) -> FloatArray:
        """Return rows as the library takes them: one after another, and not empty."""
        if features.ndim != 2 or features.shape[1] != self.features:  # noqa: PLR2004  rows and columns
            raise ValueError(f"rows of shape {features.shape} are not {self.features} features each")
        if features.dtype is not FLOAT or not features.flags.carray:
            return np.require(features, np.float64, ["C", "A", "W"])
        return features

    def fill(self, rows: FloatArray, answers: FloatArray) -> None:
        """Let the library predict rows into answers."""
        count = len(rows)
        call = self.quick if count <= FEW else self.call
        if count and call(self.model, first(rows), count, first(answers)):
            raise MemoryError

    def _structure(self) -> Any:
        fields: list[tuple[str, Any]] = [(name, ctypes.c_void_p) for name in self.pointers]
        fields += [(name, COUNT) for name in self.numbers]
        kind = type("Model", (ctypes.Structure,), {"_fields_": fields})
        arrays = (self.arrays.get(name) for name in self.pointers)
        addresses = [None if array is None else array.ctypes.data for array in arrays]
        return kind(*addresses, *(self.facts[name] for name in self.numbers))


def sound(check: Any, model: Any, slots: int) -> bool:
    """Ask the library whether all walks through the slots stay inside."""
    seen = np.zeros(slots, dtype=np.uint8)
    check.argtypes, check.restype = [ctypes.c_void_p, ctypes.c_void_p], ctypes.c_int
    return bool(check(model, seen.ctypes.data))


def _function(call: Any) -> Any:
    """Give a prediction function of the library its types; it returns 0, or -1 when memory is short."""
    call.argtypes, call.restype = [ctypes.c_void_p, NUMBERS, COUNT, NUMBERS], ctypes.c_int
    return call
