"""Protects: every form of a request is decoded to the numbers of `Feature.encode`, or is an error."""

import csv
import io
import json
import math
from dataclasses import replace
from typing import Any

import hypothesis.strategies as st
import numpy as np
import orjson
import pytest
from hypothesis import assume, example, given, settings
from hypothesis.extra import numpy as arrays

from container.data.schema import Feature, Schema, Target
from container.data.values import NumberFormat, Reading
from container.payload import number_parser
from container.payload.errors import RequestError
from container.payload.negotiation import CSV, JSON, JSON_LINES, NPY, SUPPORTED
from container.payload.requests import Batch, RequestDecoder

TARGET = Target("y", "regression")
NUMERIC = Schema(TARGET, tuple(Feature(name, "numeric") for name in ("rooms", "age", "income")))
MIXED = Schema(
    TARGET,
    (
        Feature("size", "numeric"),
        Feature("sex", "categorical", ("F", "I", "M")),
        Feature("town", "categorical", ("1", "2", "São, Paulo"), other=True),
        Feature("smoker", "categorical", ("no", "yes")),
        Feature("vip", "categorical", ("False", "True")),
        Feature("day", "date", format="iso8601"),
    ),
)
SINGLE = Schema(TARGET, (Feature("x", "numeric"),))

MISSING = st.sampled_from(["", " ", "NA", "N/A", "?", "nan", "NaN", "NULL", "null"])
NUMBERS = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.integers().map(str),
    st.integers(-9, 9).map(str),
    st.sampled_from(["-0", "-0.0", "-0e3", "+1", "1.", ".5", "007", "1E5", " 2 ", "\t3", "1e-400", "5e-324"]),
)
ODD = st.sampled_from(
    ["abc", "1e999", "inf", "1_000", "٣", "true", "[1", "1]", "{}", '"', "1;2", "-", "0x1f", "1 2"]
)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)


def cells(feature: Feature) -> st.SearchStrategy[str]:
    if feature.kind == "numeric":
        return st.one_of(NUMBERS, NUMBERS, MISSING, ODD)
    if feature.kind == "date":
        return st.one_of(
            st.dates().map(str), st.datetimes().map(lambda moment: moment.isoformat()), MISSING, TEXTS
        )
    return st.one_of(st.sampled_from(feature.categories or ("",)), MISSING, TEXTS)


def tables(schema: Schema) -> st.SearchStrategy[list[list[str]]]:
    row = st.tuples(*map(cells, schema.features)).map(list)
    return st.lists(row, min_size=1, max_size=4)


SCHEMAS = st.sampled_from([NUMERIC, MIXED, SINGLE])
REQUESTS = SCHEMAS.flatmap(lambda schema: st.tuples(st.just(schema), tables(schema)))


def encoded(schema: Schema, table: list[list[str]]) -> np.ndarray[Any, Any] | None:
    """Return the numbers that `prepare` and training would encode, or None when they would reject a cell."""
    try:
        rows = [
            [feature.encode(cell) for feature, cell in zip(schema.features, row, strict=True)]
            for row in table
        ]
    except ValueError:
        return None
    return np.array(rows, dtype=np.float64)


def bits(array: np.ndarray[Any, Any]) -> list[int]:
    """Return the numbers bit by bit, so that -0.0 differs from 0.0; all NaN are one."""
    return [int(each) for each in np.where(np.isnan(array), math.nan, array).view(np.uint64).ravel()]


def check(schema: Schema, table: list[list[str]], body: bytes, kind: str, header: str = "") -> None:
    expected = encoded(schema, table)
    outcome = attempt(schema, body, kind, header)
    if expected is None:
        assert isinstance(outcome, RequestError)
        assert outcome.status == 400
        assert outcome.row is not None
        assert outcome.column in {feature.name for feature in schema.features}
        return
    assert isinstance(outcome, Batch), outcome.message
    assert bits(outcome.rows) == bits(expected)
    assert outcome.missing + outcome.unknown >= int(np.isnan(expected).sum())


