"""The monitor on real tables: no violation without drift, and the right violation with drift."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pytest
from container.monitor import baseline_file, checks, command
from container.monitor.baseline_file import Baseline, BaselineColumn, Expectation, MonitoringConfig
from container.monitor.constraints import suggest
from container.monitor.partial_profile import PartialProfile
from container.monitor.profile import TableProfile
from container.monitor.settings import Settings
from container.runtime.paths import ResourceConfig

from .conftest import SHARED_DATA, Prepared

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

TABLE = pl.read_csv(SHARED_DATA / "california_housing.csv", infer_schema=False).drop("MedHouseVal")


def profiled(rows: pl.DataFrame, known: dict[str, frozenset[str]] | None = None) -> PartialProfile:
    profile = TableProfile(known_texts=known or {})
    profile.update(rows)
    profile.finalize()
    return PartialProfile(profile)


def baseline_of(rows: pl.DataFrame) -> Baseline:
    """Return the baseline of a suggestion, without writing 200 files."""
    columns = profiled(rows).profile.columns.values()
    return Baseline(
        rows.height,
        {
            each.name: BaselineColumn(each.present, each.quantiles.levels(), each.categories)
            for each in columns
        },
        {each.name: Expectation(suggest(each), MonitoringConfig()) for each in columns},
    )


@pytest.mark.e2e  # for its time
def test_no_drift_is_reported_on_random_halves() -> None:
    """200 pairs of halves with eight columns each give no violation at the default threshold."""
    generator, table = np.random.default_rng(11), TABLE.cast(pl.Float64)
    false_alarms = []
    for _ in range(200):
        order = generator.permutation(table.height)
        one, other = table[order[: table.height // 2]], table[order[table.height // 2 :]]
        baseline = baseline_of(one)
        finding = checks.compare(profiled(other, baseline.known_texts), baseline, minimum=500)
        false_alarms += finding.violations
        assert len(finding.drift) == TABLE.width
    assert false_alarms == []


@pytest.mark.parametrize("feature", TABLE.columns)
@pytest.mark.parametrize("direction", [-0.5, 0.5])
def test_a_shift_of_half_a_deviation_is_always_found(
    housing: Prepared, feature: str, direction: float
) -> None:
    """Of 1,000 records, only the shifted column is reported, in 40 draws for each column."""
    baseline = baseline_file.read(housing.baseline / "statistics.json", housing.baseline / "constraints.json")
    deviation = float(TABLE[feature].cast(pl.Float64).std())  # type: ignore[arg-type]
    generator = np.random.default_rng(5)
    for _ in range(40):
        rows = housing.rows[generator.choice(housing.rows.height, 1000, replace=False)]
        shifted = (rows[feature].cast(pl.Float64) + direction * deviation).cast(pl.String)
        finding = checks.compare(
            profiled(rows.with_columns(shifted), baseline.known_texts), baseline, minimum=500
        )
        drifted = [
            each for each in finding.violations if each.constraint_check_type == "baseline_drift_check"
        ]
        assert [each.feature_name for each in drifted] == [feature]


def test_few_records_never_alarm(housing: Prepared) -> None:
    """One hundred windows of the minimum size give no violation; AWS's analyzer is said to report many."""
    baseline = baseline_file.read(housing.baseline / "statistics.json", housing.baseline / "constraints.json")
    generator = np.random.default_rng(6)
    for _ in range(100):
        rows = housing.rows[generator.choice(housing.rows.height, 500, replace=False)]
        assert checks.compare(profiled(rows, baseline.known_texts), baseline, minimum=500).violations == []


Rows = list[dict[str, Any]]


def numbers(rows: pl.DataFrame) -> Rows:
    """Return rows as a client program sends them: whole and decimal numbers, and texts."""
    return [{name: as_json(cell) for name, cell in row.items()} for row in rows.iter_rows(named=True)]


def as_json(cell: str) -> Any:
    try:
        return json.loads(cell)
    except ValueError:
        return cell


def changed(name: str, change: Callable[[Any, int], Any]) -> Callable[[Rows], Rows]:
    return lambda rows: [row | {name: change(row[name], n)} for n, row in enumerate(rows)]


