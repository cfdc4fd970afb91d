"""Protects: responses have the model's numbers to the last bit, in the form that the caller accepts."""

import csv
import io

import hypothesis.strategies as st
import numpy as np
import orjson
import pytest
from hypothesis import given

from container.data.schema import Target
from container.payload import negotiation
from container.payload.errors import RequestError
from container.payload.negotiation import CSV, JSON, JSON_LINES, NPY, SUPPORTED
from container.payload.responses import ResponseEncoder
from container.runtime.typing import FloatArray

LABELS = ("no", 'a "quoted", one', "ja", "größer")
NUMBER, LABEL = Target("y", "regression"), Target("y", "multiclass", LABELS)
REGRESSION, CLASSES = ResponseEncoder(NUMBER), ResponseEncoder(LABEL)


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1))
def test_a_regression_reads_back_to_the_last_bit(numbers: list[float]) -> None:
    array = np.array(numbers)
    exact = [number.hex() for number in numbers]
    written = orjson.loads(REGRESSION.encode(array, JSON))
    assert [number.hex() for number in written["predictions"]] == exact
    for kind in (CSV, JSON_LINES):
        assert [float(line).hex() for line in REGRESSION.encode(array, kind).decode().split("\n")] == exact
    assert [number.hex() for number in loaded(REGRESSION.encode(array, NPY)).tolist()] == exact


def loaded(body: bytes) -> FloatArray:
    """Read an array as any program does."""
    array: FloatArray = np.load(io.BytesIO(body), allow_pickle=False)
    return array


@given(st.lists(st.lists(st.floats(0, 1), min_size=4, max_size=4), min_size=1))
def test_classes_have_their_label_and_its_probability(rows: list[list[float]]) -> None:
    array = np.array(rows)
    written = orjson.loads(CLASSES.encode(array, JSON))["predictions"]
    assert [orjson.loads(line) for line in CLASSES.encode(array, JSON_LINES).split(b"\n")] == written
    assert loaded(CLASSES.encode(array, NPY)).tolist() == rows
    lines = list(csv.reader(io.StringIO(CLASSES.encode(array, CSV).decode())))
    for row, answer, (label, confidence) in zip(rows, written, lines, strict=True):
        assert answer["probabilities"] == dict(zip(LABELS, row, strict=True))
        assert answer["label"] == label == LABELS[row.index(max(row))]
        assert float(confidence) == max(row)


@pytest.mark.parametrize("kind", [JSON, JSON_LINES, CSV, NPY])
@pytest.mark.parametrize("target", [NUMBER, LABEL], ids=["regression", "classes"])
def test_an_answer_above_the_limit_is_refused(target: Target, kind: str) -> None:
    """Protects the response's limit: a body of just this size passes, one byte more does not."""
    shape = (20_000,) if target.classes is None else (20_000, len(target.classes))
    predictions = np.random.default_rng(7).random(shape)
    size = len(ResponseEncoder(target, 10**9).encode(predictions, kind))
    assert len(ResponseEncoder(target, size).encode(predictions, kind)) == size
    with pytest.raises(RequestError) as caught:
        ResponseEncoder(target, size - 1).encode(predictions, kind)
    assert (caught.value.status, caught.value.code) == (413, "answer-too-large")
    assert caught.value.message.endswith(f"larger than {size - 1} bytes; send fewer rows at a time")


@given(st.lists(st.sampled_from([0.0, 1.0, 0.25]), min_size=1, max_size=8), st.sampled_from(SUPPORTED))
def test_what_cannot_fit_is_known_before_it_is_scored(numbers: list[float], kind: str) -> None:
    """A response that fits is never rejected before the prediction; one of too many rows is."""
    for target in (NUMBER, LABEL):
        array = np.array(numbers)
        classes = np.column_stack([array, *[np.zeros(len(array))] * 3])
        predictions = array if target.classes is None else classes
        size = len(ResponseEncoder(target, 10**9).encode(predictions, kind))
        ResponseEncoder(target, size).check_rows(len(numbers), kind)
        with pytest.raises(RequestError, match="fewer rows"):
            ResponseEncoder(target, size).check_rows(size, kind)


def test_many_rows_are_written_in_chunks_that_join() -> None:
    rows = np.random.default_rng(7).random((10_000, 4))
    written = orjson.loads(CLASSES.encode(rows, JSON))["predictions"]
    assert [list(row["probabilities"].values()) for row in written] == rows.tolist()
    assert list(map(orjson.loads, CLASSES.encode(rows, JSON_LINES).split(b"\n"))) == written


@pytest.mark.parametrize(
    ("accept", "default", "expected"),
    [
        ("", CSV, CSV),
        ("*/*", JSON, JSON),
        ("text/csv", JSON, CSV),
        ("TEXT/CSV; charset=utf-8", JSON, CSV),
        ("text/*", JSON, CSV),
        ("application/*, text/csv;q=0.5", CSV, JSON),
        ("text/csv;q=0.5, application/json;q=0.9", CSV, JSON),
        ("application/json;q=0, */*", JSON, CSV),
        ("image/png, */*;q=0.1", CSV, CSV),
        ("text/csv;q=high, application/json;q=0.1", CSV, JSON),
        ("application/*", NPY, NPY),
        ("application/*", CSV, JSON),
        ("application/jsonlines, application/json;q=0.9", CSV, JSON_LINES),
        ("application/x-npy", JSON, NPY),
        ("image/png", CSV, None),
        ("text/csv;q=0", CSV, None),
        (";;,,==", CSV, None),
    ],
)
def test_accept_decides_the_form(accept: str, default: str, expected: str | None) -> None:
    if expected is not None:
        assert negotiation.response_type(accept.encode(), default) == expected
        return
    with pytest.raises(RequestError) as caught:
        negotiation.response_type(accept.encode(), default)
    assert caught.value.status == 406


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("text/csv", (CSV, "")),
        ("Text/CSV; header=present; charset=UTF-8", (CSV, "present")),
        ('application/json; charset="utf-8"', (JSON, "")),
        ("application/json;", (JSON, "")),
        ("text/csv; charset=utf-16", None),
        ("application/jsonlines", (JSON_LINES, "")),
        ("application/x-npy", (NPY, "")),
        ("application/x-www-form-urlencoded", None),
        ("", None),
    ],
)
def test_content_types(header: str, expected: tuple[str, str] | None) -> None:
    if expected is not None:
        assert negotiation.content_type(header.encode()) == expected
        return
    with pytest.raises(RequestError) as caught:
        negotiation.content_type(header.encode())
    assert caught.value.status == 415


@given(st.binary())
def test_any_header_is_read_or_refused(header: bytes) -> None:
    for read in (negotiation.content_type, lambda text: negotiation.response_type(text, CSV)):
        try:
            read(header)
        except RequestError:
            continue