def attempt(schema: Schema, body: bytes, kind: str, header: str = "") -> Batch | RequestError:
    try:
        return RequestDecoder(schema).decode(body, kind, header)
    except RequestError as refusal:
        return refusal


def to_csv(rows: list[list[str]], quoting: int, end: str) -> bytes:
    if any("\r" in cell for row in rows for cell in row):
        quoting = csv.QUOTE_ALL  # a bare one ends a row, and Python 3.11 writes it bare
    buffer = io.StringIO()
    csv.writer(buffer, quoting=quoting, lineterminator=end).writerows(rows)  # type: ignore[arg-type]
    return buffer.getvalue().encode()


QUOTING = st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL])
END = st.sampled_from(["\n", "\r\n"])


@given(REQUESTS, QUOTING, END)
@settings(deadline=None)
def test_csv_rows_by_position(request_: tuple[Schema, list[list[str]]], quoting: int, end: str) -> None:
    schema, table = request_
    body = to_csv(table, quoting, end)
    assume(not body.isspace())  # one blank cell is an empty body
    check(schema, table, body, CSV, "absent")


@given(REQUESTS, QUOTING, st.randoms(use_true_random=False), st.booleans())
@settings(deadline=None)
def test_csv_rows_by_header_in_any_order_with_an_extra_column(
    request_: tuple[Schema, list[list[str]]],
    quoting: int,
    random: Any,
    extra: bool,  # noqa: FBT001 - a parameter of the cases
) -> None:
    schema, table = request_
    names = [feature.name for feature in schema.features] + ["row id"] * extra
    order = random.sample(range(len(names)), len(names))
    rows = [names, *([*row, "7"][: len(names)] for row in table)]
    check(schema, table, to_csv([[row[place] for place in order] for row in rows], quoting, "\n"), CSV)


@given(REQUESTS, st.tuples(st.booleans(), st.booleans()))
@settings(deadline=None)
def test_json_texts_by_position_and_by_name(
    request_: tuple[Schema, list[list[str]]],
    form: tuple[bool, bool],
) -> None:
    (schema, table), (named, bare) = request_, form
    names = [feature.name for feature in schema.features]
    rows = [dict(zip(reversed(names), reversed(row), strict=True)) for row in table] if named else table
    check(schema, table, orjson.dumps(rows if bare else {"instances": rows}), JSON)
    lines: list[Any] = rows if bare or named else [{"features": row} for row in rows]
    check(schema, table, b"\n".join(map(orjson.dumps, lines)), JSON_LINES)


@given(st.lists(st.tuples(*[st.floats(allow_nan=False, allow_infinity=False)] * 3).map(list), min_size=1))
def test_json_numbers_are_the_same_float64(rows: list[list[float]]) -> None:
    named = [dict(zip(("income", "age", "rooms"), reversed(row), strict=True)) for row in rows]
    for instances in (rows, named):
        lines = b"\n".join(map(orjson.dumps, instances))
        for body, kind in ((orjson.dumps({"instances": instances}), JSON), (lines, JSON_LINES)):
            assert bits(RequestDecoder(NUMERIC).decode(body, kind).rows) == bits(np.array(rows))


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats()
    | st.sampled_from(["F", "2", "x"])
    | TEXTS,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["instances", "features", "size", "sex", "x"]) | TEXTS, inner, max_size=4
        )
    ),
    max_leaves=12,
)


@given(SCHEMAS, VALUES)
@settings(max_examples=300, deadline=None)
def test_any_json_is_read_or_refused(schema: Schema, value: Any) -> None:
    for document in (value, {"instances": value}, {"instances": [value]}):
        read_or_refuse(schema, orjson.dumps(document), JSON)
    read_or_refuse(schema, orjson.dumps(value) + b"\n[1]", JSON_LINES)


@given(
    SCHEMAS,
    st.binary(max_size=60) | TEXTS.map(str.encode),
    st.sampled_from(SUPPORTED),
    st.sampled_from(["", "present", "absent"]),
)
@settings(max_examples=500, deadline=None)
def test_any_bytes_are_read_or_refused(schema: Schema, body: bytes, kind: str, header: str) -> None:
    read_or_refuse(schema, body, kind, header)


