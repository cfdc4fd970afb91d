"""A cell means the same wherever it is read."""

import math

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from container.data import tables, values

texts = st.one_of(
    st.floats(allow_nan=True).map(repr),
    st.integers().map(str),
    st.text(alphabet="0123456789+-.eE_infaxNU?/ ", max_size=8),
    st.text(max_size=6).filter(lambda text: "\0" not in text),
    st.sampled_from(
        ["inf", "-Infinity", "nan", "NaN", "NULL", "null", "NA", "N/A", "na", "?", "", "1e999", "+5"]
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
    ],
)
def test_dates_become_seconds(text: str, style: str, expected: float) -> None:
    """Protects the one meaning of each date format; a time without a zone is UTC."""
    assert values.parse_timestamp(text, style) == expected


@pytest.mark.parametrize("text", ["2021-02-30", "20210101", "2021-1-1", "2021-01-01T", "tomorrow", "12", ""])
def test_what_is_no_date_is_none(text: str) -> None:
    """Protects columns of codes and text from being taken as dates."""
    assert values.parse_timestamp(text, "iso8601") is None


def test_other_alphabets_digits_are_text() -> None:
    """Protects against numbers that Python alone can read."""
    assert values.number("١٢") is None
    assert values.number("1_000") is None
    assert math.isinf(values.number("1e999") or 0)
