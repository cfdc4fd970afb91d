"""The rows of requests are profiled as the endpoint reads them, in every format."""

import base64
import io
import json
import math
import sys
from fractions import Fraction
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from container.data.schema import Feature, Schema, Target
from container.monitor.capture import Counts
from container.monitor.profile import MAX_OTHER_COLUMNS, ColumnProfile, TableProfile
from container.monitor.request_rows import RequestRows
from container.payload.errors import RequestError
from container.payload.requests import RequestDecoder
from tests.container.monitor.captured import side

NAMES = ("x", "y", "c")


def profiled(*sides: dict[str, Any] | None, names: tuple[str, ...] = NAMES) -> tuple[TableProfile, Counts]:
    counts = Counts()
    profile = TableProfile(known_texts=dict.fromkeys(names, frozenset()))
    rows = RequestRows(profile, names, counts)
    rows.collect(("", {"endpointInput": each} if each is not None else {}, {}) for each in sides)
    rows.flush()
    return profile, counts


def csv(text: str, kind: str = "text/csv") -> dict[str, str]:
    return side(text, "CSV", kind, "INPUT")


def as_json(document: object) -> dict[str, str]:
    return side(json.dumps(document), "JSON", "application/json", "INPUT")


def base64_side(body: bytes, kind: str) -> dict[str, str]:
    return side(base64.b64encode(body).decode(), "BASE64", kind, "INPUT")


def known(column: ColumnProfile) -> tuple[int, int, float, dict[str, int]]:
    return column.present, column.text, column.moments.sum, column.texts


FORMS = {
    "a row a request": [csv("1,2.5,a"), csv("3,,b")],
    "rows of one request": [csv("1,2.5,a\n3,,b\n")],
    "carriage returns": [csv("1,2.5,a\r\n3,,b\r\n")],
    "blanks": [csv("1, 2.5 ,a"), csv(" 3,NA, b")],
    "quotes": [csv('1,"2.5","a"\n3,"",b')],
    "a byte order mark": [csv("\ufeff1,2.5,a"), csv("3,,b")],
    "a type with a parameter": [
        csv("1,2.5,a", "text/csv; charset=utf-8"),
        csv("3,,b", "text/csv; header=absent"),
    ],
    "a type of one's own": [csv("1,2.5,a", "application/x-csv"), csv("3,,b", "")],
    "a header": [csv("x,y,c\n1,2.5,a\n3,,b")],
    "a header in another order": [csv("c,x,y\na,1,2.5\nb,3,")],
    "a header by content type": [csv("x,y,c\n1,2.5,a\n3,,b", "text/csv; header=present")],
    "instances by position": [as_json({"instances": [[1, 2.5, "a"], [3, None, "b"]]})],
    "instances by name": [
        as_json({"instances": [{"x": 1, "y": 2.5, "c": "a"}, {"c": "b", "x": 3, "y": None}]})
    ],
    "names left out": [as_json([{"x": 1, "y": 2.5, "c": "a"}, {"c": "b", "x": 3}])],
    "SageMaker's features": [
        as_json({"instances": [{"features": [1, 2.5, "a"]}, {"features": [3, "", "b"]}]})
    ],
    "numbers as text": [as_json([["1", "2.5", "a"], ["3", "", "b"]])],
    "one object": [as_json({"x": 1, "y": 2.5, "c": "a"}), as_json([3, None, "b"])],
    "base64": [
        base64_side(b"1,2.5,a", "text/csv; charset=utf-8"),
        base64_side(b'[[3,null,"b"]]', "application/json"),
    ],
    "JSON lines": [base64_side(b'[1,2.5,"a"]\n[3,null,"b"]\n', "application/jsonlines")],
    "JSON lines that were configured as JSON": [
        side('[1,2.5,"a"]\n[3,null,"b"]', "JSON", "application/jsonlines", "INPUT")
    ],
    "all of these": [csv("1,2.5,a"), as_json([[3, None, "b"]])],
}


