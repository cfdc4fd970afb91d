"""Row numbers, ids and saved indexes are left out, and what was measured is kept."""

import random
from collections.abc import Callable
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import polars as pl
import pytest

from container.data import identifiers
from container.data.reading import ReadingSettings
from container.data.schema import Schema
from container.data.split import SplitSettings
from container.prepare import Settings, prepare
from tests.container.test_prepare import report_of

ROWS = 150
SHUFFLED = np.random.default_rng(1).permutation(ROWS)
GAPS = np.cumsum(np.random.default_rng(2).integers(1, 8, ROWS))
DAYS = [20260101 + 100 * month + day for month in range(12) for day in range(28)]


def features(root: Path, tables: list[dict[str, list[Any]]], **settings: Any) -> list[str]:
    for number, columns in enumerate(tables):
        (root / "in").mkdir(exist_ok=True)
        pl.DataFrame(columns).write_csv(root / "in" / f"{number}.csv")
    prepare(Settings("y", **settings), root / "in", root / "out")
    return [feature.name for feature in Schema.read(root / "out/schema/schema.json").features]


def sorted_by_class(**columns: list[Any]) -> dict[str, list[Any]]:
    """Return the table of three species whose rows are sorted by their class, with further columns."""
    draw = random.Random(3)
    labels = [number * 3 // ROWS for number in range(ROWS)]
    return {
        **columns,
        "x": [draw.gauss(label, 1) for label in labels],
        "y": ["abc"[label] for label in labels],
    }


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("Id", list(range(1, ROWS + 1))),
        ("Unnamed: 0", list(range(ROWS))),
        ("Unnamed: 0", [*range(100), *range(50)]),  # of two frames, one after the other
        ("loan_id", random.Random(1).sample(range(10**9), ROWS)),
        ("customerId", [f"C{number % 140}" for number in range(ROWS)]),
        ("index", [*range(75), *range(75)]),
        ("v", list(range(ROWS, 0, -1))),
        ("v", list(range(70_000, 70_000 + ROWS))),
        ("v", [*np.sort(1 + np.random.default_rng(4).permutation(200)[: ROWS - 1]).tolist(), 0]),
        ("v", (SHUFFLED + 1).tolist()),
        ("v", SHUFFLED.astype(float).tolist()),
        ("order_no", (5000 + GAPS).tolist()),
        ("Kunden-ID", [f"K{number % 140}" for number in range(ROWS)]),
        ("custid", random.Random(1).sample(range(10**9), ROWS)),
        ("v", [1_000_000_001 + number for number in range(ROWS)]),
        ("v", [f"{number:,}" for number in range(950, 950 + ROWS)]),
        ("v", [str(number) if number % 16 else "" for number in range(ROWS)]),
        ("v", [f"{5000 - number:,}" if number % 50 else "NA" for number in range(ROWS)]),
    ],
)
def test_row_numbers_and_ids_are_left_out(tmp_path: Path, name: str, values: list[Any]) -> None:
    """Protects production from a model that has learned where a row stood, and answers new rows by it."""
    assert features(tmp_path, [sorted_by_class(**{name: values})]) == ["x"]
    (left,) = report_of(tmp_path / "out")["left_out"]
    assert left["column"] == name
    assert left["reason"].endswith("; name it in kinds to keep it")


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("year", list(range(1876, 1876 + ROWS))),
        ("SeasonStart", list(range(1876, 1876 + ROWS))),
        ("population", sorted(random.Random(1).sample(range(10**6), ROWS))),
        ("price", list(range(100, 100 + ROWS))),
        ("v", [1_767_225_600 + 3600 * number for number in range(ROWS)]),
        ("v", DAYS[:ROWS]),
        ("wavelength", list(range(400, 400 + ROWS))),
        ("v", list(range(1000, 1000 + 50 * ROWS, 50))),
        ("v", list(range(0, 5 * ROWS, 5))),
        ("odometer", (5000 + GAPS).tolist()),
        ("salary", random.Random(1).sample(range(30_000, 30_200), ROWS)),
        ("Kohlendioxid", random.Random(1).sample(range(10**4), ROWS)),
        ("Madrid", random.Random(1).sample(range(10**4), ROWS)),
        ("passenger_number", [number * 37 % 120 for number in range(ROWS)]),
        ("conc_no", [number * 37 % 140 for number in range(ROWS)]),
        ("zip_code", [number * 37 % 140 for number in range(ROWS)]),
        ("v", [number / 7 for number in range(ROWS)]),
        ("v", [number // 2 for number in range(ROWS)]),
        ("amount_paid", random.Random(1).sample(range(10**6), ROWS)),
        ("number_of_rooms", random.Random(1).sample(range(10**6), ROWS)),
        ("store_id", [number % 9 for number in range(ROWS)]),
        ("Unnamed: 3", [number / 7 for number in range(ROWS)]),
        ("v", [str(number) if at % 50 else "NA" for at, number in enumerate(SHUFFLED)]),
        ("v", [str(at - at // 50) if at % 50 else "NA" for at in range(ROWS)]),
        ("v", [f"{number:,}" for number in random.Random(1).sample(range(10**6), ROWS)]),
    ],
)
def test_what_was_measured_is_kept(tmp_path: Path, name: str, values: list[Any]) -> None:
    """Protects measurements, times and codes of groups, although they differ or are sorted."""
    assert set(features(tmp_path, [sorted_by_class(**{name: values})])) == {name, "x"}


@pytest.mark.parametrize("second", [range(150, 300), range(150), range(10**6, 10**6 + 150)])
def test_row_numbers_of_several_files_are_left_out(tmp_path: Path, second: range) -> None:
    """Protects exports in parts, whose numbers go on, begin again, or have a start of their own."""
    tables = [sorted_by_class(v=list(range(150))), sorted_by_class(v=list(second))]
    assert features(tmp_path, tables) == ["x"]


def test_files_of_one_row_do_not_number_it(tmp_path: Path) -> None:
    """Protects what was measured and is missing in some of many files, each of which has no order of rows."""
    draw = random.Random(9)
    measured = [draw.randint(0, 500) if number % 6 else None for number in range(60)]
    tables: list[dict[str, list[Any]]] = [
        {"m": [cell], "x": [draw.random()], "y": [draw.random()]} for cell in measured
    ]
    assert features(tmp_path, tables) == ["m", "x"]


def test_a_column_is_kept_that_kinds_or_time_names(tmp_path: Path) -> None:
    """Protects the setting that overrules the guess."""
    table = sorted_by_class(Id=list(range(ROWS)), n=list(range(ROWS)), x2=SHUFFLED.tolist())
    kept = ReadingSettings(kinds=MappingProxyType({"Id": "numeric"}))
    table["y"] = list("ab" * 75)
    assert features(tmp_path, [table], reading=kept, split=SplitSettings(time="n")) == ["Id", "n", "x"]


def test_the_only_column_is_a_feature_unless_its_name_is_that_of_an_id(tmp_path: Path) -> None:
    """Protects a table of doses and answers."""
    assert features(tmp_path, [{"dose": list(range(ROWS)), "y": [n / 7 for n in range(ROWS)]}]) == ["dose"]


def test_ids_are_known_where_rows_stand_several_times(tmp_path: Path) -> None:
    """Protects a table that was made larger by copies, whose ids repeat with their rows."""
    once = sorted_by_class(Id=SHUFFLED.tolist(), lfd=list(range(ROWS)))
    table = {name: values * 3 for name, values in once.items()}
    assert features(tmp_path, [table]) == ["x"]
    assert report_of(tmp_path / "out")["duplicates"] == 2 * ROWS


@pytest.mark.parametrize("draw", [np.arange, lambda size: np.random.default_rng(size).permutation(size)])
def test_chance_alone_is_not_taken_for_a_row_number(draw: Callable[[int], np.ndarray]) -> None:
    """Protects short scales, and values that differ because they are far apart."""
    assert not identifiers.is_numbering(draw(15))
    assert identifiers.is_numbering(draw(20))
    generator = np.random.default_rng(5)
    for _ in range(200):
        values = generator.integers(0, 300_000, 300)
        assert not identifiers.is_numbering(np.sort(values))


@pytest.mark.parametrize(
    "name", ["ID", "id", "userid", "PassengerId", "row id", "Kunden-ID", "uuid", "custid", "id2"]
)
def test_names_of_ids_are_known(name: str) -> None:
    """Protects the rule for names: one word of theirs says that it is an id."""
    assert identifiers.is_id(name)
    assert not identifiers.is_weak(name)


@pytest.mark.parametrize("name", ["order_no", "sku.key", "zipCode"])
def test_names_of_perhaps_an_id_are_known(name: str) -> None:
    """Such names alone do not decide."""
    assert identifiers.is_weak(name)
    assert not identifiers.is_id(name)


@pytest.mark.parametrize(
    "name",
    [
        "paid",
        "humidity",
        "grid",
        "Amount Paid",
        "number",
        "no",
        "width",
        "covid",
        "idle",
        "lipid",
        "steroid",
        "thyroid",
        "Kohlendioxid",
        "Madrid",
        "CO2_dioxid",
        "Total Number",
    ],
)
def test_other_names_are_not_taken_for_ids(name: str) -> None:
    """Protects measurements whose names resemble an id's."""
    assert not identifiers.is_id(name)
    assert not identifiers.is_weak(name)
