"""A support vector machine over histograms of oriented gradients (HOG) and colours, with calibration."""

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
from container.models._estimator import load_errors
from container.runtime.errors import UserError
from container.runtime.log import log
from container.runtime.typing import FloatArray

BATCH = 64  # images whose views are described together
MIN_IMAGES = 10  # that `max_images` may allow
FOLDS = 5  # of the cross-validation whose scores calibrate the probabilities


@dataclass(frozen=True)
class Hyperparameters:
    """Hold the penalty `C`, the gammas of the kernels, and the share of the kernel of colours.

    With `mirror` a mirror image counts as the same, which is right for most subjects and wrong for writing.
    Gammas are divided by the median squared distance between two images. The time of the training grows with
    the square of the number of images, so at most `max_images`, a random sample, are trained on.
    """

    C: float = 8.0
    shape_gamma: float = 4.0
    colour_gamma: float = 1.0
    colour_share: float = 0.15
    mirror: bool = True
    max_images: int = 4000


class HogSvm:
    """Classify images by their likeness to the support vectors, in shapes and in colours."""

    def __init__(self, schema: Schema, hyperparameters: Hyperparameters, seed: int, arrays: Arrays) -> None:
        """Keep the settings, and the arrays that were learned, empty for an untrained model."""
        self.schema, self.hyperparameters, self.seed, self.arrays = schema, hyperparameters, seed, arrays

    def fit(
        self, features: FloatArray, target: FloatArray, validation: tuple[FloatArray, FloatArray] | None
    ) -> None:
        """Fit (n, side * side * 3) bytes to (n,) class codes; the validation images are not used.

        Raises:
            UserError: a class has fewer than two images.
        """
        del validation
        chosen = self._sample(len(target))
        images, labels = np.asarray(features[chosen], dtype=np.uint8), target[chosen].astype(np.int64)
        gram, kept = self._gram(images)
        binary = len(self.schema.target.classes or ()) == 2  # noqa: PLR2004 - a pair
        one_hot = (
            (labels == 1)[:, np.newaxis] if binary else labels[:, np.newaxis] == np.arange(self._outputs)
        )
        calibration = self._calibrate(gram, labels, one_hot)
        coefficients, offsets = self._fit_svms(gram, one_hot)
        used = np.flatnonzero(coefficients.any(axis=1))
        selected = {name: array[used] if name in form.SUPPORTS else array for name, array in kept.items()}
        learned = {**selected, "coefficients": coefficients[used], "offsets": offsets, **calibration}
        self.arrays = {name: np.ascontiguousarray(array) for name, array in learned.items()}

    def predict(self, features: FloatArray) -> FloatArray:
        """Return (n, classes) probabilities."""
        return form.predict(features, self._side, self.arrays)

    def compiled(self) -> CompiledModel:
        """Return the learned arrays as a compiled model."""
        return form.compile_model(self._side, self.arrays)

    def save(self, directory: Path) -> None:
        """Write the learned arrays."""
        io.dump(self.arrays, directory / PORTABLE)

    @classmethod
    def load(cls, directory: Path, schema: Schema) -> Self:
        """Read the learned arrays.

        Raises:
            UserError: the file is missing, damaged, or does not fit the schema.
        """
        with load_errors():
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

    def _sample(self, count: int) -> NDArray[np.intp]:
        limit = self.hyperparameters.max_images
        if count <= limit:
            return np.arange(count)
        log("warning", message=f"{limit} of {count} images are trained on: see max_images")
        return np.sort(np.random.Generator(np.random.PCG64(self.seed)).permutation(count)[:limit])

    def _gram(self, images: NDArray[np.uint8]) -> tuple[FloatArray, Arrays]:
        """Return the (n, n) kernel matrix, and the arrays that the kernel of another image needs."""
        settings = self.hyperparameters
        starts = range(0, len(images), BATCH)
        # The images are described twice, since all views of thousands of images would take gigabytes.
        plain = [hog.describe(images[start : start + BATCH], self._side) for start in starts]
        shape, colour = (np.concatenate([each[part][:, 0] for each in plain]) for part in (0, 1))
        given = ((SHAPE, shape, settings.shape_gamma), (COLOUR, colour, settings.colour_gamma))
        gamma = np.array([wish / _median_distance(each) for _, each, wish in given])
        kept: Arrays = {
            SHAPE: shape,
            COLOUR: colour,
            "gamma": gamma,
            "settings": np.array([settings.colour_share, 1 + settings.mirror]),
        }
        sums = [np.empty((len(images), len(images))) for _ in given]
        for start in starts:
            views = hog.describe(images[start : start + BATCH], self._side)
            for total, view, known, scale in zip(sums, views, (shape, colour), gamma, strict=True):
                some = view.shape[1] * (1 + settings.mirror) // hog.MIRRORS
                for place, own in enumerate(view, start):
                    total[place] = kernel(own[:some], known, scale).mean(axis=0)
        kept |= {
            f"{name}_self": total.diagonal().copy() for name, total in zip((SHAPE, COLOUR), sums, strict=True)
        }
        share = settings.colour_share
        return (1 - share) * _normalise(sums[0]) + share * _normalise(sums[1]), kept

    def _fit_svms(self, gram: FloatArray, one_hot: NDArray[np.bool_]) -> tuple[FloatArray, FloatArray]:
        """Return (n, scores) coefficients and (scores,) offsets: an SVM for each class, or one for two."""
        coefficients, offsets = np.zeros(one_hot.shape), np.zeros(one_hot.shape[1])
        for column, positive in enumerate(one_hot.T):
            svm = SVC(C=self.hyperparameters.C, kernel="precomputed", random_state=self.seed)
            svm.fit(gram, positive)
            coefficients[svm.support_, column] = svm.dual_coef_[0]
            offsets[column] = svm.intercept_[0]
        return coefficients, offsets

    def _calibrate(self, gram: FloatArray, labels: NDArray[np.int64], one_hot: NDArray[np.bool_]) -> Arrays:
        """Return the logistic regression from scores to probabilities, fitted to scores of held-out images.

        After Platt, "Probabilistic Outputs for Support Vector Machines" (1999), for several classes.
        """
        folds = min(FOLDS, int(np.bincount(labels).min()))
        if folds < 2:  # noqa: PLR2004 - one fold leaves nothing out
            raise UserError("a class has one image to train on, and at least two are needed")
        scores = np.empty(one_hot.shape)
        parts = StratifiedKFold(folds, shuffle=True, random_state=self.seed)
        for train, held_out in parts.split(gram, labels):
            coefficients, offsets = self._fit_svms(gram[np.ix_(train, train)], one_hot[train])
            scores[held_out] = gram[np.ix_(held_out, train)] @ coefficients + offsets
        regression = LogisticRegression(max_iter=1000).fit(scores, labels)
        return {"weights": regression.coef_, "intercepts": regression.intercept_}


