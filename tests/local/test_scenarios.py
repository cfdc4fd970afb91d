"""Tables that drift: in the way that was asked for, and in no other."""

from __future__ import annotations

import importlib
import statistics
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

scenarios: Any = importlib.import_module("local.scenarios")
infer: Any = importlib.import_module("local.prediction")
drifts: Any = importlib.import_module("local.drift")
projects: Any = importlib.import_module("local.project")

ROWS = tuple((f"{n / 7:.3f}", str(n % 5), "abc"[n % 3]) for n in range(700))
TABLE = infer.Table(("size", "rooms", "kind"), ROWS, tuple(str(n) for n in range(700)))
TYPES = {"size": "Fractional", "rooms": "Integral", "kind": "String"}
CHANGED = sorted(set(scenarios.OF_TABLES) - {"absent", "additional"})


def drifted(name: str, feature: str | None = None, strength: float | None = None) -> tuple[Any, str]:
    """Give the table as the scenario has it by default, and the feature that it chose."""
    chosen = scenarios.usable_features(name, feature, TYPES)[0]
    return scenarios.applied(name, TABLE, chosen, strength, Random(1)), chosen


def column(table: Any, name: str) -> list[str]:
    """Return the cells of a column."""
    return [row[table.columns.index(name)] for row in table.rows]


@pytest.mark.parametrize("name", CHANGED)
def test_one_column_changes_and_nothing_else(name: str) -> None:
    """The other columns, the labels and the number of rows stay."""
    table, feature = drifted(name)
    assert (table.columns, table.labels) == (TABLE.columns, TABLE.labels)
    for other in TABLE.columns:
        assert (column(table, other) == column(TABLE, other)) == (other != feature)


def test_a_shift_is_by_standard_deviations() -> None:
    """As many as asked for; whole numbers stay whole."""
    table, _ = drifted("shift", "size", 1.5)
    before, after = ([float(cell) for cell in column(each, "size")] for each in (TABLE, table))
    moved = statistics.fmean(after) - statistics.fmean(before)
    assert moved == pytest.approx(1.5 * statistics.pstdev(before))
    assert all(cell.isdigit() for cell in column(drifted("shift", "rooms")[0], "rooms"))


@pytest.mark.parametrize(("name", "feature", "sign"), [("missing", "size", ""), ("category", "kind", None)])
def test_a_share_is_about_as_large_as_asked_for(name: str, feature: str, sign: str | None) -> None:
    """Of 700 rows, within four standard errors."""
    table, _ = drifted(name, feature, 0.3)
    wanted = scenarios.NEW_CATEGORY if sign is None else sign
    assert abs(column(table, feature).count(wanted) / 700 - 0.3) < 4 * (0.3 * 0.7 / 700) ** 0.5


def test_columns_go_and_come() -> None:
    """By name, and the others stay in their places."""
    gone, _ = drifted("absent", "rooms")
    assert gone.columns == ("size", "kind")
    assert column(gone, "kind") == column(TABLE, "kind")
    more, _ = drifted("additional")
    assert more.columns == (*TABLE.columns, scenarios.NEW_COLUMN)
    assert all(len(row) == 4 for row in more.rows)


@pytest.mark.parametrize(
    ("name", "feature", "words"),
    [
        ("shift", "age", ["no feature age", "size, rooms, kind"]),
        ("category", "size", ["String", "size", "kind would do"]),
        ("fraction", "kind", ["Integral", "rooms would do"]),
    ],
)
def test_a_feature_that_cannot_differ_so_is_refused(name: str, feature: str, words: list[str]) -> None:
    """With those that can."""
    with pytest.raises(projects.LocalError) as refused:
        scenarios.usable_features(name, feature, TYPES)
    assert all(word in str(refused.value) for word in words)


@pytest.mark.parametrize(
    ("name", "strength", "words"),
    [
        ("shift", float("nan"), "nan is not a strength of shift: it is the number of standard deviations"),
        ("scale", float("inf"), "a finite number"),
        ("missing", 7.0, "7 is not a strength of missing: it is the share of the values .*, from 0 to 1"),
        ("category", -0.1, "from 0 to 1"),
        ("absent", 1.0, "it takes none"),
    ],
)
def test_a_strength_that_there_is_not_is_refused(name: str, strength: float, words: str) -> None:
    """Before any request is sent."""
    with pytest.raises(projects.LocalError, match=words):
        drifts.parse_scenario(name, None, None, strength, 10)


@pytest.mark.parametrize("name", CHANGED)
def test_every_default_is_a_strength(name: str) -> None:
    scenario = scenarios.SCENARIOS[name]
    assert scenario.takes(scenario.strength)
    assert drifts.parse_scenario(name, None, None, 0.5, 10).strength == 0.5


@given(
    st.sampled_from(CHANGED),
    st.lists(st.text(max_size=5) | st.floats().map(str), min_size=1),
    st.floats(0, 3),
)
def test_whatever_stands_in_a_cell_is_taken(name: str, cells: list[str], strength: float) -> None:
    """Missing and unreadable values are left as they are by what changes numbers."""
    change = scenarios.SCENARIOS[name].change
    changed = change(tuple(cells), strength, Random(1))
    assert len(changed) == len(cells)
    assert all(isinstance(cell, str) for cell in changed)
