"""Requests are profiled by the reading of the model's schema, which constraints.json keeps where needed."""

import csv
import io
import json
import random
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from container.data.dialects import WRITTEN
from container.data.schema import Feature, Schema, Target
from container.data.values import NumberFormat, Reading
from container.monitor import checks, main, worker
from container.monitor.baseline import write_baseline
from container.monitor.baseline_file import READING, read
from container.monitor.capture import Counts, Shard
from container.monitor.checks import compare
from container.monitor.partial_profile import PartialProfile
from container.monitor.profile import TableProfile
from container.monitor.reading import ColumnReader, readers
from container.monitor.request_rows import RequestRows
from container.monitor.tables import batches
from container.monitor.window import Window
from container.monitor.worker import Task
from container.prepare import Settings, prepare
from tests.container.monitor.captured import lines, record

SCHEMA = Schema(
    Target("y", "regression"),
    (
        Feature("price", "numeric", number_format=NumberFormat(".", ",", "$")),
        Feature("age", "numeric", strays=True),
        Feature("plain", "numeric"),
        Feature("bit", "numeric", boolean=True),
        Feature("code", "categorical", ("1", "2")),
        Feature("day", "date", format="iso8601"),
        Feature("kind", "categorical", ("a", "b")),
    ),
)
NEEDED = ["price", "age", "bit", "code", "day"]
BASELINE = {
    "price": [*map(str, range(1000, 1800))],
    "age": ["30", ""] * 400,
    "plain": [f"{n}.5" for n in range(800)],
    "bit": ["0", "1"] * 400,
    "code": ["1", "2"] * 400,
    "day": [f"2020-{1 + n % 12:02}-01" for n in range(800)],
    "kind": ["a", "b"] * 400,
}


def request(row: int) -> tuple[str, str, str]:
    """Return a row of the baseline, spelled as callers spell it: as CSV, or as JSON with its numbers."""
    price, plain = 1000 + row, f"{row}.5"
    age, code, kind = ("30", "unknown")[row % 2], ("01", "2.0")[row % 2], "ab"[row % 2]
    bit = ("no", "True")[row % 2]
    if row % 3:
        seconds = Feature("day", "date", format="iso8601").encode(BASELINE["day"][row])
        cells = [
            price,
            (30, True)[row % 2],
            float(plain),
            bool(row % 2),
            (1, 2.0)[row % 2],
            seconds * 1000,
            kind,
        ]
        return json.dumps(cells), "JSON", "application/json"
    sink = io.StringIO()
    day = BASELINE["day"][row]
    csv.writer(sink, lineterminator="").writerow([f"${price:,}.00", age, plain, bit, code, day, kind])
    return sink.getvalue(), "CSV", "text/csv"


@pytest.fixture
def base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Suggest a baseline as the workflow does, with the schema beside it."""
    folder = tmp_path / "processing" / "input"
    for name in ("baseline_dataset_input", "captured"):
        (folder / name).mkdir(parents=True)
    pl.DataFrame(BASELINE).write_csv(folder / "baseline_dataset_input" / "baseline.csv")
    SCHEMA.write(folder / "schema" / "schema.json")
    monkeypatch.setenv("SAGEMAKER_BASE_DIR", str(tmp_path))
    monkeypatch.setenv("schema_source", "/opt/ml/processing/input/schema")
    monkeypatch.setenv("output_path", "/opt/ml/processing/baseline")
    main()
    return tmp_path


def test_requests_in_the_callers_spelling_violate_nothing(
    base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Protects from false alarms for money, strays, categories in another spelling and dates as numbers."""
    data, found = base / "processing" / "input" / "captured", base / "processing" / "found"
    (data / "a.jsonl").write_bytes(lines([record(*request(row), event=f"e{row}") for row in range(800)]))
    for name, value in {
        "dataset_source": "/opt/ml/processing/input/captured",
        "dataset_format": '{"sagemakerCaptureJson": {}}',
        "output_path": "/opt/ml/processing/found",
        "baseline_statistics": "/opt/ml/processing/baseline/statistics.json",
        "baseline_constraints": "/opt/ml/processing/baseline/constraints.json",
    }.items():
        monkeypatch.setenv(name, value)
    main()
    assert json.loads((found / "constraint_violations.json").read_text()) == {"violations": []}
    first, second = (
        json.loads((path / "statistics.json").read_text())["features"]
        for path in (base / "processing" / "baseline", found)
    )
    for features in (first, second):
        for feature in features:
            feature.get("numerical_statistics", {}).pop("distribution", None)  # a sample, by the rows' order
    assert second == first


