"""A profile describes a column's values, and the profiles of parts merge into that of the whole."""

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from container.monitor.files import statistics_document
from container.monitor.profile import MAX_TEXTS, ColumnProfile, TableProfile, buckets


def profiled(cells: list[str | None]) -> ColumnProfile:
    column = ColumnProfile("x")
    column.update(pl.Series("x", cells, dtype=pl.String))
    return column


@pytest.mark.parametrize(
    ("cells", "inferred"),
    [
        (["1", "-2", "+3", "007"], "Integral"),
        (["12345678901234567890"], "Integral"),
        (["3.0", "1.0"], "Fractional"),
        (["1", "2.5"], "Fractional"),
        (["1e5", ".5", "5."], "Fractional"),
        (["1", "2", "two"], "String"),
        (["inf", "1"], "String"),
        (["1e400"], "String"),
        (["+nan"], "String"),
        (["true", "false"], "String"),
        (["1_000"], "String"),
        (["", "NA"], "Unknown"),
        ([], "Unknown"),
    ],
)
def test_types_are_inferred_from_the_text(cells: list[str | None], inferred: str) -> None:
    """3.0 is Fractional for the analyzer although it is whole; one word makes a column String."""
    assert profiled(cells).inferred_type == inferred


def test_missing_values_are_those_of_the_contract() -> None:
    """Blanks around a token do not hide it; letters' case counts for NA only."""
    column = profiled(["", " ", "NA", "N/A", "?", "nan", "NaN", "NULL", "null", "\tNA ", None, "na", "1"])
    assert column.missing == 11
    assert column.present == 2
    assert column.texts == {"na": 1, "1": 1}


def test_blanks_around_a_number_are_no_part_of_it() -> None:
    """A file with blanks after its commas is a table of numbers."""
    column = profiled([" 1", "2 ", "\t3"])
    assert column.inferred_type == "Integral"
    assert column.moments.sum == 6.0
    assert column.texts == {"1": 1, "2": 1, "3": 1}


def test_texts_are_counted_one_by_one_up_to_a_limit() -> None:
    """A column of names would fill the file."""
    assert len(profiled([f"t{n}" for n in range(MAX_TEXTS)]).texts) == MAX_TEXTS
    assert profiled([f"t{n}" for n in range(MAX_TEXTS + 1)]).texts == {}


def test_buckets_are_closed_on_the_left_and_the_last_on_both_sides() -> None:
    """As the analyzer counts: 0.1 belongs to the second of ten buckets over [0, 1]."""
    column = profiled([str(n / 10) for n in range(11)])
    found = buckets(column, column.quantiles.levels())
    assert [bucket.count for bucket in found] == [1] * 9 + [2]
    assert [bucket.lower for bucket in found] == [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]


def test_buckets_of_one_value_and_of_the_widest_range_hold_every_number() -> None:
    """Neither a width of nothing nor one beyond the greatest float loses a count."""
    for cells in (["7", "7", "7"], ["-1.7e308", "0.0", "1.7e308"]):
        column = profiled(list(cells))
        assert sum(bucket.count for bucket in buckets(column, column.quantiles.levels())) == 3


finite_number = st.floats(allow_nan=False, allow_infinity=False).map(repr)
whole = st.integers(-(10**20), 10**20).map(str)
words = st.sampled_from(["a", "b", "", "NA", " 1", "nan", "?", "inf", "é"])
tables = st.lists(st.tuples(finite_number, whole, words, finite_number | words), min_size=1, max_size=30)


def table(rows: list[tuple[str, ...]]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=dict.fromkeys("abcd", pl.String), orient="row")


@settings(max_examples=50)
@given(tables, st.integers(0, 30))
def test_profiles_of_parts_merge_into_that_of_the_whole(rows: list[tuple[str, ...]], cut: int) -> None:
    """All digits are the same, and up to the sketch's size all kept numbers."""
    together, first, second = TableProfile(), TableProfile(), TableProfile()
    together.update(table(rows))
    first.update(table(rows[:cut]))
    second.update(table(rows[cut:]))
    first.merge(second)
    assert sketches_sorted(statistics_document(first)) == sketches_sorted(statistics_document(together))


def sketches_sorted(document: dict[str, object]) -> dict[str, object]:
    for feature in document["features"]:  # type: ignore[attr-defined]
        if "numerical_statistics" in feature:
            sketch = feature["numerical_statistics"]["distribution"]["kll"]["sketch"]
            sketch["data"] = sorted(sketch["data"][0])
    return document
