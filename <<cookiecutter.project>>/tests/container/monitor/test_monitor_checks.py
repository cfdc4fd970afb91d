"""Each fault is found by its own check alone, and normal data by no check."""

import json
import random
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from container.monitor import baseline_file, checks
from container.monitor.baseline_file import Baseline
from container.monitor.capture import Counts
from container.monitor.checks import Comparison
from container.monitor.partial_profile import PartialProfile
from container.monitor.profile import TableProfile
from container.runtime.errors import UserError
from tests.container.monitor.captured import baseline_of

Table = dict[str, list[str]]
ROWS = 2000


def table(seed: int, rows: int = ROWS) -> Table:
    """Return rows of a number, a whole number, a category and a column with some values missing."""
    chance = random.Random(seed)
    return {
        "number": [repr(chance.gauss(0, 1)) for _ in range(rows)],
        "whole": [str(chance.randrange(40)) for _ in range(rows)],
        "kind": [chance.choices("abc", [6, 3, 1])[0] for _ in range(rows)],
        "gaps": [repr(chance.random()) if chance.random() < 0.9 else "" for _ in range(rows)],
    }


@pytest.fixture(scope="module")
def baseline(tmp_path_factory: pytest.TempPathFactory) -> Baseline:
    return baseline_of(table(0, 5000), tmp_path_factory.mktemp("baseline"))


def held(to: Baseline, rows: Table, counts: Counts | None = None) -> Comparison:
    profile = TableProfile(known_texts=to.known_texts)
    if rows:
        profile.update(pl.DataFrame(rows, schema=dict.fromkeys(rows, pl.String)))
    profile.finalize()
    return checks.compare(PartialProfile(profile, counts or Counts()), to, minimum=500)


def found(finding: Comparison) -> list[tuple[str, str]]:
    return [(each.constraint_check_type, each.feature_name) for each in finding.violations]


def changed(rows: Table, name: str, change: Any) -> Table:
    return rows | {name: [change(cell, n) for n, cell in enumerate(rows[name])]}


def test_rows_like_the_baselines_violate_nothing(baseline: Baseline) -> None:
    """One column has more missing values than the baseline in half of the fifty samples."""
    for seed in range(1, 51):
        finding = held(baseline, table(seed))
        assert found(finding) == []
        assert set(finding.drift) == {"number", "whole", "kind", "gaps"}


SCENARIOS = {
    "a shifted mean": (lambda t: changed(t, "number", lambda c, _: repr(float(c) + 0.5)), "number"),
    "another scale": (lambda t: changed(t, "number", lambda c, _: repr(float(c) * 2)), "number"),
    "other shares of the categories": (
        lambda t: changed(t, "kind", lambda c, n: "c" if n % 4 == 0 else c),
        "kind",
    ),
    "missing values": (lambda t: changed(t, "number", lambda c, n: "" if n % 10 == 0 else c), "number"),
    "more missing values": (lambda t: changed(t, "gaps", lambda c, n: "" if n % 10 == 0 else c), "gaps"),
    "a new category": (lambda t: changed(t, "kind", lambda c, n: "new" if n % 20 == 0 else c), "kind"),
    "fractions": (lambda t: changed(t, "whole", lambda c, n: f"{c}.5" if n % 3 == 0 else c), "whole"),
    "texts": (lambda t: changed(t, "whole", lambda c, n: "many" if n % 50 == 0 else c), "whole"),
    "an absent column": (lambda t: {name: t[name] for name in t if name != "whole"}, "Missing columns"),
    "an additional column": (lambda t: t | {"more": t["whole"]}, "Extra columns"),
}
CHECKS = {
    "a shifted mean": "baseline_drift_check",
    "another scale": "baseline_drift_check",
    "other shares of the categories": "baseline_drift_check",
    "missing values": "completeness_check",
    "more missing values": "completeness_check",
    "a new category": "categorical_values_check",
    "fractions": "data_type_check",
    "texts": "data_type_check",
    "an absent column": "missing_column_check",
    "an additional column": "extra_column_check",
}


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_every_fault_gives_exactly_its_own_check(baseline: Baseline, scenario: str) -> None:
    """Ten samples are compared for each."""
    change, name = SCENARIOS[scenario]
    for seed in range(100, 110):
        assert found(held(baseline, change(table(seed)))) == [(CHECKS[scenario], name)]  # type: ignore[no-untyped-call]