def read_or_refuse(schema: Schema, body: bytes, kind: str, header: str = "") -> None:
    outcome = attempt(schema, body, kind, header)
    if isinstance(outcome, RequestError):
        assert outcome.status == 400
        assert orjson.loads(outcome.body())["error"]["message"]
        return
    assert outcome.rows.ndim == 2
    assert len(outcome.rows) > 0
    assert not np.isinf(outcome.rows).any()


def read(schema: Schema, text: str, kind: str = CSV, header: str = "") -> Batch:
    return RequestDecoder(schema).decode(text.encode(), kind, header)


def test_a_text_with_colons_is_not_taken_for_a_key() -> None:
    """Protects texts such as times: what looks like a key twice is read again, and then taken."""
    texts = '{"instances": [{"town": "a\\": \\":b:c"}, {"town": "12:30:00"}]}'
    assert len(read(MIXED, texts, JSON).rows) == 2


@pytest.mark.parametrize(
    ("schema", "kind", "text", "expected"),
    [
        (NUMERIC, CSV, "", ("empty-body", None, None)),
        (NUMERIC, CSV, " \n\n", ("empty-body", None, None)),
        (NUMERIC, CSV, "1,2,3\n1,2", ("wrong-width", 2, None)),
        (NUMERIC, CSV, "1,2,3\n\n1,2,3", ("wrong-width", 2, None)),
        (NUMERIC, CSV, "1,2,3,\n4,5", ("wrong-width", 1, None)),
        (NUMERIC, CSV, "1,2,3\n1,old,3", ("not-a-number", 2, "age")),
        (NUMERIC, CSV, "1,2,3\n1,2,1e999", ("not-finite", 2, "income")),
        (NUMERIC, CSV, '1,2,"3', ("invalid-csv", None, None)),
        (NUMERIC, CSV, "age,rooms,age\n1,2,3", ("duplicate-column", None, "age")),
        (NUMERIC, CSV, "age,rooms\n", ("no-rows", None, None)),
        (NUMERIC, CSV, "age,rooms\n1,2\n1", ("wrong-width", 2, None)),
        (NUMERIC, CSV, "age,rooms\n1,2\nx,1", ("not-a-number", 2, "age")),
        (NUMERIC, JSON, "{", ("invalid-json", None, None)),
        (NUMERIC, JSON, '{"instances": [[NaN, 1, 2]', ("invalid-json", None, None)),
        (NUMERIC, JSON, '{"instances": [[nan, 1, 2]]}', ("invalid-json", None, None)),
        (NUMERIC, JSON, '{"instances": [[1, 2, 3], [NaN, Infinity, 2]]}', ("not-finite", 2, "age")),
        (NUMERIC, JSON, '{"instances": [[-Infinity, 1, 2]]}', ("not-finite", 1, "rooms")),
        (NUMERIC, JSON, '{"instances": []}', ("no-rows", None, None)),
        (NUMERIC, JSON, "[]", ("no-rows", None, None)),
        (NUMERIC, JSON, "3", ("no-instances", None, None)),
        (NUMERIC, JSON, '{"instances": 3}', ("no-known-column", 1, None)),
        (NUMERIC, JSON, '{"instances": [[1, 2, 3], [1, 2]]}', ("wrong-width", 2, None)),
        (NUMERIC, JSON, '{"instances": [[1, 2, 3], {"age": 2}]}', ("mixed-rows", 2, None)),
        (NUMERIC, JSON, '{"instances": [{"age": 2}, 7]}', ("mixed-rows", 2, None)),
        (NUMERIC, JSON, '{"instances": [[1, 2, 3], [1, true, 3]]}', ("not-a-value", 2, "age")),
        (NUMERIC, JSON, '{"instances": [[1, [2], 3]]}', ("not-a-value", 1, "age")),
        (NUMERIC, JSON, '{"instances": [{"age": {"x": 1}}]}', ("not-a-value", 1, "age")),
        (NUMERIC, JSON, '{"instances": [{"age": "old"}]}', ("not-a-number", 1, "age")),
        (NUMERIC, JSON, '{"instances": [{"Age": 1}]}', ("no-known-column", 1, None)),
        (NUMERIC, JSON, '{"instances": [{}]}', ("no-known-column", 1, None)),
        (NUMERIC, JSON, '{"age": 1, "rooms": 2, "age": 3}', ("duplicate-column", None, "age")),
        (NUMERIC, JSON, '[{"age": 1}, {"age": 1, "\\u0061ge" :2}]', ("duplicate-column", 2, "age")),
        (NUMERIC, JSON, '{"instances": [{"age": NaN, "age": 2}]}', ("duplicate-column", 1, "age")),
        (NUMERIC, JSON, '{"instances": [{"age": 1, " age": 2}]}', ("duplicate-column", 1, "age")),
        (
            NUMERIC,
            JSON,
            '{"instances": [[1, 2, 3]], "instances": []}',
            ("duplicate-column", None, "instances"),
        ),
        (NUMERIC, JSON_LINES, '{"age": 1}\n{"age": 1, "age": 2}', ("duplicate-column", 2, "age")),
        (SINGLE, JSON, "[" * 1000 + "]" * 1000, ("not-a-value", 1, "x")),
        (NUMERIC, JSON, "[" * 2000 + "]" * 2000, ("invalid-json", None, None)),
    ],
)
def test_what_is_wrong_is_named_with_its_row_and_column(
    schema: Schema, kind: str, text: str, expected: tuple[str, int | None, str | None]
) -> None:
    with pytest.raises(RequestError) as caught:
        read(schema, text, kind)
    refusal = caught.value
    assert refusal.status == 400
    assert (refusal.code, refusal.row, refusal.column) == expected


