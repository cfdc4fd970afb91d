"""What the scikit-learn models share: saved by skops, loaded only as the types that the code names."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from skops import io
from skops.io.exceptions import UntrustedTypesFoundException
from threadpoolctl import threadpool_limits

from container.data.schema import Schema
from container.inference.native.serialization import PORTABLE
from container.runtime.errors import UserError
from container.runtime.typing import FloatArray

SMALL = 4_000_000  # cells; below it threads wait for one another longer than they work


class Estimator:
    """Wrap a scikit-learn estimator that takes encoded rows; a model's file says how it learns."""

    trusted: ClassVar[tuple[str, ...]] = ()
    kinds: ClassVar[tuple[type[Any], ...]] = ()

    def __init__(self, estimator: Any, schema: Schema) -> None:
        """Keep the estimator, trained or not, and the schema of its rows."""
        self.estimator = estimator
        self.schema = schema

    @property
    def classifies(self) -> bool:
        """Tell whether the answers are probabilities."""
        return self.schema.target.classes is not None

    def fit(
        self, features: FloatArray, target: FloatArray, validation: tuple[FloatArray, FloatArray] | None
    ) -> None:
        """Learn from the rows; these models have no use for the validation rows."""
        del validation
        with threads_for(features):
            self.estimator.fit(features, target)

    def predict(self, features: FloatArray) -> FloatArray:
        """Return (n,) numbers or (n, classes) probabilities."""
        predicted = (
            self.estimator.predict_proba(features) if self.classifies else self.estimator.predict(features)
        )
        return np.asarray(predicted, dtype=np.float64)

    def save(self, directory: Path) -> None:
        """Write the estimator's file, uncompressed: the archive around it is compressed."""
        io.dump(self.estimator, directory / PORTABLE)

    @classmethod
    def load(cls, directory: Path, schema: Schema) -> Self:
        """Read the estimator's file; refuse types that are not named here, and what does not fit the schema.

        From here on the process predicts with one thread.
        """
        with refusals():
            estimator = io.load(directory / PORTABLE, trusted=list(cls.trusted))
        model = cls(estimator, schema)
        model.verify()
        threadpool_limits(limits=1)
        return model

    def verify(self) -> None:
        """Refuse an estimator that is not this model's, or that learned from other columns or classes."""
        if not isinstance(self.estimator, self.kinds):
            raise UserError(f"{PORTABLE} holds a {type(self.estimator).__name__}, which is not this model's")
        if getattr(self.estimator, "n_features_in_", None) != len(self.schema.features):
            raise UserError(f"{PORTABLE} and schema.json disagree on the number of features")
        classes = getattr(self.estimator, "classes_", None)
        expected = self.schema.target.classes
        if expected is not None and (classes is None or list(classes) != list(range(len(expected)))):
            raise UserError(f"{PORTABLE} and schema.json disagree on the classes")


@contextmanager
def refusals() -> Iterator[None]:
    """Say in a sentence why the portable form can't be read: it is missing, damaged, or of other types."""
    try:
        yield
    except FileNotFoundError as error:
        raise UserError(f"{PORTABLE} is missing: 'train' writes it") from error
    except UntrustedTypesFoundException as error:
        raise UserError(f"{PORTABLE} holds types that this model does not have: {error}") from error
    except Exception as error:  # a damaged file fails in as many ways as there are readers below
        raise UserError(f"{PORTABLE} is damaged: {type(error).__name__}: {error}") from error


def threads_for(features: FloatArray) -> threadpool_limits:
    """Return a context in which small data is learned by one thread, and large data by all."""
    return threadpool_limits(limits=1 if features.size < SMALL else None)


def in_range(values: Any, low: int, high: int) -> bool:
    """Tell whether every one of some whole numbers is at least `low` and below `high`."""
    return len(values) == 0 or (int(values.min()) >= low and int(values.max()) < high)


def descends(parents: Any, children: Any, nodes: int) -> bool:
    """Tell whether every child stands after its parent and inside the tree, so that no walk is endless."""
    return bool((children > parents).all()) and in_range(children, 1, nodes)
