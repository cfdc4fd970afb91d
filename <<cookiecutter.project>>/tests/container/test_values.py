"""A cell means the same wherever it is read."""

import itertools
import math
import re
from datetime import UTC, datetime

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from container.data import encode, kinds, tables, values
from container.data.infer import Column
from container.data.reading import ReadingSettings
from container.data.schema import Feature
from container.data.value_counts import TEXT, Texts
from container.data.values import NumberFormat

texts = st.one_of(
    st.floats(allow_nan=True).map(repr),
    st.integers().map(str),
    st.text(alphabet="0123456789+-.eE_infaxNU?/ ", max_size=8),
    st.text(max_size=6).filter(lambda text: "\0" not in text),
    st.sampled_from(
        [*values.MISSING, "inf", "-Infinity", "NuLL", "na", "1e999", "+5", "None", "none", "<Na>"]
    ),
).map(lambda text: text.strip(values.BLANKS))


@given(st.lists(texts, min_size=1, max_size=30))
def test_columns_and_cells_read_numbers_and_gaps_alike(cells: list[str]) -> None:
    """Protects serving's answers: a request's cell is the number that training saw."""
    frame = pl.DataFrame({"cell": cells}, schema={"cell": pl.String})
    read = frame.select(
        tables.number(pl.col("cell")).alias("value"), tables.missing(pl.col("cell")).alias("gap")
    )
    assert read["gap"].to_list() == [values.is_missing(cell) for cell in cells]
    assert read["value"].to_list() == [values.number(cell) for cell in cells]


formats = st.builds(
    NumberFormat,
    st.sampled_from(".,"),
    st.sampled_from(["", ",", ".", " ", "'"]),
    st.sampled_from(["", "$", "%", "kr"]),
).filter(lambda style: style.group != style.decimal)
money = st.one_of(
    st.from_regex(
        "\u00a0?[(]?[+\u2212-]?[$]? ?[0-9]{0,3}([., '\u2019\u00a0][0-9]{3}){0,2}"
        "([.,][0-9]*)?( ?[%$]|kr)?[)]?\u00a0?",
        fullmatch=True,
    ),
    texts,
)


@given(st.lists(money, min_size=1, max_size=20), formats)
def test_columns_and_cells_read_a_number_format_alike(cells: list[str], style: NumberFormat) -> None:
    """Protects money, percentages and decimal commas: prepare reads columns, and serving cells."""
    cells = [cell.strip(values.BLANKS) for cell in cells]
    frame = pl.DataFrame({"cell": cells}, schema={"cell": pl.String})
    read = frame.select(tables.number(pl.col("cell"), style)).to_series().to_list()
    assert read == [values.number(cell, style) for cell in cells]


@pytest.mark.parametrize(
    ("text", "style", "expected"),
    [
        ("$1,200", NumberFormat(group=",", sign="$"), 1200.0),
        ("12\n%", NumberFormat(sign="%"), None),
        ("-$1,200.50", NumberFormat(group=",", sign="$"), -1200.5),
        ("$-5", NumberFormat(sign="$"), -5.0),
        ("1200", NumberFormat(group=",", sign="$"), 1200.0),
        ("1e3", NumberFormat(group=",", sign="$"), 1000.0),
        ("12 %", NumberFormat(sign="%"), 12.0),
        ("1 234", NumberFormat(group=" "), 1234.0),
        ("1\u202f234,5", NumberFormat(",", " "), 1234.5),
        ("1\u2019234.5", NumberFormat(group="'"), 1234.5),
        ("(12.5)", NumberFormat(), -12.5),
        ("\u22125", NumberFormat(), -5.0),
        ("1.234,5 \u20ac", NumberFormat(",", ".", "\u20ac"), 1234.5),
        ("1.234", NumberFormat(",", "."), 1234.0),
        ("1.234", NumberFormat(","), None),
        ("12,34,567", NumberFormat(group=","), 1234567.0),
        ("1,23", NumberFormat(group=","), None),
        ("0,123", NumberFormat(group=","), None),
        ("(-5)", NumberFormat(), None),
        ("\u20ac5", NumberFormat(sign="$"), None),
        ("$", NumberFormat(sign="$"), None),
    ],
)
def test_a_number_is_read_in_its_format(text: str, style: NumberFormat, expected: float | None) -> None:
    """Protects the value of each form of a number."""
    assert values.number(text, style) == expected