def test_a_header_is_distinguished_from_values() -> None:
    """Protects detection: a number that names a column is not a header, nor a category named as a column."""
    assert read(MIXED, "town,size\n2,1.5").rows[0, :3].tolist()[::2] == [1.5, 1.0]
    assert read(MIXED, "1.5,sex,2,no,True,2024-01-01").unknown == 1  # a value that is called like a column
    named_by_numbers = Schema(TARGET, (Feature("0", "numeric"), Feature("1", "numeric")))
    assert read(named_by_numbers, "1,0\n5,6").rows.tolist() == [[1, 0], [5, 6]]
    assert read(named_by_numbers, "1,0\n5,6", header="present").rows.tolist() == [[6, 5]]
    years = Schema(TARGET, (Feature("2023", "numeric"), Feature("town", "categorical", ("here", "there"))))
    assert read(years, "town,2023\nthere,6").rows.tolist() == [[6, 1]]
    assert read(years, "2023,there").rows.tolist() == [[2023, 1]]


FRAME = ",size,sex,town,smoker,vip,day\n0,1.5,F,2,no,True,2024-01-01\n1,NaN,M,1,yes,False,2024-01-02\n"
SPLIT: dict[str, Any] = {
    "columns": ["Unnamed: 0", " size", "sex", "town", "smoker", "vip", "day"],
    "index": [0, 1],
    "data": [[0, 1.5, "F", 2, "no", True, "2024-01-01"], [1, math.nan, "M", 1, "yes", False, "2024-01-02"]],
}
RECORDS = [dict(zip(SPLIT["columns"], row, strict=True)) for row in SPLIT["data"]]


@pytest.mark.parametrize(
    ("text", "kind", "header"),
    [
        (FRAME, CSV, ""),
        (FRAME, CSV, "present"),
        (FRAME.replace(",size", "Unnamed: 0,size"), CSV, ""),
        (FRAME.replace(",s", ",,s", 1).replace("0,1.5", "a,0,1.5").replace("1,NaN", "a,1,NaN"), CSV, ""),
        (json.dumps(SPLIT), JSON, ""),
        (json.dumps(RECORDS), JSON, ""),
        ("\n".join(map(json.dumps, RECORDS)), JSON_LINES, ""),
    ],
)
def test_an_index_that_pandas_wrote_is_left_out(text: str, kind: str, header: str) -> None:
    """Training leaves it out of the same file; NaN, which pandas and json write, is a missing value."""
    batch = read(MIXED, text, kind, header)
    plain = "\n".join(line.partition(",")[2] for line in FRAME.splitlines())
    assert bits(batch.rows) == bits(read(MIXED, plain).rows)
    assert (batch.missing, batch.unknown) == (1, 0)
    assert batch.extra == (2 if text.startswith(",,") else 1)


