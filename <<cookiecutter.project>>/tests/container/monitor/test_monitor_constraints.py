"""Constraints state what was true for the baseline, as far as its values support it."""

import polars as pl
import pytest

from container.monitor.constraints import Constraint, suggest
from container.monitor.files import constraints_document
from container.monitor.profile import ColumnProfile


def suggested(*cells: str) -> Constraint:
    column = ColumnProfile("x")
    column.update(pl.Series("x", cells))
    return suggest(column)


@pytest.mark.parametrize(("cells", "holds"), [(("0", "3"), True), (("-0.5", "3"), False), (("a", "3"), None)])
def test_numbers_stay_non_negative_where_they_were(cells: tuple[str, ...], holds: bool | None) -> None:  # noqa: FBT001 - a parameter of the cases
    """A column of texts has no sign."""
    assert suggested(*cells).is_non_negative is holds


def test_domain_lists_the_commonest_first() -> None:
    """The order is the same each time."""
    assert suggested("b", "a", "b", "c", "c", "a", "b").domain == ("b", "a", "c")


def test_texts_that_mostly_stand_once_are_no_domain() -> None:
    """Otherwise the next batch of names or dates would violate it."""
    twice = [f"t{n}" for n in range(9)] * 2
    assert suggested(*twice, "once").domain is not None
    assert suggested(*twice, "once", "again").domain is None
    assert suggested(*(f"t{n % 121}" for n in range(1000))).domain is None
    assert suggested("1", "1").domain is None


def test_column_without_a_value_is_unknown_and_has_no_rule() -> None:
    """There were no values, so that later values may be anything."""
    assert suggested("", "NA") == Constraint("x", "Unknown", completeness=0.0)


def test_categorical_settings_stand_where_a_column_is_categorical() -> None:
    """Settings without an effect would only differ from the analyzer's."""
    numeric, text = constraints_document([suggested("1")]), constraints_document([suggested("a", "a")])
    keys = ["perform_comparison", "comparison_threshold", "comparison_method"]
    assert list(numeric["monitoring_config"]["distribution_constraints"]) == keys
    assert list(text["monitoring_config"]["distribution_constraints"]) == [
        *keys,
        "categorical_comparison_threshold",
        "categorical_drift_method",
    ]


def test_the_threshold_stands_in_the_baseline() -> None:
    """Both thresholds, for numbers and for texts, are the given one."""
    rules = constraints_document([suggested("a", "a")], 0.25)["monitoring_config"]["distribution_constraints"]
    assert (rules["comparison_threshold"], rules["categorical_comparison_threshold"]) == (0.25, 0.25)
