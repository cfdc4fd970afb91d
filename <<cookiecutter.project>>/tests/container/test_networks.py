"""Settings of networks, which are checked without TensorFlow, and the message where TensorFlow is missing."""

import sys
from dataclasses import dataclass

import numpy as np
import pytest

from container import models
from container.data.schema import IMAGE, Feature, Schema, Target
from container.models import _keras
from container.runtime.errors import UserError

SCHEMA = Schema(Target("y", "regression"), (Feature("size", "numeric"),))


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ({"batch_size": "0"}, "'batch_size' must be at least 1, and is 0"),
        ({"units": "-3"}, "'units' must be at least 1, and is -3"),
        ({"dropout": "1"}, "'dropout' must be below 1"),
        ({"learning_rate": "0"}, "'learning_rate' above 0"),
    ],
)
def test_networks_that_no_one_can_build_are_refused(texts: dict[str, str], message: str) -> None:
    """Protects a paid training; nothing of it takes TensorFlow."""
    with pytest.raises(UserError, match=message):
        models.parse_hyperparameters(models.module("multilayer_perceptron").Hyperparameters, texts)


def test_a_network_without_tensorflow_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Protects who changes the model of a project that was generated for scikit-learn."""
    monkeypatch.setitem(sys.modules, "tensorflow", None)  # as Python knows a package that is not there
    _keras.framework.cache_clear()
    module = models.module("multilayer_perceptron")
    model = module.create(SCHEMA, module.Hyperparameters(), 0)
    with pytest.raises(UserError, match=r"needs TensorFlow, which is not installed.*=tensorflow"):
        model.fit(np.ones((4, 1)), np.ones(4), None)


@pytest.mark.skipif(
    "convolutional_network" not in models.available(IMAGE), reason="a project of tables does not have it"
)
def test_former_names_of_hyperparameters_still_work() -> None:
    """Protects settings of the augmentation in project.toml and in model.json."""
    kind = models.module("convolutional_network", IMAGE).Hyperparameters
    texts = {"shift": "0.2", "turn": "0.3", "light": "0.4", "epochs": "3"}
    renamed = models.rename_hyperparameters("convolutional_network", kind, texts)
    assert renamed == {"translation": "0.2", "rotation": "0.3", "brightness": "0.4", "epochs": "3"}
    with pytest.raises(UserError, match="'translation' is given twice, also by its former name 'shift'"):
        models.rename_hyperparameters("convolutional_network", kind, {"shift": "0.1", "translation": "0.2"})
    assert models.rename_hyperparameters("linear_model", kind, {"shift": "1"}) == {"shift": "1"}


def test_a_users_hyperparameter_may_have_a_former_name() -> None:
    """Protects a user's own version of a model that has kept its fields."""

    @dataclass(frozen=True)
    class Own:
        shift: float = 0.1

    assert models.rename_hyperparameters("convolutional_network", Own, {"shift": "1"}) == {"shift": "1"}
