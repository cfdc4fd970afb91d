"""A feature that is an id or a copy of the target is named where it carries nearly all importance."""

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from container.data.encode import TabularDataset
from container.data.schema import Feature, Schema, Target
from container.evaluation import command, leakage, splits
from container.model_artifact import ModelArtifact
from container.runtime.typing import FloatArray

ROWS = 300
RANDOM = np.random.default_rng(4)
MEASURED = RANDOM.normal(size=ROWS)
CLASSES = Target("y", "binary", ("no", "yes"))
NUMBER = Target("y", "regression")
IDS = RANDOM.permutation(ROWS).astype(float) + 1000


def found(columns: list[FloatArray], labels: FloatArray, importances: list[float], **look: Any) -> list[str]:
    """Return the warnings for columns of two splits, with the importance of each."""
    schema = Schema(
        look.get("target", NUMBER),
        tuple(
            Feature(look.get("name", f"f{place}"), look.get("kind", "numeric"))
            if not place
            else Feature(f"f{place}", "numeric")
            for place in range(len(columns))
        ),
    )
    named = {feature.name: value for feature, value in zip(schema.features, importances, strict=True)}
    report = {"explanations": {"permutation_importance": {"y": {"global_importances": named}}}}
    features = np.stack(columns, axis=1)
    parts = [
        TabularDataset(pl.DataFrame(), features[part], labels[part])
        for part in (slice(0, 200), slice(200, None))
    ]
    return list(leakage.warnings(report, schema, parts))


BINARY = (MEASURED > 0).astype(float)
LEAKS = [
    (IDS, (IDS > 1150).astype(float), {"target": CLASSES}, "different in each row"),
    (IDS, MEASURED, {}, "different in each row"),
    (MEASURED, MEASURED, {}, "equal to the target"),
    (np.round(MEASURED * 100), np.round(MEASURED * 100) / 100, {}, "one-to-one with the target|a function"),
    (MEASURED * 1.8 + 32, MEASURED, {}, "a function of the target"),
    (np.exp(MEASURED), MEASURED, {}, "a function of the target"),
    (np.where(np.arange(ROWS) % 9, MEASURED, np.nan), MEASURED, {}, "equal to the target"),
    (BINARY, BINARY, {"target": CLASSES, "kind": "categorical"}, "equal to the target"),
    (5 - BINARY, BINARY, {"target": CLASSES}, "one-to-one with the target"),
]


@pytest.mark.parametrize(("column", "labels", "look", "words"), LEAKS)
def test_an_id_or_a_copy_is_named(
    column: FloatArray, labels: FloatArray, look: dict[str, Any], words: str
) -> None:
    """Copies in another unit, on another scale or with gaps are copies too."""
    (warning,) = found([column, MEASURED], labels, [0.96, 0.04], **look)
    assert warning.startswith("The feature 'f0', ")
    assert any(word in warning for word in words.split("|"))
    assert "alone carries 96% of the importance" in warning
    assert "[data.kinds]" in warning


HONEST = [
    (MEASURED, MEASURED + RANDOM.normal(size=ROWS) / 50, {}),
    (MEASURED, BINARY, {"target": CLASSES}),
    (np.round(MEASURED * 5), (np.round(MEASURED * 5) > 1).astype(float), {"target": CLASSES}),
    (IDS, MEASURED, {"kind": "date"}),
    (np.full(ROWS, np.nan), MEASURED, {}),
]


@pytest.mark.parametrize(("column", "labels", "look"), HONEST)
def test_an_honest_strong_feature_is_not_named(
    column: FloatArray, labels: FloatArray, look: dict[str, Any]
) -> None:
    """A measurement differs in each row, and may decide a class or determine a number nearly."""
    assert found([column, MEASURED], labels, [0.96, 0.04], **look) == []


def test_a_feature_among_others_is_not_named() -> None:
    """An id that carries half, a harmful feature, and a model that learned nothing."""
    assert found([IDS, MEASURED], MEASURED + 1, [0.5, 0.0], kind="date") == []
    assert found([IDS, BINARY], MEASURED, [0.5, 0.5]) == []
    assert found([IDS, BINARY], MEASURED, [0.0, -0.1]) == []
    assert list(leakage.warnings(None, Schema(NUMBER, ()), ())) == []


def test_copies_that_share_the_importance_are_named_together() -> None:
    """Each of two copies carries only a part."""
    (warning,) = found([MEASURED, MEASURED * 100, BINARY], MEASURED, [0.5, 0.48, 0.02])
    assert "The features 'f0', equal to the target, 'f1', a function of the target, carry 98%" in warning


def test_a_name_is_short_and_printable_in_a_warning() -> None:
    """The registry takes no control characters, and a limited number of characters."""
    (warning,) = found([MEASURED, BINARY], MEASURED, [1.0, 0.0], name="a\n\t\x07b" + "x" * 500)
    assert warning.isprintable()
    assert "'a b" in warning
    assert len(warning) < 300


@pytest.mark.parametrize(("rows", "warned"), [(99, True), (100, False)])
def test_few_test_rows_are_named(rows: int, *, warned: bool) -> None:
    """Below 100 rows a metric says little."""
    counted = splits.count({"train": np.ones(5), "validation": np.ones(5), "test": np.ones(rows)}, NUMBER)
    assert counted == {"rows": {"train": 5, "validation": 5, "test": rows}}
    assert [f"{rows} rows, fewer than 100" in each for each in splits.warnings(counted)] == [True] * warned


def test_classes_with_few_test_rows_are_named() -> None:
    """The first three are named with their rows, a class without any too."""
    target = Target("y", "multiclass", ("a", "b", "c", "d", "e\n"))
    test = np.repeat([0.0, 1.0, 2.0, 3.0], [100, 9, 2, 1])
    counted = splits.count({"train": np.array([4.0]), "validation": np.array([0.0]), "test": test}, target)
    assert counted["classes"]["e\n"] == {"train": 1, "validation": 0, "test": 0}
    (warning,) = splits.warnings(counted)
    assert "fewer than 10 rows of 'b' (9), 'c' (2), 'd' (1) and 1 more: " in warning
    assert list(splits.warnings({"rows": {"test": 100}, "classes": {"a": {"test": 10}}})) == []


def test_a_missing_comparison_is_a_warning() -> None:
    """The person who approves reads why, in one line, before the other warnings."""
    split = TabularDataset(pl.DataFrame(), np.ones((5, 1)), np.ones(5))
    unused: Any = None
    model = ModelArtifact(Schema(NUMBER, (Feature("a", "numeric"),)), unused, "any")
    inputs = command.Inputs(Path(), Path(), model, split, split, split)
    gate = {"champion": {"fault": "it asks for the column 'a\x07b'"}}
    scores = command.Scores({}, splits.count({"test": np.ones(5)}, NUMBER), gate)
    warnings = command.warnings(inputs, scores, command.Explanations({}, None, None))
    assert warnings[0] == "The model was not compared with production's: it asks for the column 'a b'."
    assert len(warnings) == 2
