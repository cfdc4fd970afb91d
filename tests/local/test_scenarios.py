"""Drift scenarios for tables: each changes what it describes, and nothing else."""

from __future__ import annotations

import importlib
import statistics
from dataclasses import replace
from random import Random
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

if TYPE_CHECKING:
    from pathlib import Path

scenarios: Any = importlib.import_module("local.scenarios")
infer: Any = importlib.import_module("local.prediction")
drifts: Any = importlib.import_module("local.drift")
prepare: Any = importlib.import_module("container.prepare")
schemas: Any = importlib.import_module("container.data.schema")
split: Any = importlib.import_module("container.data.split")
projects: Any = importlib.import_module("local.project")

ROWS = tuple((f"{n / 7:.3f}", str(n % 5), "abc"[n % 3]) for n in range(700))
TABLE = infer.Table(("size", "rooms", "kind"), ROWS, tuple(str(n) for n in range(700)))
TYPES = {"size": "Fractional", "rooms": "Integral", "kind": "String"}
CHANGED = sorted(set(scenarios.OF_TABLES) - {"absent", "additional"})


def drifted(name: str, feature: str | None = None, strength: float | None = None) -> tuple[Any, str]:
    """Return the table with the scenario's default drift, and the chosen feature."""
    scenario = scenarios.OF_TABLES[name]
    chosen = scenarios.usable_features(scenario, feature, TYPES)[0]
    return scenarios.applied(scenario, TABLE, chosen, strength, Random(1)), chosen


def column(table: Any, name: str) -> list[str]:
    """Return the cells of a column."""
    return [row[table.columns.index(name)] for row in table.rows]


@pytest.mark.parametrize("name", CHANGED)
def test_only_one_column_changes(name: str) -> None:
    """The other columns, the labels and the number of rows are unchanged."""
    table, feature = drifted(name)
    assert (table.columns, table.labels) == (TABLE.columns, TABLE.labels)
    for other in TABLE.columns:
        assert (column(table, other) == column(TABLE, other)) == (other != feature)


def test_a_shift_is_measured_in_standard_deviations() -> None:
    """Whole numbers stay whole."""
    table, _ = drifted("shift", "size", 1.5)
    before, after = ([float(cell) for cell in column(each, "size")] for each in (TABLE, table))
    moved = statistics.fmean(after) - statistics.fmean(before)
    assert moved == pytest.approx(1.5 * statistics.pstdev(before))
    assert all(cell.isdigit() for cell in column(drifted("shift", "rooms")[0], "rooms"))


@pytest.mark.parametrize(("name", "feature", "sign"), [("missing", "size", ""), ("category", "kind", None)])
def test_the_share_of_changed_rows_is_the_requested_one(name: str, feature: str, sign: str | None) -> None:
    """The share of 700 rows is within four standard errors."""
    table, _ = drifted(name, feature, 0.3)
    wanted = scenarios.NEW_CATEGORY if sign is None else sign
    assert abs(column(table, feature).count(wanted) / 700 - 0.3) < 4 * (0.3 * 0.7 / 700) ** 0.5


def test_columns_are_removed_and_added() -> None:
    """The other columns keep their order."""
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
def test_a_feature_of_an_unsuitable_type_is_refused(name: str, feature: str, words: list[str]) -> None:
    """The message lists the suitable features."""
    with pytest.raises(projects.LocalError) as refused:
        scenarios.usable_features(scenarios.OF_TABLES[name], feature, TYPES)
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
def test_an_invalid_strength_is_refused(name: str, strength: float, words: str) -> None:
    """The refusal comes before any request is sent."""
    with pytest.raises(projects.LocalError, match=words):
        drifts.parse_scenario(scenarios.OF_TABLES[name], None, None, strength, 10)