SCENARIOS: list[tuple[str, Callable[[Rows], Rows], str, str]] = [
    ("housing", changed("MedInc", lambda v, _: v + 1.5), "baseline_drift_check", "MedInc"),
    ("housing", changed("MedInc", lambda v, _: v * 1.5), "baseline_drift_check", "MedInc"),
    ("housing", changed("Latitude", lambda v, n: v if n % 5 else None), "completeness_check", "Latitude"),
    ("abalone", changed("Sex", lambda v, n: "X" if n % 20 == 0 else v), "categorical_values_check", "Sex"),
    ("housing", changed("HouseAge", lambda v, _: v + 0.5), "data_type_check", "HouseAge"),
    ("housing", lambda rows: [{k: v for k, v in row.items() if k != "Latitude"} for row in rows],
     "missing_column_check", "Missing columns"),
    ("housing", lambda rows: [row | {"Altitude": 7} for row in rows], "extra_column_check", "Extra columns"),
]  # fmt: skip


def as_instances(rows: Rows) -> tuple[str, str, str]:
    return json.dumps({"instances": rows}), "JSON", "application/json"


def as_table(rows: Rows) -> tuple[str, str, str]:
    names = list(rows[0])
    lines = [
        ",".join(names),
        *(",".join("" if row[n] is None else str(row[n]) for n in names) for row in rows),
    ]
    return "\n".join(lines), "CSV", "text/csv"


@pytest.mark.parametrize("form", [as_instances, as_table])
@pytest.mark.parametrize(("table", "change", "check", "feature"), SCENARIOS)
def test_every_scenario_violates_exactly_its_own_check(  # noqa: PLR0913, PLR0917 - a case has these parts
    table: str,
    change: Callable[[Rows], Rows],
    check: str,
    feature: str,
    form: Callable[[Rows], tuple[str, str, str]],
    request: pytest.FixtureRequest,
    tmp_path: Path,
) -> None:
    """The test goes from captured requests of 1,000 rows, several in a request, to the file of violations."""
    prepared: Prepared = request.getfixturevalue(table)
    sample = numbers(prepared.rows.sample(1000, seed=1))
    assert violations(prepared, sample, form, tmp_path / "before") == []
    found = violations(prepared, change(sample), form, tmp_path / "after")
    assert [(each["constraint_check_type"], each["feature_name"]) for each in found] == [(check, feature)]


def comparison(source: Path, output: Path, baseline: Path) -> Settings:
    """Return settings for a comparison of captured requests."""
    statistics, constraints = baseline / "statistics.json", baseline / "constraints.json"
    return Settings(source, output, captured=True, statistics=statistics, constraints=constraints)


def violations(
    prepared: Prepared, rows: Rows, form: Callable[[Rows], tuple[str, str, str]], folder: Path
) -> list[dict[str, str]]:
    source = folder / "capture"
    source.mkdir(parents=True)
    with (source / "a.jsonl").open("w") as file:
        for start in range(0, len(rows), 40):
            data, encoding, kind = form(rows[start : start + 40])
            sent = {"observedContentType": kind, "mode": "INPUT", "data": data, "encoding": encoding}
            about = {"eventId": str(start), "inferenceTime": "2026-01-31T14:00:00Z"}
            record = {"captureData": {"endpointInput": sent}, "eventMetadata": about, "eventVersion": "0"}
            file.write(json.dumps(record) + "\n")
    command.run(comparison(source, folder, prepared.baseline), ResourceConfig(), [])
    found: list[dict[str, str]] = json.loads((folder / "constraint_violations.json").read_text())[
        "violations"
    ]
    return found


def test_requests_captured_by_real_endpoints_are_read(tmp_path: Path) -> None:
    """Two endpoints got 69 columns in CSV, and one got images, which are not tables."""
    row = ",".join(["1"] * 69)
    source, output = tmp_path / "source", tmp_path / "baseline"
    source.mkdir()
    (source / "a.csv").write_text(f"{row}\n")
    command.run(Settings(source, output, header=False), ResourceConfig(), [])
    command.run(comparison(SHARED_DATA / "data_capture", tmp_path, output), ResourceConfig(), [])
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert {name: count for name, count in summary["counts"].items() if count} == {
        "lines": 9,
        "unreadable": 3,
    }
    assert summary["rows"] == 6
    first = json.loads((tmp_path / "statistics.json").read_text())["features"][0]["numerical_statistics"]
    assert (first["min"], first["max"], first["sum"]) == (85.0, 186.0, 777.0)