@pytest.mark.parametrize(
    ("text", "kind", "words"),
    [
        ("0,1,2,3\n", CSV, "one value more is often a DataFrame's index"),
        ("[[0, 1, 2, 3]]", JSON, "one value more is often a DataFrame's index"),
        ("1;2;3\n", CSV, "separated by semicolons"),
        ("rooms;age;income\n1;2;3\n", CSV, "separated by semicolons"),
        ("1,5;2,5;3,5\n", CSV, "separated by semicolons"),
        ("1\t2\t3\n", CSV, "separated by tabs"),
        ("1|2|3\n", CSV, "separated by pipes"),
        ('{"rooms": {"0": 1}, "age": {"0": 2}}', JSON, "to_json\\(orient='records'\\)"),
        (
            '{"columns": ["age"], "data": [[1, 2]]}',
            JSON,
            "row 1 has 2 values where the list of columns has 1",
        ),
    ],
)
def test_a_likely_cause_is_named(text: str, kind: str, words: str) -> None:
    with pytest.raises(RequestError, match=words):
        read(NUMERIC, text, kind)


def test_nan_in_a_text_stays_and_damaged_texts_are_read_once() -> None:
    """Protects texts that look like numbers, and the time of a body of quotes."""
    batch = read(MIXED, r'[{"town": "NaN \"Infinity", "size": NaN}]', JSON)
    assert (batch.missing, batch.unknown) == (5, 1)
    with pytest.raises(RequestError, match="not JSON"):
        read(MIXED, '["NaN' + '\\"' * 200_000, JSON)


MOMENT = Feature("day", "date", format="iso8601").encode("2018-01-31T10:20:30.123456")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("1517394030", 1517394030.0),
        ("1517394030123", 1517394030.123),
        ("1517394030123456", MOMENT),
        ("1517394030123456789", MOMENT),
        ("1517394030.5", 1517394030.5),
        ("-1517394030123", -1517394030.123),
        ('"1517394030123"', 1517394030.123),
        ('" 2018-01-31 10:20:30.123456"', MOMENT),
        ("2018", None),
        ("20180131", None),
        ('"20180131"', None),
        ("0", None),
        ("4.2e18", None),
        ('"' + "9" * 400 + '"', None),
        ('"1517394030.5"', None),
    ],
)
def test_a_date_may_be_a_number_of_seconds_to_nanoseconds(value: str, expected: float | None) -> None:
    """As pandas and JavaScript write it; what may be a year or a date of digits stays unknown."""
    batch = read(Schema(TARGET, (Feature("day", "date", format="iso8601"),)), f'[{{"day": {value}}}]', JSON)
    assert bits(batch.rows) == bits(np.array([[math.nan if expected is None else expected]]))
    assert batch.unknown == (expected is None)


def test_a_date_of_digits_is_read_by_its_format_and_a_stray_is_one_in_requests() -> None:
    digits = Schema(TARGET, (Feature("day", "date", format="yyyymmdd"),))
    assert (
        read(digits, '[[20180131], ["20180131"], [1517356800000]]', JSON).rows.tolist() == [[1517356800]] * 3
    )
    strays = Schema(TARGET, (Feature("day", "date", format="iso8601", strays=True),))
    assert bits(read(strays, "1517356800000\n").rows) == bits(np.array([[math.nan]]))


