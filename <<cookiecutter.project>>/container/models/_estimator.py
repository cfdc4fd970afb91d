"""The base class of the scikit-learn models: saved by skops, and loaded only as types that the code names."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from threadpoolctl import threadpool_limits

from container.data.schema import Schema
from container.inference.native.serialization import PORTABLE
from container.runtime.errors import UserError
from container.runtime.typing import FloatArray

SMALL = 4_000_000  # cells, below which threads wait for one another longer than they compute


class Estimator:
    """Wrap a scikit-learn estimator of encoded rows.

    `kinds` are the possible types of the estimator, and `trusted` the types that its file may hold.
    """

    trusted: ClassVar[tuple[str, ...]] = ()
    kinds: ClassVar[tuple[type[Any], ...]] = ()

    def __init__(self, estimator: Any, schema: Schema) -> None:
        """Keep the estimator, trained or not, and the schema of its rows."""
        self.estimator = estimator
        self.schema = schema

    @property
    def classifies(self) -> bool:
        """Return whether the predictions are probabilities."""
        return self.schema.target.classes is not None

    def fit(
        self, features: FloatArray, target: FloatArray, validation: tuple[FloatArray, FloatArray] | None
    ) -> None:
        """Fit (n, n_features) to a (n,) target; the validation rows are not used."""
        del validation
        with threads_for(features):
            self.estimator.fit(features, target)

    def predict(self, features: FloatArray) -> FloatArray:
        """Return (n,) numbers or (n, classes) probabilities."""
        predict = self.estimator.predict_proba if self.classifies else self.estimator.predict
        return np.asarray(predict(features), dtype=np.float64)

    def save(self, directory: Path) -> None:
        """Write the estimator's file, uncompressed, since model.tar.gz is compressed."""
        from skops import io  # noqa: PLC0415 - it imports all of scikit-learn; evaluation does without

        io.dump(self.estimator, directory / PORTABLE)

    @classmethod
    def load(cls, directory: Path, schema: Schema) -> Self:
        """Read the estimator's file; from here on the process predicts with one thread.

        Raises:
            UserError: the file is missing, damaged, holds other types, or does not fit the schema.
        """
        with load_errors() as io:
            estimator = io.load(directory / PORTABLE, trusted=list(cls.trusted))
        model = cls(estimator, schema)
        model.verify()
        threadpool_limits(limits=1)
        return model

    def verify(self) -> None:
        """Check that the estimator is of this model and was fitted to the schema's features and classes.

        Raises:
            UserError: it is of another type, or was fitted to other features or classes.
        """
        if not isinstance(self.estimator, self.kinds):
            raise UserError(f"{PORTABLE} holds a {type(self.estimator).__name__}, which is not this model's")
        if getattr(self.estimator, "n_features_in_", None) != len(self.schema.features):
            raise UserError(f"{PORTABLE} and schema.json disagree on the number of features")
        classes = getattr(self.estimator, "classes_", None)
        expected = self.schema.target.classes
        if expected is not None and (classes is None or list(classes) != list(range(len(expected)))):
            raise UserError(f"{PORTABLE} and schema.json disagree on the classes")


@contextmanager
def load_errors() -> Iterator[Any]:
    """Give skops.io, which reads the portable form, and convert its errors.

    Raises:
        UserError: the file is missing, damaged, or holds other types.
    """
    from skops import io  # noqa: PLC0415 - as in save

    try:
        yield io
    except FileNotFoundError as error:
        raise UserError(f"{PORTABLE} is missing: 'train' writes it") from error
    except io.exceptions.UntrustedTypesFoundException as error:
        raise UserError(f"{PORTABLE} holds types that this model does not have: {error}") from error
    except Exception as error:  # a damaged file fails in any of the readers below
        raise UserError(f"{PORTABLE} is damaged: {type(error).__name__}: {error}") from error


def threads_for(features: FloatArray) -> threadpool_limits:
    """Return a context that limits the fit of small data to one thread."""
    return threadpool_limits(limits=1 if features.size < SMALL else None)


def in_range(values: Any, low: int, high: int) -> bool:
    """Return whether all whole numbers of an array are at least `low` and below `high`."""
    return len(values) == 0 or (int(values.min()) >= low and int(values.max()) < high)


def descends(parents: Any, children: Any, nodes: int) -> bool:
    """Return whether every child has a greater index than its parent and is below `nodes`.

    Then every path through the tree ends.
    """
    return bool((children > parents).all()) and in_range(children, 1, nodes)
