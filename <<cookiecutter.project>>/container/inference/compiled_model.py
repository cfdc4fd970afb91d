"""Compiled models: flat arrays made from a trained model, and the predictors that read them."""

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

DOUBLES = ctypes.POINTER(ctypes.c_double)
UINT64 = ctypes.c_uint64
MAX_ROWS_WITH_GIL = 4  # predicting so few rows takes less time than releasing Python's lock
COUNT_LIMIT = 2**40  # of anything that is counted, so that products of two counts in C do not overflow
FLOAT64 = np.dtype(np.float64)
HOG_SVM = "gradients"  # the kind of `hog_svm`, which a project of tables does not have
data_pointer: Any = ctypes.c_double.from_buffer  # of an array: quicker than `array.ctypes.data`


class UnsupportedModelError(Exception):
    """A model has no compiled form, or the form that exists cannot be used; the text says why in one line."""


@dataclass(frozen=True)
class CompiledModel:
    """Hold a compiled model: its kind (a key of `serialization.PREDICTORS`), its metadata and its arrays."""

    kind: str
    metadata: dict[str, Any]
    arrays: Arrays = field(repr=False)


@runtime_checkable
class Compilable(Protocol):
    """A model that has a compiled form."""

    def compiled(self) -> CompiledModel:
        """Return the compiled form.

        Raises:
            UnsupportedModelError: the form cannot hold this model.
        """


def compile_model(model: object) -> CompiledModel:
    """Return a model's compiled form.

    Raises:
        UnsupportedModelError: the model has no compiled form, or overrides `predict` without `compiled`.
    """
    if not isinstance(model, Compilable):
        raise UnsupportedModelError("this model says nothing of a compiled form")
    if not is_overridden_with(model, "compiled", "predict"):
        raise UnsupportedModelError(
            "this model predicts in its own way, and its compiled form is of what it is made from"
        )
    return model.compiled()


def is_overridden_with(model: object, name: str, *others: str) -> bool:
    """Return whether the class that defines the method `name` defines or inherits all the others.

    A subclass that overrides one of the others alone has changed what `name` was written for.
    """
    return all(issubclass(_defining_class(model, name), _defining_class(model, other)) for other in others)


def _defining_class(model: object, name: str) -> type:
    return next(parent for parent in type(model).__mro__ if name in vars(parent))


class CompiledPredictor(ABC):
    """Predict with the arrays of a compiled model; each kind of model has a subclass."""

    count_fields: ClassVar[tuple[str, ...]] = ()  # metadata that counts something

    def __init__(self, library: Library, metadata: dict[str, Any], arrays: Arrays) -> None:
        """Take the parts of a compiled model as they were read from a file, which may be damaged.

        Raises:
            ValueError: the parts do not fit one another.
        """
        del library  # only native predictors call it
        self.metadata = metadata
        self.arrays = arrays
        for name in {"features", "outputs", *self.count_fields}:
            if type(metadata[name]) is not int or not 0 <= metadata[name] < COUNT_LIMIT:
                raise ValueError(f"{name} is {metadata[name]!r}, and no whole number below {COUNT_LIMIT}")
        self.features, self.outputs = metadata["features"], metadata["outputs"]
        self.check()

    @abstractmethod
    def check(self) -> None:
        """Check the shapes and contents of the arrays, so that no index leads outside an array.

        Raises:
            ValueError: one of them does not fit.
        """

    @abstractmethod
    def predict(self, features: FloatArray) -> FloatArray:
        """Return (n,) numbers or (n, classes) probabilities for (n, n_features) rows."""

    def check_array(self, name: str, kind: str, *shape: int) -> None:
        """Check an array's type (as in `dtype.str`) and its shape.

        Raises:
            ValueError: the array has another type or shape.
        """
        array = self.arrays[name]
        if array.dtype.str != kind or array.shape != shape:
            raise ValueError(f"{name} is {array.dtype.str} {array.shape}, and should be {kind} {shape}")


class NativePredictor(CompiledPredictor):
    """Predict with a function of the C library.

    The C structure holds the addresses of `arrays`, so the arrays live as long as the predictor does.
    """

    predict_function: ClassVar[str]
    validate_function: ClassVar[str | None] = None  # checks that each walk through `slots` stays inside
    array_fields: ClassVar[tuple[str, ...]] = ()  # the members of the C structure: arrays, then counts

    def __init__(self, library: Library, metadata: dict[str, Any], arrays: Arrays) -> None:
        """Take the parts of a compiled model as they were read from a file, which may be damaged.

        Raises:
            ValueError: the parts do not fit one another, or an index in the arrays leads outside.
        """
        self._call_releasing_gil, self._call_with_gil = (
            _typed(library.function(self.predict_function, releases_gil=releases))
            for releases in (True, False)
        )
        super().__init__(library, metadata, arrays)
        self.structure = self._structure()
        self.model = ctypes.byref(self.structure)
        if self.validate_function:
            self._validate(library.function(self.validate_function, releases_gil=True))

    @property
    @abstractmethod
    def returns_scores(self) -> bool:
        """Return whether `predict` returns the library's numbers unchanged, one a row."""

    def to_rows(self, features: FloatArray) -> FloatArray:
        """Return (n, n_features) rows as the library reads them: float64, aligned, one row after another.

        Raises:
            ValueError: the array has another shape.
        """
        if features.ndim != 2 or features.shape[1] != self.features:  # noqa: PLR2004 - rows and columns
            raise ValueError(f"rows of shape {features.shape} are not {self.features} features each")
        if features.dtype is not FLOAT64 or not features.flags.carray:
            return np.require(features, np.float64, ["C", "A", "W"])
        return features

    def predict_into(self, rows: FloatArray, output: FloatArray) -> None:
        """Write the predictions for the rows of `to_rows` into an array that the caller has made.

        Raises:
            MemoryError: the library could not allocate its work space.
        """
        count = len(rows)
        call = self._call_with_gil if count <= MAX_ROWS_WITH_GIL else self._call_releasing_gil
        if count and call(self.model, data_pointer(rows), count, data_pointer(output)):
            raise MemoryError

    def _structure(self) -> Any:
        fields: list[tuple[str, Any]] = [(name, ctypes.c_void_p) for name in self.array_fields]
        fields += [(name, UINT64) for name in self.count_fields]
        structure = type("Model", (ctypes.Structure,), {"_fields_": fields})
        arrays = (self.arrays.get(name) for name in self.array_fields)
        addresses = [None if array is None else array.ctypes.data for array in arrays]
        return structure(*addresses, *(self.metadata[name] for name in self.count_fields))

    def _validate(self, check: Any) -> None:
        marks = np.zeros(len(self.arrays["slots"]), dtype=np.uint8)
        check.argtypes, check.restype = [ctypes.c_void_p, ctypes.c_void_p], ctypes.c_int
        if not check(self.model, marks.ctypes.data):
            raise ValueError("a tree's node points outside of it")


def _typed(function: Any) -> Any:
    """Declare the types of a prediction function, which returns 0, or -1 when memory is short."""
    function.argtypes, function.restype = [ctypes.c_void_p, DOUBLES, UINT64, DOUBLES], ctypes.c_int
    return function
