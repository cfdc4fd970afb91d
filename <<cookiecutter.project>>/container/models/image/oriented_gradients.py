"""Histograms of oriented gradients, told apart by a support vector machine whose confidence is calibrated."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold
from sklearn.svm import SVC
from skops import io

from container.data.schema import Schema
from container.images import hog
from container.inference import hog_svm as form
from container.inference.compiled_model import CompiledModel
from container.inference.hog_svm import COLOUR, SHAPE, kernel
from container.inference.native.serialization import PORTABLE
from container.inference.native.tensor_file import Arrays
from container.models._estimator import refusals
from container.runtime.errors import UserError
from container.runtime.log import log
from container.runtime.typing import FloatArray

AT_ONCE = 64  # pictures, whose views are described together
FOLDS = 5  # of which each is scored by a machine that has not seen it, to calibrate the confidence


@dataclass(frozen=True)
class Hyperparameters:
    """Hold how closely the machine follows its examples, how near pictures are alike, and the colours' share.

    With `mirror` a picture's mirror image shows the same, which holds of most things and not of writing.
    Gammas are in units of one by the median squared distance between two pictures. The time to learn grows
    with the square of the pictures: of more than `max_pictures` a random part is taken.
    """

    C: float = 8.0
    shape_gamma: float = 4.0
    colour_gamma: float = 1.0
    colour_share: float = 0.15
    mirror: bool = True
    max_pictures: int = 4000


class OrientedGradients:
    """Tell labels apart by what shapes and colours a picture shares with those that were kept."""

    def __init__(self, schema: Schema, hyperparameters: Hyperparameters, seed: int, arrays: Arrays) -> None:
        """Keep the settings, and what was learned, if anything."""
        self.schema, self.hyperparameters, self.seed, self.arrays = schema, hyperparameters, seed, arrays

    def fit(
        self, features: FloatArray, target: FloatArray, validation: tuple[FloatArray, FloatArray] | None
    ) -> None:
        """Learn from (n, side * side * 3) bytes; the validation pictures are of no use here."""
        del validation
        chosen = self._chosen(len(target))
        pictures, labels = np.asarray(features[chosen], dtype=np.uint8), target[chosen].astype(np.int64)
        gram, kept = self._gram(pictures)
        binary = len(self.schema.target.classes or ()) == 2  # noqa: PLR2004
        marks = (labels == 1)[:, np.newaxis] if binary else labels[:, np.newaxis] == np.arange(self._outputs)
        calibrated = self._calibrated(gram, labels, marks)
        coefficients, offsets = self._machines(gram, marks)
        used = np.flatnonzero(coefficients.any(axis=1))
        known = {name: array[used] if name in form.SUPPORTS else array for name, array in kept.items()}
        found = {**known, "coefficients": coefficients[used], "offsets": offsets, **calibrated}
        self.arrays = {name: np.ascontiguousarray(array) for name, array in found.items()}

    def predict(self, features: FloatArray) -> FloatArray:
        """Return (n, classes) probabilities."""
        return form.predict(features, self._side, self.arrays)

    def compiled(self) -> CompiledModel:
        """Return what was learned as flat arrays."""
        return form.compile_model(self._side, self.arrays)

    def save(self, directory: Path) -> None:
        """Write what was learned."""
        io.dump(self.arrays, directory / PORTABLE)

    @classmethod
    def load(cls, directory: Path, schema: Schema) -> Self:
        """Read what was learned; refuse a file that is damaged, or of pictures of another size."""
        with refusals():
            arrays = {name: np.asarray(array) for name, array in io.load(directory / PORTABLE).items()}
            model = cls(schema, Hyperparameters(), 0, arrays)
            wrong = form.compile_model(model._side, arrays).metadata["outputs"] != model._outputs
        if wrong:
            raise UserError(f"{PORTABLE} and schema.json disagree on the classes")
        return model

    @property
    def _side(self) -> int:
        return self.schema.side or 0

    @property
    def _outputs(self) -> int:
        return len(self.schema.target.classes or ())

    def _chosen(self, count: int) -> NDArray[np.intp]:
        most = self.hyperparameters.max_pictures
        if count <= most:
            return np.arange(count)
        log("warning", message=f"{most} of {count} pictures are learned from: see max_pictures")
        return np.sort(np.random.Generator(np.random.PCG64(self.seed)).permutation(count)[:most])

    def _gram(self, pictures: NDArray[np.uint8]) -> tuple[FloatArray, Arrays]:
        """Return (n, n), how alike any two pictures are, and what tells so of another one."""
        wished = self.hyperparameters
        starts = range(0, len(pictures), AT_ONCE)
        # Described twice: all views of thousands of pictures would take gigabytes.
        plain = [hog.describe(pictures[start : start + AT_ONCE], self._side) for start in starts]
        shape, colour = (np.concatenate([each[part][:, 0] for each in plain]) for part in (0, 1))
        given = ((SHAPE, shape, wished.shape_gamma), (COLOUR, colour, wished.colour_gamma))
        gamma = np.array([wish / _median_distance(each) for _, each, wish in given])
        kept: Arrays = {
            SHAPE: shape,
            COLOUR: colour,
            "gamma": gamma,
            "settings": np.array([wished.colour_share, 1 + wished.mirror]),
        }
        sums = [np.empty((len(pictures), len(pictures))) for _ in given]
        for start in starts:
            views = hog.describe(pictures[start : start + AT_ONCE], self._side)
            for total, view, known, scale in zip(sums, views, (shape, colour), gamma, strict=True):
                some = view.shape[1] * (1 + wished.mirror) // hog.MIRRORS
                for place, own in enumerate(view, start):
                    total[place] = kernel(own[:some], known, scale).mean(axis=0)
        kept |= {
            f"{name}_self": total.diagonal().copy() for name, total in zip((SHAPE, COLOUR), sums, strict=True)
        }
        share = wished.colour_share
        return (1 - share) * _even(sums[0]) + share * _even(sums[1]), kept

    def _machines(self, gram: FloatArray, marks: NDArray[np.bool_]) -> tuple[FloatArray, FloatArray]:
        """Return (n, scores) coefficients and (scores,) offsets: a machine a class, or one for two."""
        coefficients, offsets = np.zeros(marks.shape), np.zeros(marks.shape[1])
        for place, mark in enumerate(marks.T):
            machine = SVC(C=self.hyperparameters.C, kernel="precomputed", random_state=self.seed)
            machine.fit(gram, mark)
            coefficients[machine.support_, place] = machine.dual_coef_[0]
            offsets[place] = machine.intercept_[0]
        return coefficients, offsets

    def _calibrated(self, gram: FloatArray, labels: NDArray[np.int64], marks: NDArray[np.bool_]) -> Arrays:
        """Return the logistic curves from scores to probabilities, learned from pictures held out."""
        folds = min(FOLDS, int(np.bincount(labels).min()))
        if folds < 2:  # noqa: PLR2004
            raise UserError("a class has one picture to learn from, and at least two are needed")
        scores = np.empty(marks.shape)
        parts = StratifiedKFold(folds, shuffle=True, random_state=self.seed)
        for train, held in parts.split(gram, labels):
            coefficients, offsets = self._machines(gram[np.ix_(train, train)], marks[train])
            scores[held] = gram[np.ix_(held, train)] @ coefficients + offsets
        curve = LogisticRegression(max_iter=1000).fit(scores, labels)
        return {"weights": curve.coef_, "intercepts": curve.intercept_}


def create(schema: Schema, hyperparameters: Hyperparameters, seed: int) -> OrientedGradients:
    """Return an untrained model for a schema; refuse hyperparameters that are out of range."""
    wished = hyperparameters
    if min(wished.C, wished.shape_gamma, wished.colour_gamma) <= 0 or not 0 <= wished.colour_share <= 1:
        raise UserError("C, shape_gamma and colour_gamma must be above 0, and colour_share from 0 to 1")
    if wished.max_pictures < 10:  # noqa: PLR2004
        raise UserError("max_pictures must be at least 10")
    return OrientedGradients(schema, hyperparameters, seed, {})


def _even(alike: FloatArray) -> FloatArray:
    """Return likeness that is the same both ways, and 1 of each picture with itself."""
    root = np.sqrt(alike.diagonal())
    even: FloatArray = (alike + alike.T) / (2 * root[:, np.newaxis] * root)
    return even


def _median_distance(described: FloatArray) -> float:
    some: Any = described[:: max(1, len(described) // 1000)]
    squares = (some**2).sum(axis=1)
    distances = squares[:, np.newaxis] + squares - 2 * some @ some.T
    return float(np.median(distances)) or 1.0


LOADED = OrientedGradients