@pytest.mark.parametrize(
    "array", [np.array([[1, 4], [3, 5]]), np.array([[1.0, 4.5], [3, math.nan]]), np.array([1, 2])]
)
def test_rows_of_an_array_are_those_of_its_numbers(array: Any) -> None:
    written = io.BytesIO()
    np.save(written, array)
    body, names = written.getvalue(), ("x", "y")
    document = orjson.loads(orjson.dumps(array, option=orjson.OPT_SERIALIZE_NUMPY))
    for name in names:
        found, expected = (
            profiled(sent, names=names)[0].columns[name]
            for sent in (base64_side(body, "application/x-npy"), as_json(document))
        )
        assert known(found) == known(expected)


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_a_request_gives_the_same_columns(form: str) -> None:
    """Several rows stay several, and names select their column."""
    profile, counts = profiled(*FORMS[form])
    profile.finalize()
    assert profile.rows == 2
    assert counts == Counts()
    assert list(profile.columns) == list(NAMES)
    assert known(profile.columns["x"])[:3] == (2, 0, 4.0)
    assert known(profile.columns["y"])[:3] == (1, 0, 2.5)
    assert known(profile.columns["c"]) == (2, 2, 0.0, {"a": 1, "b": 1})
    assert [profile.columns[name].inferred_type for name in NAMES] == ["Integral", "Fractional", "String"]
    assert profile.columns["y"].missing == 1


def test_output_adds_no_column() -> None:
    """Only requests are compared with the training data."""
    profile, _ = profiled(csv("1,2,a"))
    assert set(profile.columns) == set(NAMES)


@pytest.mark.parametrize(
    "odd",
    [
        side(base64.b64encode(b"\x89PNG").decode(), "BASE64", "image/png", "INPUT"),
        side("1,2", "BASE64", "text/csv", "INPUT"),
        side('{"a":', "JSON", "application/json", "INPUT"),
        side("", "CSV", "text/csv", "INPUT"),
        side('1,"2,a', "CSV", "text/csv", "INPUT"),
        {"encoding": "CSV"},
        {"data": 7, "encoding": "CSV", "observedContentType": "text/csv"},
        {"data": None, "encoding": "JSON"},
        "text",
    ],
)
def test_requests_that_are_no_table_are_counted(odd: Any) -> None:
    """Images, bodies that the endpoint refuses, and records that SageMaker does not write are counted."""
    profile, counts = profiled(csv("1,2,a"), odd, csv("3,4,b"))
    assert profile.rows == 2
    assert counts == Counts(unreadable=1)


def test_requests_without_a_captured_body_are_counted() -> None:
    """An endpoint may capture its output alone."""
    assert profiled(None, csv("1,2,a"))[1] == Counts(missing_body=1)


def test_rows_that_are_too_short_have_no_columns() -> None:
    """The position does not tell which value is missing."""
    profile, counts = profiled(csv("1,2"), as_json([[1, 2]]), csv("x,y\n1\n"), as_json([1, 2, "a"]))
    assert (profile.rows, counts.too_few_columns) == (1, 3)


def test_rows_that_are_too_long_have_numbered_columns_besides() -> None:
    """As the analyzer calls columns without a name."""
    profile, counts = profiled(csv("1,2,a,9"), as_json([[1, 2, "a", 9]]), csv("1,2,b"))
    assert (profile.rows, counts) == (3, Counts())
    assert list(profile.columns) == [*NAMES, "_c3"]
    assert profile.columns["_c3"].present == 2


def test_cells_of_json_are_those_of_csv() -> None:
    """A boolean, a list and a number with a point have the same text in both."""
    rows = [
        {"x": 41.0, "y": 1e20, "c": True},
        {"x": 2**70, "y": 0.1, "c": [1, "a"]},
        {"x": 2, "c": 7.0, "y": 1},
    ]
    profile, _ = profiled(as_json(rows))
    assert profile.columns["x"].integral == 3
    assert profile.columns["c"].texts == {"true": 1, '[1,"a"]': 1, "7": 1}
    assert profile.columns["y"].fractional == 1