def create(schema: Schema, hyperparameters: Hyperparameters, seed: int) -> HogSvm:
    """Return an untrained model for a schema.

    Raises:
        UserError: a hyperparameter is out of range.
    """
    settings = hyperparameters
    if (
        min(settings.C, settings.shape_gamma, settings.colour_gamma) <= 0
        or not 0 <= settings.colour_share <= 1
    ):
        raise UserError("C, shape_gamma and colour_gamma must be above 0, and colour_share from 0 to 1")
    if settings.max_images < MIN_IMAGES:
        raise UserError(f"max_images must be at least {MIN_IMAGES}")
    return HogSvm(schema, hyperparameters, seed, {})


def _normalise(alike: FloatArray) -> FloatArray:
    """Return the (n, n) kernel matrix made symmetric, with ones on its diagonal."""
    root = np.sqrt(alike.diagonal())
    normalised: FloatArray = (alike + alike.T) / (2 * root[:, np.newaxis] * root)
    return normalised


def _median_distance(described: FloatArray) -> float:
    some: Any = described[:: max(1, len(described) // 1000)]
    squares = (some**2).sum(axis=1)
    distances = squares[:, np.newaxis] + squares - 2 * some @ some.T
    return float(np.median(distances)) or 1.0


LOADED = HogSvm