@given(st.floats(allow_nan=False, allow_infinity=False), formats)
def test_a_written_number_is_read_in_its_format(value: float, style: NumberFormat) -> None:
    """Protects requests that are made of prepared rows, as the golden requests are."""
    assert values.number(style.spell(repr(value)), style) == value


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_number_is_read_back_exactly(value: float) -> None:
    """Protects the last bit of every float64."""
    assert values.number(repr(value)) == value


@pytest.mark.parametrize(
    ("text", "style", "expected"),
    [
        ("1970-01-02", "iso8601", 86400.0),
        ("1970-01-01T00:00:01.5Z", "iso8601", 1.5),
        ("1970-01-01 01:00+01:00", "iso8601", 0.0),
        ("1970/1/2", "yyyy/mm/dd", 86400.0),
        ("1/2/1970", "mm/dd/yyyy", 86400.0),
        ("2/1/1970", "dd/mm/yyyy", 86400.0),
        ("2.1.1970 00:00:01", "dd.mm.yyyy", 86401.0),
        ("12/1/2010 8:26", "mm/dd/yyyy", 1291191960.0),
        ("12/01/2010 08:26:00 AM", "mm/dd/yyyy", 1291191960.0),
        ("12/01/2010 12:26 am", "mm/dd/yyyy", 1291163160.0),
        ("12/01/2010 12:26 PM", "mm/dd/yyyy", 1291206360.0),
        ("13:00 PM", "iso8601", None),
        ("07-Jan-18", "dd-mmm-yy", 1515283200.0),
        ("7 January 2018", "dd-mmm-yyyy", 1515283200.0),
        ("Jan 7, 2018", "mmm dd, yyyy", 1515283200.0),
        ("07-Foo-18", "dd-mmm-yy", None),
        ("1/31/24", "mm/dd/yy", 1706659200.0),
        ("1/31/69", "mm/dd/yy", -28944000.0),
        ("1970-01-01T00:00:01.123456789", "iso8601", 1.123456),
        ("1970-01-01 00:00:01 UTC", "iso8601", 1.0),
        ("1970-01-01 00:00:01 -01:00", "iso8601", 3601.0),
        ("1970-1-2", "yyyy-m-d", 86400.0),
        ("19700102", "yyyymmdd", 86400.0),
        ("0000-00-00", "iso8601", None),
        ("1970-01-02T00:00:01", "mm/dd/yyyy", 86401.0),
        ("1970-01-02", "yyyymmdd", 86400.0),
        ("1970-1-2", "dd/mm/yyyy", None),
        ("1970-02-30", "dd/mm/yyyy", None),
    ],
)
def test_dates_become_seconds(text: str, style: str, expected: float | None) -> None:
    """Protects the one meaning of each date format; a time without a zone is UTC."""
    assert values.parse_timestamp(text, style) == expected


SPELLED = {"yyyy": "%Y", "yy": "%y", "mmm": "%b", "mm": "%m", "m": "%m", "dd": "%d", "d": "%d"}