def test_a_date_of_any_format_may_be_an_iso_date() -> None:
    """As typed columns and JSON have it: the same day is the same input, and none is unknown."""
    day = Schema(TARGET, (Feature("day", "date", format="mm/dd/yyyy"),))
    batch = read(day, '[["3/4/2022"], ["2022-03-04"], ["2022-03-04T00:00:00Z"]]', JSON)
    assert batch.rows.tolist() == [[1646352000]] * 3
    assert batch.unknown == 0


@pytest.mark.parametrize("categories", [("no", "yes"), ("f", "t"), ("FALSE", "TRUE"), ("N", "Y"), ("0", "1")])
def test_a_boolean_column_takes_every_spelling_of_a_truth_value(categories: tuple[str, str]) -> None:
    schema = Schema(TARGET, (Feature("vip", "categorical", categories),))
    for true, false in ((1, 0), (True, False), (1.0, 0.0), ("yes", "NO"), ("T", "f"), ("1", "0.0")):
        batch = read(schema, json.dumps([[true], [false]]), JSON)
        assert (batch.rows.tolist(), batch.unknown) == ([[1.0], [0.0]], 0)


PRICES = Schema(
    TARGET,
    (
        Feature("dollars", "numeric", number_format=NumberFormat(".", ",", "$")),
        Feature("euros", "numeric", number_format=NumberFormat(",", ".", "€")),
        Feature("age", "numeric", strays=True),
    ),
)


def test_numbers_are_read_in_the_format_of_the_training() -> None:
    """A number of JSON is that number, also where a text with its digits is another."""
    rows = (
        '[["$1,200.50", "1.234 €", "12O"], ["(12.5)", "1,5", " 7 "],'
        ' [1200.5, 1.234, null], ["1200.5", -1e-7, true]]'
    )
    batch = read(PRICES, rows, JSON)
    nan = math.nan
    expected = [[1200.5, 1234, nan], [-12.5, 1.5, 7], [1200.5, 1.234, nan], [1200.5, -1e-7, nan]]
    assert bits(batch.rows) == bits(np.array(expected))
    assert (batch.missing, batch.unknown) == (1, 2)
    for text, name in (('"$1,2x",1,1', "dollars"), ("1,1.5,1", "euros"), ("1,1,inf", "age")):
        with pytest.raises(RequestError) as caught:
            read(PRICES, text)
        assert caught.value.column == name


@pytest.mark.parametrize("column", PRICES.features)
@pytest.mark.parametrize("words", [(), ("-999", "not asked")])
def test_quick_readers_are_taken_where_they_read_the_same(column: Feature, words: tuple[str, ...]) -> None:
    """Protects the C library's parser and orjson's from formats and words that they do not know."""
    feature = replace(column, reading=Reading(words=words))
    schema = Schema(replace(TARGET, reading=feature.reading), (feature, feature))
    decoder = RequestDecoder(schema, number_parser.create(2))
    style = feature.number_format or NumberFormat()
    for text in ("-999", "1.5", "1.234", "1e3", "-0", "12", "not asked"):
        try:
            expected = [feature.encode(text)] * 2
        except ValueError:
            with pytest.raises(RequestError):
                decoder.decode(f"{text},{text}".encode(), CSV)
            continue
        for body, kind in ((f"{text},{text}", CSV), (json.dumps([[text, text]]), JSON)):
            assert bits(decoder.decode(body.encode(), kind).rows) == bits(np.array([expected])), (text, kind)
        if text not in {"-0", "not asked"}:
            expected = [feature.encode(style.spell(text))] * 2
            for body in (f"[[{text}, {text}]]", f"[[{text}, {text}], [{text}, {text}]]"):
                assert bits(decoder.decode(body.encode(), JSON).rows[:1]) == bits(np.array([expected])), text


def test_missing_unknown_and_extra_are_counted() -> None:
    """Protects the counts that the answer's headers and the log show."""
    batch = read(MIXED, "size,sex,town,id\n,X,elsewhere,1\n2,M,NA,2")
    assert (batch.missing, batch.unknown, batch.extra) == (2 + 3 * 2, 2, 1)
    assert batch.rows[0, 2] == 3.0  # rare and new towns share a code
    batch = read(
        MIXED, '[{"size": null, "sex": 1, "vip": true, "id": [1]}, {"sex": "I", "vip": "TRUE", "x": 1}]', JSON
    )
    assert (batch.missing, batch.unknown, batch.extra) == (2 + 3 * 2, 1, 2)
    assert batch.rows[:, 4].tolist() == [1.0, 1.0]


