"""Few test rows are named, and a feature that carries the importance as an id or a copy of the target."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from container.data.encode import TabularDataset
from container.data.schema import Feature, Schema, Target
from container.data.split_keys import SplitKeys
from container.evaluation import command, warnings
from container.evaluation.champion import IMPOSSIBLE, Comparison
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
    parts = {
        name: TabularDataset(pl.DataFrame(), features[part], labels[part])
        for name, part in {"train": slice(0, 200), "test": slice(200, None)}.items()
    }
    return list(warnings.leaks(report, schema, parts))


BINARY = (MEASURED > 0).astype(float)
ID, COPY = "different in each row", "one-to-one with the target"
LEAKS = [
    (IDS, (IDS > 1150).astype(float), {"target": CLASSES}, ID),
    (IDS, MEASURED, {}, ID),
    (IDS // 2, MEASURED, {}, "with few rows of each value"),
    (MEASURED, MEASURED, {}, COPY),
    (np.round(MEASURED * 100), np.round(MEASURED * 100) / 100, {}, COPY),
    (MEASURED * 1.8 + 32, MEASURED, {}, COPY),
    (np.exp(MEASURED), MEASURED, {}, COPY),
    (np.where(np.arange(ROWS) % 9, MEASURED, np.nan), MEASURED, {}, COPY),
    (BINARY, BINARY, {"target": CLASSES, "kind": "categorical"}, COPY),
    (5 - BINARY, BINARY, {"target": CLASSES}, COPY),
    ((IDS % 3 + 1) % 3, IDS % 3, {"target": Target("y", "multiclass", ("a", "b", "c"))}, COPY),
]


@pytest.mark.parametrize(("column", "labels", "look", "words"), LEAKS)
def test_an_id_or_a_copy_is_named(
    column: FloatArray, labels: FloatArray, look: dict[str, Any], words: str
) -> None:
    """Copies in another unit, on another scale or with gaps are copies too."""
    (warning,) = found([column, MEASURED], labels, [0.96, 0.04], **look)
    assert warning.startswith("The feature 'f0', ")
    assert words in warning
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
    assert list(warnings.leaks(None, Schema(NUMBER, ()), {"test": labelled(1)})) == []


def test_copies_that_share_the_importance_are_named_together() -> None:
    """Each of two copies carries only a part."""
    (warning,) = found([MEASURED, MEASURED * 100, BINARY], MEASURED, [0.5, 0.48, 0.02])
    assert f"The features 'f0', {COPY}, 'f1', {COPY}, carry 98%" in warning


def test_a_name_is_short_and_printable_in_a_warning() -> None:
    """The registry takes no control characters, and a limited number of characters."""
    (warning,) = found([MEASURED, BINARY], MEASURED, [1.0, 0.0], name="a\n\t\x07b" + "x" * 500)
    assert warning.isprintable()
    assert "'a b" in warning
    assert len(warning) < 300


def labelled(*labels: float) -> TabularDataset:
    return TabularDataset(pl.DataFrame(), np.ones((len(labels), 1)), np.array(labels))


@pytest.mark.parametrize(("rows", "warned"), [(99, True), (100, False)])
def test_few_test_rows_are_named(rows: int, *, warned: bool) -> None:
    """Below 100 rows a metric says little."""
    counted = warnings.count({"train": labelled(1, 2), "test": labelled(*[1] * rows)}, Schema(NUMBER, ()))
    assert counted == {"rows": {"train": 2, "test": rows}, "classes": {}}
    assert [f"{rows} rows, fewer than 100" in each for each in warnings.few_rows(counted)] == [True] * warned


def test_classes_with_few_test_rows_are_named() -> None:
    """The first three are named with their rows, a class without any too."""
    schema = Schema(Target("y", "multiclass", ("a", "b", "c", "d", "e\n")), ())
    test = labelled(*np.repeat([0.0, 1.0, 2.0, 3.0], [100, 9, 2, 1]))
    counted = warnings.count({"train": labelled(4), "test": test}, schema)
    assert counted["classes"]["e\n"] == {"train": 1, "test": 0}
    (warning,) = warnings.few_rows(counted)
    assert "fewer than 10 rows of 'b' (9), 'c' (2), 'd' (1) and 1 more: " in warning
    assert list(warnings.few_rows({"rows": {"test": 100}, "classes": {"a": {"test": 10}}})) == []


def test_a_missing_comparison_is_a_warning() -> None:
    """The person who approves reads why, in one line, before the other warnings."""
    unused: Any = None
    model = ModelArtifact(Schema(NUMBER, (Feature("a", "numeric"),)), unused, "any")
    inputs = command.Inputs(Path(), Path(), model, labelled(1), labelled(1), labelled(1))
    gate: dict[str, Any] = {"rows": 1, "champion": {"fault": f"{IMPOSSIBLE}it asks for the column 'a\x07b'"}}
    scores = command.Scores({}, warnings.count(inputs.splits, model.schema), gate)
    first, _, few = command.list_warnings(inputs, scores, None)
    assert few == (
        "The test split has 1 row, and intervals need 20: how far the metrics are from the truth "
        "is not known."
    )
    assert first == "The model was not compared with production's: it asks for the column 'a b'."
    gate["champion"] = {"left_out": 3}
    first, *_ = command.list_warnings(inputs, scores, None)
    assert first.startswith("3 of 1 test rows are not in the comparison")
    gate["champion"] = {"left_out": 0, "in_common": "2 of 90"}
    first, *_ = command.list_warnings(inputs, scores, None)
    assert first.startswith(
        "Production's model and this one learned few rows in common (2 of 90). If the others"
    )


def test_models_are_compared_on_the_same_part_of_the_test_rows() -> None:
    """The new model is measured on the rows of the champion's predictions too, and on no other."""
    unused: Any = None
    model = ModelArtifact(Schema(NUMBER, (Feature("a", "numeric"),)), unused, "any")
    test = labelled(*range(1, 41))
    inputs = command.Inputs(Path(), Path(), model, test, test, test)
    ours = test.target + np.tile([0.0, 2.0, 4.0, 9.0], 10)
    rows = np.arange(40) % 4 < 2
    theirs = Comparison({"metrics": {"mae": 1.5, "rmse": 2.0}}, test.target[rows] + 1.5, rows)
    gate, differences = command.compare(inputs, ours, theirs)
    assert (gate["challenger"]["mae"], gate["metrics"]) == (1.0, theirs.report["metrics"])
    assert differences["mae"]["value"] == -0.5
    assert differences["mae"]["low"] < -0.5 < differences["mae"]["high"]
    assert "on the same 20 rows is -0.5, " in gate["differences"]["mae"]
    assert command.compare(inputs, ours, Comparison({"fault": "x"})) == ({"fault": "x"}, {})
    test = replace(test, keys=SplitKeys(1, np.arange(40, dtype=np.uint64) // 2))
    gate, differences = command.compare(replace(inputs, test=test), ours, theirs)
    assert differences == {}
    assert gate["differences"]["mae"] == (
        "Its mae less that of the champion on the same 20 rows is -0.5, without an interval: the comparison "
        "has 10 groups of rows that the split keeps together, and intervals need 20."
    )