def test_a_scenario_is_one_of_the_project_s_kind_of_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first is the default; a project of tables whose workload was changed has no images to send."""
    tables = projects.Project(tmp_path, "p", "eu-central-1", "y", "raw/")
    images = replace(tables, workload="image")
    assert (drifts.find_scenario(tables, None).name, drifts.find_scenario(images, None).name) == (
        "shift",
        "darker",
    )
    assert drifts.find_scenario(images, "class").strength == 0.5
    for project, name, others in ((tables, "blurred", "shift, scale"), (images, "shift", "darker, blurred")):
        with pytest.raises(projects.LocalError, match=f"{name} is not a scenario: take one of {others}, "):
            drifts.find_scenario(project, name)
    monkeypatch.setattr(projects, "PICTURES", tmp_path / "pictures.py")
    with pytest.raises(projects.LocalError, match="generated for tables: generate it with workload=image"):
        drifts.find_scenario(images, None)


@pytest.mark.parametrize("name", CHANGED)
def test_every_default_strength_is_accepted(name: str) -> None:
    scenario = scenarios.OF_TABLES[name]
    assert scenario.takes(scenario.strength)
    assert drifts.parse_scenario(scenario, None, None, 0.5, 10).strength == 0.5


@given(
    st.sampled_from(CHANGED),
    st.lists(st.text(max_size=5) | st.floats().map(str), min_size=1),
    st.floats(0, 3),
)
@example("shift", ["0", "1.2e308"], 3.0)  # a step beyond the largest number
def test_any_cell_is_accepted(name: str, cells: list[str], strength: float) -> None:
    """Scenarios that change numbers leave missing and unreadable values unchanged."""
    change = scenarios.OF_TABLES[name].change
    changed = change(tuple(cells), strength, Random(1))
    assert len(changed) == len(cells)
    assert all(isinstance(cell, str) for cell in changed)


def test_rows_that_are_added_leave_out_the_columns_that_the_training_left_out(tmp_path: Path) -> None:
    """Protects drift with new data where the data have ids, customers, free text or a constant."""
    raw = {
        "Order ID": [str(n + 1) for n in range(300)],
        "code": [f"A-{n}" for n in range(300)],
        "unit": ["kg"] * 300,
        "size": [f"{n / 7:.2f}" for n in range(300)],
        "customer": [f"c{n % 40}" for n in range(300)],
    }
    labels = tuple(f"{n % 9}.5" for n in range(300))
    table = infer.Table(tuple(raw), tuple(zip(*raw.values(), strict=True)), labels)
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "orders.csv").write_bytes(table.packed("y"))
    settings = prepare.Settings("y", split=split.SplitSettings(group="customer"))
    prepare.prepare(settings, tmp_path / "in", tmp_path / "before")
    before = schemas.Schema.read(tmp_path / "before/schema/schema.json")
    assert set(before.left_out) == {"Order ID", "code", "unit", "customer"}
    added = {name: scenarios.further_cells(tuple(raw[name]), 90) for name in before.left_out}
    added["size"] = raw["size"][:90]
    more = infer.Table(tuple(added), tuple(zip(*added.values(), strict=True)), labels[:90])
    (tmp_path / "in" / "drifted-1.csv").write_bytes(more.packed("y"))
    prepare.prepare(settings, tmp_path / "in", tmp_path / "after")
    after = schemas.Schema.read(tmp_path / "after/schema/schema.json")
    assert (after.left_out, after.features) == (before.left_out, before.features)


def test_columns_that_only_folders_have_leave_the_rows_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """Protects drift with new data where the training left out a column of Hive's folders alone."""
    schema = schemas.Schema(schemas.Target("y", "regression"), (), left_out=("year",))
    for module, name, found in (
        (drifts, "training_execution", "arn"),
        (drifts.run, "prepared_schema", schema),
        (drifts, "first_file", TABLE),
    ):
        monkeypatch.setattr(module, name, lambda *_, found=found: found)
    delivery = SimpleNamespace(cloud=None, project=SimpleNamespace(slug="p"))
    assert drifts.with_left_out_columns(delivery, "v1", TABLE) == TABLE