def test_messages_are_the_analyzers(baseline: Baseline) -> None:
    """A program that reads the analyzer's messages reads these."""
    rows = table(1, 1000)
    rows = changed(rows, "whole", lambda c, n: "0.5" if n == 7 else c)
    rows = changed(rows, "number", lambda c, n: repr(float(c) + 3) if n else "")
    rows = changed(rows, "kind", lambda c, n: "new" if n < 5 else c)
    del rows["gaps"]
    descriptions = {
        each.constraint_check_type: each.description
        for each in held(baseline, rows | {"more": rows["whole"]}).violations
    }
    distance = descriptions["baseline_drift_check"].split()[3]
    assert float(distance) > 0.7
    columns = "Number of columns in current dataset: 4, Number of columns in baseline constraints: 4"
    match = "requirement is not met. Expected match: 100.0%. Observed: Only 99.5% of data is"
    assert descriptions == {
        "data_type_check": "Data type match requirement is not met. Expected data type: Integral, Expected "
        "match: 100.0%. Observed: Only 99.9% of data is Integral.",
        "completeness_check": "Completeness requirement is not met. Expected completeness: 100.0%. "
        "Observed: Only 99.9% of data is complete.",
        "baseline_drift_check": f"Baseline drift distance: {distance} exceeds threshold: 0.1",
        "categorical_values_check": f"Domain content {match} in the domain. Unknown: new.",
        "missing_column_check": f"There are missing columns in current dataset. {columns}. Missing: gaps.",
        "extra_column_check": f"There are extra columns in current dataset. {columns}. Extra: more.",
    }


def test_whole_numbers_are_whole_however_they_are_written(baseline: Baseline) -> None:
    """Callers in Python write 41.0 where others write 41."""
    assert found(held(baseline, changed(table(1), "whole", lambda c, _: f"{c}.0"))) == []


def test_booleans_are_known_in_any_case(tmp_path: Path) -> None:
    """The model reads them in the same way."""
    to = baseline_of({"on": ["true", "false"] * 500}, tmp_path)
    assert found(held(to, {"on": ["True", "FALSE"] * 500})) == []
    assert (
        found(held(to, {"on": ["true", "false", "true", "maybe"] * 500}))[0][0] == "categorical_values_check"
    )


@pytest.mark.parametrize(
    ("known", "sent"),
    [(("01", "02"), ("1", "2.0")), (("no", "yes"), ("NO", "True")), (("f", "t"), ("0", "1"))],
)
def test_categories_are_known_in_any_spelling_that_the_model_takes(
    tmp_path: Path, known: tuple[str, str], sent: tuple[str, str]
) -> None:
    """They are neither new texts nor another type."""
    to = baseline_of({"c": [*known, "x"][: 3 if known[0] == "01" else 2] * 500}, tmp_path)
    rows = {"c": [*sent, "x"][: 3 if known[0] == "01" else 2] * 500}
    finding = held(to, rows)
    assert (found(finding), finding.drift["c"]) == ([], 0.0)


def test_texts_that_are_numbers_belong_to_a_column_of_texts(tmp_path: Path) -> None:
    """Tickets such as 113803 and A/5 21171; the analyzer calls each part of them a violation."""
    mixed = [f"A/{n}" if n % 5 == 0 else str(n) for n in range(2000)]
    to = baseline_of({"ticket": mixed, "code": ["1", "2", "A", "2"] * 500}, tmp_path)
    assert found(held(to, {"ticket": mixed[::-1], "code": ["2", "1", "2", "A"] * 500})) == []
    # A window without a letter is of the baseline's categories still.
    assert (
        found(held(to, {"ticket": mixed, "code": ["2", "1", "2", "2"] * 500}))[0][0] == "baseline_drift_check"
    )
    assert found(held(to, {"ticket": ["7"] * 2000, "code": mixed and ["2", "1", "2", "A"] * 500})) == [
        ("data_type_check", "ticket")
    ]


def test_dates_are_no_categories(tmp_path: Path) -> None:
    """Dates do not recur: neither a new one nor their distribution is a fault."""
    to = baseline_of({"day": [f"2025-01-{n % 28 + 1:02}" for n in range(2000)]}, tmp_path)
    finding = held(to, {"day": [f"2026-02-{n % 28 + 1:02}" for n in range(2000)]})
    assert finding == Comparison([], {}, ("day (too many texts, or dates)",))


def test_absence_that_is_usual_is_no_missing_column(tmp_path: Path) -> None:
    """Callers may leave out a missing value, so that few rows have a column with one value in a thousand."""
    to = baseline_of({"x": ["1"] * 4000, "rare": ["7", *[""] * 999] * 4}, tmp_path)
    assert found(held(to, {"x": ["1"] * 1000})) == []
    assert found(held(to, {"rare": [""] * 1000})) == [("missing_column_check", "Missing columns")]


def test_rows_by_position_that_are_too_short_miss_a_column(baseline: Baseline) -> None:
    """They do so when they are the majority: a few are the error of one caller."""
    finding = held(baseline, table(1, 600), Counts(too_few_columns=700))
    assert found(finding) == [("missing_column_check", "Missing columns")]
    assert "700 of 1300 rows have fewer values" in finding.violations[0].description
    assert found(held(baseline, {}, Counts(too_few_columns=700))) == [
        ("missing_column_check", "Missing columns")
    ]
    assert found(held(baseline, table(1), Counts(too_few_columns=700))) == []


