"""The schema survives its file, and encodes a cell as a column of cells."""

import json
import math
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from container.data import encode
from container.data.schema import Feature, Schema, Target
from container.data.values import NumberFormat, Reading
from container.runtime.errors import UserError

names = st.text(min_size=1, max_size=8)
levels = st.lists(st.text(min_size=1, max_size=5), min_size=1, max_size=6, unique=True).map(tuple)
formats = st.none() | st.builds(NumberFormat, st.sampled_from(".,"), st.just("'"), st.sampled_from(["", "$"]))
features = st.one_of(
    st.builds(Feature, names, st.just("numeric"), number_format=formats, strays=st.booleans()),
    st.builds(Feature, names, st.just("categorical"), levels, st.booleans()),
    st.builds(Feature, names, st.just("date"), format=st.sampled_from(["iso8601", "dd/mm/yyyy"])),
)
targets = st.one_of(
    st.builds(Target, names, st.just("regression"), number_format=formats),
    st.builds(Target, names, st.just("multiclass"), levels),
)
COLOUR = Feature("colour", "categorical", ("blue", "red"))
FOLDED = Feature("city", "categorical", ("Bonn", "Rome"), other=True)
FLAG = Feature("flag", "categorical", ("False", "True"))


@given(st.builds(Schema, targets, st.lists(features, max_size=5).map(tuple)))
def test_a_schema_survives_json(schema: Schema) -> None:
    """Protects the file that travels with the model."""
    assert Schema.from_json(json.loads(json.dumps(schema.to_json()))) == schema


@pytest.mark.parametrize(
    ("feature", "text", "expected"),
    [
        (COLOUR, " red ", 1.0),
        (COLOUR, "green", math.nan),
        (COLOUR, "?", math.nan),
        (FOLDED, "Oslo", 2.0),
        (FOLDED, "", math.nan),
        (FLAG, "true", 1.0),
        (FLAG, "FALSE", 0.0),
        (Feature("x", "numeric"), "1e3", 1000.0),
        (Feature("x", "numeric"), "null", math.nan),
        (Feature("d", "date", format="iso8601"), "1970-01-02", 86400.0),
        (Feature("d", "date", format="iso8601"), "yesterday", math.nan),
        (Feature("x", "numeric"), "#N/A", math.nan),
        (Feature("x", "numeric", strays=True), "unknown", math.nan),
        (Feature("x", "numeric", number_format=NumberFormat(",", ".", "\u20ac")), "1.200,5 \u20ac", 1200.5),
        (Feature("x", "numeric", reading=Reading(words=("unk",))), "unk", math.nan),
        (FLAG, "1", 1.0),
        (Feature("zip", "categorical", ("01", "02")), "2", 1.0),
        (Feature("zip", "categorical", ("None", "x"), reading=Reading(1)), "None", 0.0),
    ],
)
def test_a_cell_becomes_a_number(feature: Feature, text: str, expected: float) -> None:
    """Protects what the model sees of known, unknown, rare and missing values."""
    assert feature.encode(text) == pytest.approx(expected, nan_ok=True, abs=0)


@pytest.mark.parametrize("text", ["abc", "inf", "1_0"])
def test_text_in_a_numeric_column_is_refused_by_name(text: str) -> None:
    """Protects against a request's text passing as a missing number."""
    with pytest.raises(ValueError, match="income"):
        Feature("income", "numeric").encode(text)


cells = st.one_of(
    st.sampled_from(["Bonn", "Rome", "Oslo", "", "NA", "red", "true", "2021-05-06", "x"]), st.text(max_size=4)
).filter(lambda text: not any(mark in text for mark in '\0\r\n,"'))


@given(st.lists(cells, min_size=1, max_size=20), st.sampled_from([COLOUR, FOLDED, FLAG]))
def test_a_column_is_encoded_as_its_cells_are(column: list[str], feature: Feature) -> None:
    """Protects serving, which encodes cell by cell, from training, which encodes by column."""
    text = pl.DataFrame({"0": ["1"] * len(column), "1": column}, schema={"0": pl.String, "1": pl.String})
    text = text.with_columns(pl.col("1").str.strip_chars(" \t\r\n\x0b\x0c"))
    made = encode.encode(text, Schema(Target("y", "regression"), (feature,)), "a.csv")[:, 0]
    assert np.array_equal(made, [feature.encode(cell) for cell in column], equal_nan=True)


def test_a_schema_without_a_reading_is_read_as_before() -> None:
    """Protects the champion that an earlier version trained: its words and categories keep their meaning."""
    content = {
        "version": 1,
        "target": {"name": "y", "task": "binary", "classes": ["-", "1"]},
        "features": [
            {"name": "alley", "kind": "categorical", "categories": ["1", "None"], "other": False},
            {"name": "x", "kind": "numeric"},
        ],
    }
    schema = Schema.from_json(content)
    assert schema.to_json() == content
    assert schema.target.encode("-") == 0.0
    alley, number = schema.features
    assert (alley.encode("None"), alley.encode("1")) == (1.0, 0.0)
    assert math.isnan(alley.encode("1.0"))
    with pytest.raises(ValueError, match="'-' is not a number"):
        number.encode("-")


def test_a_schema_says_how_cells_are_read() -> None:
    """Protects the keys that serving, the monitor and the ground truth read."""
    reading = Reading(words=("unk",))
    style = NumberFormat(",", ".", "\u20ac")
    price = Feature("price", "numeric", number_format=style, strays=True, reading=reading)
    schema = Schema(Target("y", "regression", number_format=style, reading=reading), (price,))
    written = {"decimal": ",", "group": ".", "sign": "\u20ac"}
    assert schema.to_json() == {
        "version": 1,
        "reading": 2,
        "missing_words": ["unk"],
        "target": {"name": "y", "task": "regression", "classes": None, "number_format": written},
        "features": [{"name": "price", "kind": "numeric", "number_format": written, "strays": True}],
    }
    assert Schema.from_json(schema.to_json()).reading.words == ("unk",)
    assert math.isnan(Schema.from_json(schema.to_json()).features[0].encode("unk"))


def test_a_label_that_is_no_class_is_refused() -> None:
    """Protects the metrics from labels that the model cannot give."""
    target = Target("y", "binary", ("no", "yes"))
    assert target.encode("yes") == 1.0
    with pytest.raises(ValueError, match="'perhaps' is not one of the classes of y"):
        target.encode("perhaps")


@pytest.mark.parametrize(
    "content",
    ["", "[]", "{}", '{"version": 2}', '{"version": 1, "reading": 3}', '{"version": 1, "target": {}}'],
)
def test_a_damaged_schema_is_refused(tmp_path: Path, content: str) -> None:
    """Protects the user from a traceback when the artifact is not ours."""
    (tmp_path / "schema.json").write_text(content)
    with pytest.raises(UserError, match=r"schema\.json"):
        Schema.read(tmp_path / "schema.json")
