"""Protects: what a convolutional network learns from, and how sure of its answers it is."""

import importlib.util
from typing import Any

import numpy as np
import pytest

from container import models
from container.data.schema import IMAGE
from container.models.image import _convolutions
from container.runtime.errors import UserError

SIDE = 16


@pytest.mark.parametrize("factor", [0.5, 3.0])
def test_a_temperature_makes_scores_as_sure_as_they_are_right(factor: float) -> None:
    """Protects the confidence of an answer: from networks that are too sure, and from those that doubt."""
    random = np.random.Generator(np.random.PCG64(0))
    scores = random.normal(0, 2, (4000, 3))
    chances = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    labels = (random.random((4000, 1)) > chances.cumsum(axis=1)).sum(axis=1)
    assert _convolutions.fit_temperature(scores * factor, labels) == pytest.approx(factor, rel=0.1)


def test_a_few_images_that_are_all_right_leave_a_doubt() -> None:
    """Protects from answers that are certain because ten images were easy."""
    temperature = _convolutions.fit_temperature(np.array([[4.0, 0.0], [0.0, 4.0]] * 5), np.array([0, 1] * 5))
    assert 1 / (1 + np.exp(-4 / temperature)) == pytest.approx(11 / 12, abs=0.01)


@pytest.mark.skipif(
    importlib.util.find_spec("tensorflow") is None, reason="the project was made without TensorFlow"
)
def test_augmented_images_are_mirrored_or_as_they_were() -> None:
    """Protects what is learned from: nothing but what was asked for changes."""
    random = np.random.Generator(np.random.PCG64(1))
    images: Any = random.uniform(0, 255, (30, SIDE, SIDE, 3)).astype(np.float32)
    unchanged = {"translation": 0.0, "zoom": 0.0, "rotation": 0.0, "brightness": 0.0}
    augmentation = _convolutions.Augmentation(**unchanged, mirror=True)
    seen = np.asarray(_convolutions.augment(images, augmentation))
    kept = np.isclose(seen, images, atol=0.1).all(axis=(1, 2, 3))
    assert 0 < kept.sum() < len(images)
    assert np.allclose(seen[~kept], images[~kept, :, ::-1], atol=0.1)


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ({"filters": "0"}, "'filters' must be at least 1, and is 0"),
        ({"dropout": "1"}, "'dropout' must be below 1, and is 1"),
        ({"learning_rate": "0"}, "'learning_rate' must be above 0"),
        ({"rotation": "-1"}, "'rotation' must be at least 0"),
    ],
)
def test_networks_that_no_one_can_build_are_refused(texts: dict[str, str], message: str) -> None:
    """Protects a paid training; nothing of it takes TensorFlow."""
    kind = models.module("convolutional_network", IMAGE).Hyperparameters
    with pytest.raises(UserError, match=message):
        models.parse_hyperparameters(kind, texts)