@pytest.mark.parametrize(
    "text",
    [
        '{"instances": [[1, 2.5, 3]]}',
        '{"instances": [1, 2.5, 3]}',
        "[[1, 2.5, 3]]",
        "[1, 2.5, 3]",
        '{"instances": [{"age": 2.5, "income": 3, "rooms": 1}]}',
        '{"age": 2.5, "income": "3", "rooms": 1}',
        '{"instances": [{"features": [1, 2.5, 3]}]}',
        "\ufeff[1, 2.5, 3]",
    ],
)
def test_forms_of_json(text: str) -> None:
    assert read(NUMERIC, text, JSON).rows.tolist() == [[1, 2.5, 3]]


def test_whole_numbers_find_their_category_in_json() -> None:
    rows = '[{"town": 2}, {"town": 2.0}, {"town": "2"}, {"town": 2.5}]'
    assert read(MIXED, rows, JSON).rows[:, 2].tolist() == [1, 1, 1, 3]


@pytest.mark.parametrize(
    "text", ["[1, 2.5, 3]", "[1, 2.5, 3]\n\n", '\ufeff{"age": 2.5, "income": 3, "rooms": 1}\r\n']
)
def test_forms_of_json_lines(text: str) -> None:
    assert read(NUMERIC, text, JSON_LINES).rows.tolist() == [[1, 2.5, 3]]


@pytest.mark.parametrize(
    ("text", "code", "row"),
    [
        ("[1, 2, 3]\n[1, 2", "invalid-json", 2),
        ("[1, 2, 3], [1, 2, 3]", "invalid-json", 1),
        ("[1, 2, 3]\n\n[1, 2, 3]", "invalid-json", 2),
        ("1\n2\n3", "not-a-row", 1),
        ("[1, 2, 3]\n4", "mixed-rows", 2),
        ("[1, 2, 3]\n[1, 2]", "wrong-width", 2),
    ],
)
def test_a_line_of_json_is_a_row(text: str, code: str, row: int) -> None:
    with pytest.raises(RequestError) as caught:
        read(NUMERIC, text, JSON_LINES)
    assert (caught.value.status, caught.value.code, caught.value.row) == (400, code, row)


def npy(array: Any, version: tuple[int, int] = (1, 0)) -> bytes:
    file = io.BytesIO()
    np.lib.format.write_array(file, np.asanyarray(array), version=version)
    return file.getvalue()


KINDS = st.sampled_from(["<f8", ">f8", "<f4", ">f2", "<i8", ">i4", "i1", "<u8", "u1"])
ARRAYS = KINDS.flatmap(
    lambda kind: arrays.arrays(kind, st.tuples(st.integers(1, 5), st.just(3)) | st.just((3,)))
)


@given(ARRAYS, st.booleans(), st.sampled_from([(1, 0), (2, 0)]))
@example(np.array([[0.0, math.inf, 0.0], [math.inf, 0.0, 0.0]]), False, (1, 0))  # noqa: FBT003 - by position, as given
@settings(deadline=None)
def test_arrays_are_what_the_text_of_their_numbers_is(
    array: Any,
    by_column: bool,  # noqa: FBT001 - a parameter of the cases
    version: tuple[int, int],
) -> None:
    """Also other byte orders, sizes and layouts; NaN is a missing value, and infinity is an error."""
    body = npy(np.asfortranarray(array) if by_column else array, version)
    rows = np.atleast_2d(array)
    outcome, text = (
        attempt(NUMERIC, body, NPY),
        to_csv([[*map(repr, row)] for row in rows.tolist()], csv.QUOTE_MINIMAL, "\n"),
    )
    expected = attempt(NUMERIC, text, CSV)
    if isinstance(expected, RequestError):
        assert isinstance(outcome, RequestError)
        assert (outcome.code, outcome.column) == ("not-finite", expected.column)
        return
    assert isinstance(outcome, Batch)
    assert bits(outcome.rows) == bits(expected.rows)
    assert outcome.missing == expected.missing