@given(st.lists(st.datetimes(datetime(1969, 1, 1), datetime(2068, 12, 31)), min_size=2), st.data())  # noqa: DTZ001 - in UTC
def test_columns_and_cells_read_dates_of_their_format_and_iso_dates_alike(
    days: list[datetime], data: st.DataObject
) -> None:
    """Protects typed dates beside texts: every format reads them, and its own texts stay what they are."""
    style = data.draw(st.sampled_from([*values.DATE_PATTERNS]))
    own = re.sub("y+|m+|d+", lambda part: SPELLED[part[0]], style) if style != values.ISO else "%Y-%m-%d"
    forms = [own, *data.draw(st.lists(st.sampled_from([own, "%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"])))]
    cells = [day.strftime(form) for day, form in zip(days, itertools.cycle(forms), strict=False)]
    wanted = [
        day.replace(microsecond=0, tzinfo=UTC).timestamp() - ("T" not in cell) * seconds(day)
        for day, cell in zip(days, cells, strict=True)
    ]
    feature, texts = Feature("day", "date", format=style), pl.Series("0", cells)
    assert [feature.encode(cell) for cell in cells] == wanted
    assert encode.encode_column(texts, feature, "a.csv").tolist() == wanted
    keys = texts.to_frame().select(Column(feature).canonical(pl.col("0"))).to_series()
    assert [*map(float, keys)] == wanted
    found = kinds.decide(Texts(texts.to_frame(TEXT).lazy(), len(cells), 2), ReadingSettings(), "date")
    assert found.fits == len(cells)


def seconds(day: datetime) -> int:
    return day.hour * 3600 + day.minute * 60 + day.second


@pytest.mark.parametrize("text", ["2021-02-30", "20210101", "2021-1-1", "2021-01-01T", "tomorrow", "12", ""])
def test_what_is_no_date_is_none(text: str) -> None:
    """Protects columns of codes and text from being taken as dates."""
    assert values.parse_timestamp(text, "iso8601") is None


@pytest.mark.parametrize(
    ("label", "same", "other"),
    [
        ("1", ["1.0", "01", "1e0", "+1"], ["10", "true", "one"]),
        ("01", ["1", "1.0"], ["10"]),
        (str(2**62 + 1), [f"0{2**62 + 1}"], [str(2**62 + 2)]),
        ("cat", ["cat"], ["Cat", "dog"]),
        (str(2**53), [f"{2**53}.0"], [f"{2**53 + 1}.0", f"{2**53}.5"]),
        ("1e22", ["10000000000000000000000"], ["10000000000000000000001"]),
    ],
)
def test_a_label_is_found_by_what_equals_it(label: str, same: list[str], other: list[str]) -> None:
    """Protects ground truth and requests that spell a class as another program does."""
    labels = values.Labels(["zero", label])
    assert [labels.find(text) for text in same] == [1] * len(same)
    assert [labels.find(text) for text in other] == [None] * len(other)


@pytest.mark.parametrize("pair", [*values.BOOLEAN_PAIRS, ("False", "True"), ("N", "Y")])
def test_a_boolean_is_found_by_each_spelling_of_its_truth(pair: tuple[str, str]) -> None:
    """Protects a column of booleans: true, TRUE, yes, y, 1 and 1.0 are one value."""
    labels = values.Labels(pair)
    assert {labels.find(text) for text in ("true", "TRUE", "Yes", "y", "T", "1", "1.0")} == {1}
    assert {labels.find(text) for text in ("false", "No", "n", "f", "0", "0.0")} == {0}
    assert labels.find("2") is None
    assert values.Labels(["0", "1", "2"]).find("true") is None


def test_a_boolean_of_another_pair_is_no_label_beside_a_third() -> None:
    """Protects a third class from being Y: only the spellings of the labels' own pair are found."""
    labels = values.Labels(["N", "T", "Y"])
    assert [labels.find(text) for text in ("n", "y", "T")] == [0, 2, 1]
    assert [labels.find(text) for text in ("t", "true", "yes", "1", "f")] == [None] * 5
    assert [values.Labels("YNTF").find(text) for text in ("y", "T")] == [None, 2]
    assert [values.Labels(["Yes"]).find(text) for text in ("yes", "true", "no")] == [0, None, None]


def test_other_alphabets_digits_are_text() -> None:
    """Protects against numbers that Python alone can read."""
    assert values.number("١٢") is None
    assert values.number("1_000") is None
    assert math.isinf(values.number("1e999") or 0)