def test_integers_of_more_than_64_bits_are_numbers() -> None:
    """Every value of JSON is counted."""
    profile, _ = profiled(as_json([[2**64 - 1, 1, "a"], [1, 1, "a"]]))
    assert profile.columns["x"].maximum == float(2**64 - 1)
    assert profile.columns["x"].present == 2


def test_model_of_one_column_reads_every_form() -> None:
    """Such a row has no comma."""
    sent = [csv("1"), csv("2\n3"), as_json([[4], {"x": 5}]), as_json({"x": 6})]
    profile, counts = profiled(*sent, names=("x",))
    assert (profile.rows, counts) == (6, Counts())
    assert profile.columns["x"].moments.sum == 21.0


def test_other_columns_are_bounded_whichever_come_first() -> None:
    """Callers may send any names, and must not fill the memory."""
    rows = [{"x": 1, f"n{n:05}": 1} for n in range(3000)]
    first, _ = profiled(as_json(rows))
    second, _ = profiled(as_json(rows[::-1]))
    others = [f"n{n:05}" for n in range(MAX_OTHER_COLUMNS)]
    for profile in (first, second):
        profile.finalize()
        assert list(profile.columns) == ["x", *others]
        assert all(profile.columns[name].present == 1 for name in others)


cells = st.one_of(
    st.integers(-99, 99).map(str),
    st.floats(-1e6, 1e6).map(repr),
    st.sampled_from(["", "NA", " 7", "a", "x", '"q"', "?"]),
)
texts = st.lists(st.lists(cells, min_size=1, max_size=4).map(",".join), min_size=1, max_size=4).map("\n".join)
numbers = st.none() | st.integers(-(2**65), 2**65) | st.floats(allow_nan=False, allow_infinity=False)
values = numbers | st.text(max_size=3) | st.booleans()
rows_ = st.lists(values, max_size=4) | st.dictionaries(st.sampled_from(["x", "y", "c", "z"]), values)
documents = (
    st.lists(rows_, max_size=4) | st.fixed_dictionaries({"instances": st.lists(rows_, max_size=4)}) | values
)
LARGEST = Fraction(sys.float_info.max)
bodies = texts.map(csv) | documents.map(as_json) | st.text(max_size=20).map(csv)


def schema() -> Schema:
    kinds = [
        Feature("x", "numeric"),
        Feature("y", "numeric"),
        Feature("c", "categorical", ("a", "b"), other=True),
    ]
    return Schema(Target("t", "regression"), tuple(kinds))


@given(st.lists(bodies, max_size=8))
def test_no_request_ends_a_job(sent: list[dict[str, str]]) -> None:
    """A body may contain anything, alone or beside others."""
    profile, _ = profiled(*sent)
    profile.finalize()
    assert all(column.present + column.missing == profile.rows for column in profile.columns.values())


@example(as_json([{"y": 8.988465674311579e307}, {"y": 8.98846567431158e307}]))
@given(bodies)
def test_what_the_endpoint_answers_is_what_is_profiled(sent: dict[str, str]) -> None:
    """As many rows, and the same numbers in the numeric columns."""
    kind = {"CSV": "text/csv", "JSON": "application/json"}[sent["encoding"]]
    try:
        batch = RequestDecoder(schema()).decode(sent["data"].encode(), kind)
    except (RequestError, UnicodeEncodeError):
        return
    profile, counts = profiled(sent)
    assert profile.rows == len(batch.rows)
    assert counts == Counts()
    for place, name in enumerate(("x", "y")):
        present = int(np.isfinite(batch.rows[:, place]).sum())
        column = profile.columns.get(name)
        assert (column.moments.count if column else 0) == present
        if column and present:
            values = batch.rows[:, place][np.isfinite(batch.rows[:, place])]
            total = sum(map(Fraction, values.tolist()))
            bounded = float(min(max(total, -LARGEST), LARGEST))  # a sum in the report is a finite number
            assert column.moments.sum == pytest.approx(bounded, rel=1e-12, abs=1e-9)