def test_numbers_of_an_array_find_their_category() -> None:
    array = np.array([[1.5, 0, 2, 0, 0, 2024], [math.nan, math.nan, 7, 0, 0, 0]])
    batch = RequestDecoder(MIXED).decode(npy(array), NPY)
    assert batch.rows[:, 2].tolist() == [1.0, 3.0]
    assert batch.missing == 2
    assert RequestDecoder(MIXED).decode(npy(array[:1].astype(int)), NPY).rows[:, 2].tolist() == [1.0]


class Boom:
    """Show whether anything was unpickled."""

    def __reduce__(self) -> Any:
        return pytest.fail, ("a request was unpickled",)


def claimed(shape: str, kind: str = "<f8", numbers: bytes = b"") -> bytes:
    """Write a file with any header."""
    header = f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}".encode()
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + numbers


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (npy(np.array([[Boom()] * 3], dtype=object)), "not-numbers"),
        (npy([[1j, 2, 3]]), "not-numbers"),
        (npy([[True, False, True]]), "not-numbers"),
        (npy([["1", "2", "3"]]), "not-numbers"),
        (npy(np.zeros(3, dtype="f8,f8")), "not-numbers"),
        (npy(np.zeros((1, 3), dtype="M8[s]")), "not-numbers"),
        (npy(np.zeros((1, 3), dtype=np.longdouble)), "not-numbers"),
        (npy(7.0), "wrong-shape"),
        (npy(np.zeros((1, 1, 3))), "wrong-shape"),
        (npy(np.zeros((0, 3))), "no-rows"),
        (npy(np.zeros((3, 0))), "no-rows"),
        (npy(np.zeros((2, 4))), "wrong-width"),
        (npy([1.0, 2.0]), "wrong-width"),
        (npy(np.zeros((2, 3)))[:-1], "invalid-npy"),
        (npy(np.zeros((2, 3))) + b"1", "invalid-npy"),
        (npy(np.zeros((2, 3)), (3, 0)), "invalid-npy"),
        (npy(np.zeros((2, 3)))[:40], "invalid-npy"),
        (claimed("(1000000000000000, 3)"), "invalid-npy"),
        (claimed(f"({'9' * 400}, {'9' * 400})"), "invalid-npy"),
        (claimed("(-1, -3)", numbers=bytes(24)), "wrong-shape"),
        (claimed("(1, 3)", "V99999999"), "not-numbers"),
        (claimed("(" * 500), "invalid-npy"),
        (claimed("(1, 3)" + " " * 2000, numbers=bytes(24)), "invalid-npy"),
        (b"1,2,3", "invalid-npy"),
    ],
)
def test_an_array_is_numbers_and_as_many_as_came(body: bytes, code: str) -> None:
    """Protects the process: nothing is unpickled, and no memory is allocated by a header alone."""
    with pytest.raises(RequestError) as caught:
        RequestDecoder(NUMERIC).decode(body, NPY)
    assert (caught.value.status, caught.value.code) == (400, code)


@given(st.integers(0, 127), st.integers(0, 255), st.integers(0, 128))
@settings(max_examples=500, deadline=None)
@pytest.mark.filterwarnings("ignore")
def test_a_damaged_array_is_read_or_refused(at: int, byte: int, end: int) -> None:
    whole = bytearray(npy(np.arange(6.0).reshape(2, 3)))
    whole[at] = byte
    read_or_refuse(NUMERIC, bytes(whole), NPY)
    read_or_refuse(NUMERIC, bytes(whole[:end]), NPY)


def test_a_column_of_one_feature_may_be_blank_in_between() -> None:
    assert bits(read(SINGLE, "1\n\n3\n").rows) == bits(np.array([1, math.nan, 3]))
    assert read(SINGLE, "\ufeffx\n4").rows.tolist() == [[4]]