def test_column_with_few_values_has_no_distance(baseline: Baseline) -> None:
    """Chance would make it drift."""
    rows = changed(table(1), "number", lambda c, n: c if n < 499 else "")
    finding = held(baseline, rows)
    assert "number" not in finding.drift
    assert finding.unmeasured == ("number",)
    assert ("completeness_check", "number") in found(finding)


def test_crowd_of_new_categories_is_reported(baseline: Baseline) -> None:
    """They are too many to count one by one, but the known categories are counted."""
    rows = changed(table(1), "kind", lambda c, n: f"k{n}" if n % 2 else c)
    finding = held(baseline, rows)
    assert [check for check, _ in found(finding)] == ["categorical_values_check", "baseline_drift_check"]
    assert "Only 50.0% of data is in the domain. Unknown: too many." in finding.violations[0].description


@pytest.mark.parametrize("method", ["LInfinity", "ChiSquared"])
@pytest.mark.parametrize("kinds", [1, 1000])
def test_half_new_texts_are_a_drift_by_each_method(tmp_path: Path, method: str, kinds: int) -> None:
    """The other half is as it was, so that the known texts alone do not show it."""

    def edit(document: Any) -> None:
        document["monitoring_config"]["distribution_constraints"]["categorical_drift_method"] = method

    rows = changed(table(1), "kind", lambda c, n: f"k{n % kinds}" if n % 2 else c)
    assert held(edited(tmp_path, edit), rows).drift["kind"] > 0.3


def edited(folder: Path, edit: Any) -> Baseline:
    """Change the constraints of a baseline, as a person may, and read it again."""
    statistics, constraints = folder / "statistics.json", folder / "constraints.json"
    baseline_of(table(0, 5000), folder)
    document = json.loads(constraints.read_text())
    edit(document)
    constraints.write_text(json.dumps(document))
    return baseline_file.read(statistics, constraints)


def test_constraints_are_a_persons_to_change(baseline: Baseline, tmp_path: Path) -> None:
    """Thresholds, switches and overrides of a column have an effect, in either of AWS's spellings."""

    def edit(document: Any) -> None:
        config, features = (
            document["monitoring_config"],
            {each["name"]: each for each in document["features"]},
        )
        config["datatype_check_threshold"] = 0.5
        config["distribution_constraints"]["comparison_threshold"] = 0.9
        features["kind"]["monitoringConfigOverrides"] = {"domain_content_threshold": 0.9}
        features["gaps"]["monitoring_config_overrides"] = {"evaluate_constraints": "Disabled"}

    to = edited(tmp_path, edit)
    rows = changed(table(1), "whole", lambda c, n: f"{c}.5" if n % 3 == 0 else c)
    rows = changed(rows, "number", lambda c, _: repr(float(c) + 1))
    rows = changed(rows, "kind", lambda c, n: "new" if n % 20 == 0 else c)
    rows = changed(rows, "gaps", lambda _c, _n: "")
    assert found(held(baseline, rows)) != []
    assert found(held(to, rows)) == []
    assert "number" in held(to, rows).drift


def test_comparison_may_be_left_out(tmp_path: Path) -> None:
    """There are neither distances nor violations by them."""
    to = edited(
        tmp_path,
        lambda document: document["monitoring_config"]["distribution_constraints"].update(
            perform_comparison="Disabled"
        ),
    )
    assert held(to, changed(table(1), "number", lambda c, _: repr(float(c) + 1))) == Comparison([], {})


@pytest.mark.parametrize(("method", "robust"), [("Simple", False), ("linf_robust", True)])
def test_methods_are_those_of_the_constraints(tmp_path: Path, method: str, robust: bool) -> None:  # noqa: FBT001 - a parameter of the cases
    """Numbers and, by chi-squared, categories are compared by the method."""

    def edit(document: Any) -> None:
        config = document["monitoring_config"]["distribution_constraints"]
        config.update(comparison_method=method, categorical_drift_method="ChiSquared")

    finding = held(edited(tmp_path, edit), table(1))
    assert (finding.drift["number"] == 0.0) is robust
    assert (finding.drift["kind"] == 0.0) is robust


@pytest.mark.parametrize(
    ("edit", "reason"),
    [
        (lambda d: d.pop("features"), r"constraints\.json is not a file of a baseline: it lacks 'features'"),
        (lambda d: d["features"][0].pop("completeness"), "it lacks 'completeness'"),
        (
            lambda d: d["features"][0].update(inferred_type="Text"),
            "inferred_type is 'Text', and must be one of",
        ),
        (
            lambda d: d["monitoring_config"].update(emit_metrics=True),
            "emit_metrics is True, and must be one of",
        ),
        (
            lambda d: d["monitoring_config"]["distribution_constraints"].update(comparison_method="KS"),
            "comparison_method is 'KS'",
        ),
        (lambda d: d["monitoring_config"].update(datatype_check_threshold="much"), "could not convert"),
    ],
)
def test_constraints_that_can_not_be_read_are_refused(tmp_path: Path, edit: Any, reason: str) -> None:
    """The error names the file and the field."""
    with pytest.raises(UserError, match=reason):
        edited(tmp_path, edit)