def compared(base: Path, **cells: Any) -> tuple[list[tuple[str, str]], list[str]]:
    """Compare requests as the baseline's with it, some cells of them changed; return what was found."""
    folder = base / "processing" / "baseline"
    baseline = read(folder / "statistics.json", folder / "constraints.json")
    profile = TableProfile(known_texts=baseline.known_texts)
    rows = RequestRows(profile, baseline.names, Counts(), readers(baseline.schema))
    rows.named = [
        {name: cells.get(name, given)[n] for name, given in BASELINE.items()}
        for n in range(len(BASELINE["day"]))
    ]
    rows.flush()
    profile.finalize()
    found = checks.compare(PartialProfile(profile), baseline, minimum=400)
    return [(each.feature_name, each.constraint_check_type) for each in found.violations], [*found.unmeasured]


@pytest.mark.parametrize("unreadable", ["31.12.2018", "garbage17", "2020-02-30", True, [1], 20])
def test_a_date_that_the_model_cannot_read_is_missing(base: Path, unreadable: Any) -> None:
    """Its cells would be texts of a column that is compared with nothing."""
    days = [unreadable, *BASELINE["day"][1:]]
    assert compared(base, day=days)[0] == [("day", "completeness_check")]
    assert compared(base, day=[unreadable] * 800)[0] == [("day", "completeness_check")]


def test_dates_move_on(base: Path) -> None:
    """They are not compared, which the outcome says, in each form of a date that the model reads."""
    for later in ("2026-11-30", 1_795_996_800_000, "2026-11-30T12:00:00Z"):
        assert compared(base, day=[later] * 800) == ([], ["day (dates move on)"])


def test_numbers_are_spelled_as_dates_of_digits() -> None:
    reader = ColumnReader(Feature("day", "date", format="yyyymmdd"))
    read = reader.values([1_795_996_800, 20261130, "20261130", "30.11.2026", None])
    assert read is not None
    assert read.to_list() == ["20261130"] * 3 + [None] * 2
    assert reader.texts(pl.Series(["2026-11-30", "2026-11"])).to_list() == ["2026-11-30", None]


def test_constraints_keep_the_columns_that_need_it(base: Path) -> None:
    path = base / "processing" / "baseline"
    kept = read(path / "statistics.json", path / "constraints.json").schema
    assert kept is not None
    assert [feature.name for feature in kept.features] == NEEDED
    assert all(feature in SCHEMA.features for feature in kept.features)


def test_a_plain_table_has_the_analyzers_files(tmp_path: Path) -> None:
    """Protects the columns that need no rule from its cost."""
    plain = replace(SCHEMA, features=tuple(each for each in SCHEMA.features if each.name not in NEEDED))
    plain.write(tmp_path / "schema.json")
    profile = TableProfile()
    profile.update(pl.DataFrame({name: BASELINE[name] for name in ("plain", "kind")}))
    write_baseline(profile, tmp_path, schema=tmp_path)
    assert READING not in json.loads((tmp_path / "constraints.json").read_text())
    assert read(tmp_path / "statistics.json", tmp_path / "constraints.json").schema is None


