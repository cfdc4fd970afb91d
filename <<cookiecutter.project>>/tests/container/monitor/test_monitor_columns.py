"""Each column of a baseline is compared, or named as not compared, whatever its cells are."""

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from container.data.schema import Feature, Schema, Target
from container.data.values import NumberFormat
from container.monitor import baseline_file, checks, main
from container.monitor.baseline_file import Baseline
from container.monitor.capture import Counts
from container.monitor.checks import Comparison
from container.monitor.partial_profile import PartialProfile
from container.monitor.profile import TableProfile
from container.monitor.reading import readers
from container.monitor.request_rows import RequestRows

ROWS, MINIMUM = 1000, 300
Table = dict[str, list[str]]
Suggest = Callable[..., Baseline]


def table(seed: int) -> Table:
    """Return rows of columns of every kind."""
    chance = random.Random(seed)
    draw: dict[str, Callable[[int], str]] = {
        "number": lambda _: f"{chance.gauss(0, 1):.3f}",
        "price": lambda _: str(chance.randrange(1000, 9000)),
        "stray": lambda _: chance.choice(["", f"{chance.gauss(0, 1):.3f}"]),
        "rare": lambda n: "" if n % 200 else "7",
        "whole": lambda _: str(chance.randrange(40)),
        "constant": lambda _: "1",
        "word": lambda _: "only",
        "kind": lambda _: chance.choices("abc", [6, 3, 1])[0],
        "boolean": lambda _: chance.choice(["true", "false"]),
        "long": lambda _: f"w{int(chance.expovariate(0.01))}",
        "name": lambda n: f"{chance.random()} {n}",
        "day": lambda _: f"20{chance.randrange(15, 21)}-{chance.randrange(1, 13):02}-17",
        "month": lambda _: f"2020-{chance.randrange(1, 13):02}-01",
        "digits": lambda _: f"2020{chance.randrange(1, 13):02}01",
        "mixed": lambda n: str(n) if n % 2 else f"A/{n}",
        "absent": lambda _: "",
    }
    return {name: [cell(n) for n in range(ROWS)] for name, cell in draw.items()}


COMMON = tuple(sorted(f"w{n}" for n in range(99)))
SCHEMA = Schema(
    Target("y", "regression"),
    (
        Feature("number", "numeric"),
        Feature("price", "numeric", number_format=NumberFormat(group=",", sign="$")),
        Feature("stray", "numeric", strays=True),
        Feature("rare", "numeric", strays=True),
        Feature("whole", "numeric"),
        Feature("constant", "numeric"),
        Feature("word", "categorical", ("only",)),
        Feature("kind", "categorical", ("a", "b", "c")),
        Feature("boolean", "categorical", ("false", "true")),
        Feature("long", "categorical", COMMON, other=True),
        Feature("name", "categorical", ("unusual",), other=True),
        Feature("day", "date", format="iso8601"),
        Feature("month", "date", format="iso8601", strays=True),
        Feature("digits", "date", format="yyyymmdd"),
        Feature("mixed", "categorical", ("1", "A/2"), other=True),
        Feature("absent", "numeric"),
    ),
)


@pytest.fixture
def suggest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Suggest:
    """Return the baseline that the command suggests, with or without the schema of the model."""

    def suggest(*, schema: bool) -> Baseline:
        folder = tmp_path / "processing" / "input"
        (folder / "data").mkdir(parents=True)
        pl.DataFrame(table(0)).write_csv(folder / "data" / "a.csv")
        SCHEMA.write(folder / "schema.json")
        monkeypatch.setenv("SAGEMAKER_BASE_DIR", str(tmp_path))
        monkeypatch.setenv("dataset_source", "/opt/ml/processing/input/data")
        if schema:
            monkeypatch.setenv("schema_source", "/opt/ml/processing/input")
        main()
        output = tmp_path / "processing" / "output"
        return baseline_file.read(output / "statistics.json", output / "constraints.json")

    return suggest


def test_the_analyzers_files_list_no_part_of_a_columns_texts(suggest: Suggest, tmp_path: Path) -> None:
    """Model Monitor would take the listed texts for all."""
    suggest(schema=True)
    output = tmp_path / "processing" / "output"
    statistics, constraints = (
        json.loads((output / f"{name}.json").read_text()) for name in ("statistics", "constraints")
    )
    described = {
        each["name"]: each["string_statistics"]
        for each in statistics["features"]
        if each["inferred_type"] == "String"
    }
    assert {name for name, each in described.items() if "distribution" in each} == {"word", "kind", "boolean"}
    constrained = {each["name"] for each in constraints["features"] if "string_constraints" in each}
    assert constrained == {"word", "kind", "boolean"}


def compared(baseline: Baseline, cells: dict[str, list[Any]]) -> Comparison:
    """Compare requests of JSON."""
    profile = TableProfile(known_texts=baseline.known_texts)
    rows = RequestRows(profile, baseline.names, Counts(), readers(baseline.schema))
    rows.rows = list(zip(*(cells[name] for name in baseline.names), strict=True))
    rows.flush()
    profile.finalize()
    return checks.compare(PartialProfile(profile), baseline, MINIMUM)


WINDOWS: dict[str, Callable[[int], Any]] = {
    "all new": lambda n: f"garbage{n}",
    "one new": lambda _: "NEWVALUE",
    "missing": lambda _: None,
    "date": lambda n: f"{n % 28 + 1:02}.12.2018",
    "blank": lambda _: " ",
    "infinite": lambda _: "1e999",
    "false": lambda _: False,
    "half": lambda n: "é" if n % 2 else None,
}


@pytest.mark.parametrize("schema", [True, False], ids=["schema", "no schema"])
def test_each_column_is_compared_or_named(suggest: Suggest, schema: bool) -> None:  # noqa: FBT001 - a parameter of the cases
    """No column is in no check and in no list, whatever its cells are."""
    baseline = suggest(schema=schema)
    same = compared(baseline, table(1))
    assert [each for each in same.violations if each.feature_name != "rare"] == []
    named = {entry.partition(" (")[0] for entry in same.unmeasured}
    assert named | same.drift.keys() == set(baseline.names)
    dates, usual = ({"day", "month", "digits"}, {"name", "mixed"}) if schema else ({"day"}, {"long", "name"})
    assert named >= {"rare", "absent"} | dates | usual
    assert named.isdisjoint({"number", "price", "kind", "boolean"} | ({"long"} if schema else set()))
    for window, cell in WINDOWS.items():
        found = compared(baseline, {name: [cell(n) for n in range(ROWS)] for name in baseline.names})
        unnamed = set(baseline.names) - {entry.partition(" (")[0] for entry in found.unmeasured}
        assert unnamed <= set(found.drift), window
        assert unnamed <= {each.feature_name for each in found.violations}, window


def test_new_texts_of_a_long_column_are_a_drift(suggest: Suggest) -> None:
    """The baseline has the texts that the model knows, and the share of all others."""
    baseline, rows = suggest(schema=True), table(1)
    assert set(baseline.columns["long"].texts) == set(table(0)["long"]) & set(COMMON)
    for window, share in (("one new", 1.0), ("all new", 0.3), ("all new", 1.0)):
        new = WINDOWS[window]
        changed = [new(n) if n < share * ROWS else text for n, text in enumerate(rows["long"])]
        found = compared(baseline, rows | {"long": changed})
        checked = [each.constraint_check_type for each in found.violations if each.feature_name == "long"]
        assert checked == ["baseline_drift_check"]