def test_the_projects_words_are_missing_for_the_monitor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsysbinary: Any
) -> None:
    """Protects every kind of column, in a process of its own too."""
    reading = Reading(words=("-999", "not asked"))
    features = tuple(replace(each, reading=reading) for each in SCHEMA.features)
    task = Task(
        tuple(each.name for each in features),
        {},
        Window(),
        Schema(replace(SCHEMA.target, reading=reading), features),
    )
    for kind, body in (
        ("CSV", ",".join(["-999"] * len(features))),
        ("JSON", json.dumps(([-999, "not asked"] * len(features))[: len(features)])),
    ):
        (tmp_path / f"{kind}.jsonl").write_bytes(lines([record(body, kind, f"text/{kind}".lower())]))
    shards = Shard(tmp_path / "CSV.jsonl", 0, None), Shard(tmp_path / "JSON.jsonl", 0, None)
    profiled = worker.profile(shards, task).profile
    assert [(column.present, column.missing) for column in profiled.columns.values()] == [(0, 2)] * len(
        features
    )
    line = io.TextIOWrapper(io.BytesIO(f"{task.to_json(shards)}\n".encode()))
    monkeypatch.setattr(sys, "stdin", line)
    monkeypatch.setattr("select.select", lambda *_: ([], [], []))
    worker.main()
    columns = json.loads(capsysbinary.readouterr().out)["columns"]
    assert [(column["text"], column["missing"]) for column in columns] == [(0, 2)] * len(features)


@pytest.mark.parametrize("name", ["a;b", "sep=;", "x"])
def test_what_prepare_wrote_is_read_with_commas(name: str, tmp_path: Path) -> None:
    """Protects a single column from being divided by what its name and its texts hold."""
    table = pl.DataFrame({name: ["1;2", "3;4"]})
    table.write_csv(tmp_path / "baseline.csv")
    found = [*batches(tmp_path, header=True, delimiter=WRITTEN)]
    assert [batch.to_dict(as_series=False) for batch in found] == [table.to_dict(as_series=False)]


def test_a_baseline_of_prepare_is_read_with_commas(base: Path) -> None:
    """Protects the command, which knows prepare's tables by the schema beside them."""
    folder = base / "processing" / "input"
    pl.DataFrame({"a;b": ["1;2", "3;4"] * 50}).write_csv(folder / "baseline_dataset_input" / "baseline.csv")
    main()
    statistics = json.loads((base / "processing" / "baseline" / "statistics.json").read_text())
    assert [each["name"] for each in statistics["features"]] == ["a;b"]


def test_later_ids_neither_drift_nor_violate(tmp_path: Path) -> None:
    """Protects from alarms for columns that the training left out and that callers still send by name."""
    chance = random.Random(3)
    (tmp_path / "in").mkdir()
    rows = [(n, f"C{n:05}", n + 1, chance.gauss(0, 1), chance.gauss(0, 1)) for n in range(1200)]
    names = ["Unnamed: 0", "code", "loan_id", "x", "y"]
    pl.DataFrame(rows[:600], schema=names, orient="row").write_csv(tmp_path / "in" / "a.csv")
    prepare(Settings("y"), tmp_path / "in", tmp_path)
    profile = TableProfile()
    for batch in batches(tmp_path / "baseline", header=True, delimiter=WRITTEN):
        profile.update(batch)
    write_baseline(profile, tmp_path, schema=tmp_path / "schema")
    baseline = read(tmp_path / "statistics.json", tmp_path / "constraints.json")
    current = PartialProfile()
    requests = RequestRows(current.profile, baseline.names, current.counts, readers(baseline.schema))
    sent = [dict(zip(names[:4], row, strict=False)) for row in rows[600:]]
    requests.collect(
        (f"e{n}", record(json.dumps(row), "JSON", "application/json")["captureData"], {})
        for n, row in enumerate(sent)
    )
    requests.flush()
    current.profile.finalize()
    comparison = compare(current, baseline, 100)
    assert (comparison.violations, [*comparison.drift]) == ([], ["x"])
    current.profile.update_column("other", pl.Series(["1"] * 600))
    (violation,) = compare(current, baseline, 100).violations
    assert violation.description.endswith("Extra: other.")
