"""The command by Model Monitor's contract: from environment variables to the files that others read."""

import gzip
import json
import os
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from container.monitor import main, worker_pool
from container.runtime.errors import UserError
from tests.container.monitor.captured import baseline_of, lines, record

PROJECT = Path(__file__).parents[3]
Run = Callable[..., dict[str, Any]]
SIDES = ("endpointInput", "endpointOutput")
WINDOW = {"start_time": "2026-01-31T14: 00: 00Z", "end_time": "2026-01-31T15: 00: 00Z"}


def rows(count: int, shift: float = 0.0, seed: int = 1) -> list[tuple[str, str]]:
    chance = random.Random(seed)
    return [(repr(chance.gauss(shift, 1)), chance.choice("ab")) for _ in range(count)]


def capture(table: list[tuple[str, str]]) -> bytes:
    return lines([record(",".join(row), event=f"e{n}", answer="0.5") for n, row in enumerate(table)])


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """Write a baseline of 2,000 rows where the job has its input."""
    columns = list(zip(*rows(2000, seed=0), strict=True))
    folder = tmp_path / "processing" / "baseline"
    folder.mkdir(parents=True)
    baseline_of({"x": list(columns[0]), "c": list(columns[1])}, folder)
    (tmp_path / "processing" / "endpointdata").mkdir()
    return tmp_path


@pytest.fixture
def environment(base: Path) -> dict[str, str]:
    """Return the variables that Model Monitor sets, with the blanks in its times."""
    return WINDOW | {
        "SAGEMAKER_BASE_DIR": str(base),
        "dataset_source": "/opt/ml/processing/endpointdata",
        "dataset_format": json.dumps({"sagemakerCaptureJson": {"captureIndexNames": list(SIDES)}}),
        "output_path": "/opt/ml/processing/resultdata",
        "baseline_statistics": "/opt/ml/processing/baseline/statistics.json",
        "baseline_constraints": "/opt/ml/processing/baseline/constraints.json",
        "publish_cloudwatch_metrics": "Enabled",
        "sagemaker_endpoint_name": "prd-7",
        "sagemaker_monitoring_schedule_name": "prd",
    }


@pytest.fixture
def run(base: Path, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Write captured requests, run the command and return its files."""

    def run(content: bytes | None, **changes: str) -> dict[str, Any]:
        for name, value in (environment | changes).items():
            monkeypatch.setenv(name, value)
        if content is not None:
            (base / "processing" / "endpointdata" / "a.jsonl").write_bytes(content)
        main()
        return left(base)

    return run


def left(base: Path) -> dict[str, Any]:
    found: dict[str, Any] = {"message": (base / "output" / "message").read_text()}
    for path in (base / "processing" / "resultdata").rglob("*.json"):
        found[path.stem] = json.loads(path.read_text())
    handed = base / "output" / "metrics" / "cloudwatch" / "cloudwatch_metrics.jsonl"
    found["handed"] = (
        [json.loads(line) for line in handed.read_text().splitlines()] if handed.exists() else []
    )
    return found


def values(metrics: list[dict[str, Any]]) -> dict[str, Any]:
    return {each["MetricName"]: each.get("Value", each.get("StatisticValues")) for each in metrics}


def test_requests_like_the_baseline_violate_nothing(run: Run) -> None:
    """The outcome is in every file: for Model Monitor, for a state machine and for CloudWatch."""
    found = run(capture(rows(1000)))
    assert found["constraint_violations"] == {"violations": []}
    assert found["message"] == ("Completed: Job completed successfully with no violations (rows: 1000).\n")
    assert found["summary"]["status"] == "Completed"
    assert found["summary"]["metrics"] == ["metrics/0.json"]
    assert found["statistics"]["dataset"] == {"item_count": 1000}
    assert [each["name"] for each in found["statistics"]["features"]] == ["x", "c"]
    published = values(found["0"])
    assert set(published) == {
        "feature_non_null_x",
        "feature_data_x",
        "feature_baseline_drift_x",
        "feature_non_null_c",
        "feature_baseline_drift_c",
        "unusable_records_share",
    }
    assert published["unusable_records_share"] == 0.0
    assert published["feature_baseline_drift_x"] < 0.1
    assert values(found["handed"]) == published
    assert {each["Timestamp"] for each in found["handed"]} == {"2026-01-31T15:00:00Z"}
    assert not any("Timestamp" in each for each in found["0"])


def test_drift_is_a_violation_and_a_metric_above_the_threshold(run: Run) -> None:
    """An alarm reads the metric, a person the violation."""
    found = run(capture(rows(1000, shift=1.0)))
    (violation,) = found["constraint_violations"]["violations"]
    assert (violation["feature_name"], violation["constraint_check_type"]) == ("x", "baseline_drift_check")
    assert found["message"].startswith(
        "CompletedWithViolations: Job completed successfully with 1 violation ("
    )
    assert found["summary"]["violations"] == [violation]
    distance = values(found["0"])["feature_baseline_drift_x"]
    assert violation["description"] == f"Baseline drift distance: {distance} exceeds threshold: 0.1"


def test_what_was_left_out_is_reported(run: Run) -> None:
    """Golden requests, broken lines, images and requests of another hour are counted."""
    others = [
        record("9,a", inference="golden-0001"),
        record("9,a", time="2026-01-31T13:59:59Z"),
        record("iVBO", encoding="BASE64", kind="image/png"),
        record("9"),
    ]
    found = run(capture(rows(1000)) + lines(others) + b'{"captureData":\n')
    assert found["summary"]["counts"] == {
        "lines": 1005,
        "broken": 1,
        "damaged": 0,
        "other_files": 0,
        "hidden_files": 0,
        "artificial": 1,
        "outside": 1,
        "without": 0,
        "unreadable": 1,
        "narrow": 1,
        "unlabelled": 0,
        "mismatched": 0,
        "broken_ground_truth": 0,
        "relabelled": 0,
        "unmatched": 0,
    }
    assert values(found["0"])["unusable_records_share"] == pytest.approx(3 / 1003)
    assert found["message"] == (
        "Completed: Job completed successfully with no violations (rows: 1000; broken lines: 1; golden or "
        "synthetic requests: 1; requests outside the window: 1; requests that are not a table: 1; rows "
        "with too few values: 1).\n"
    )


@pytest.mark.parametrize("content", [None, b"", capture(rows(499, shift=9.0))])
def test_too_few_rows_are_reported_and_alarm_nobody(content: bytes | None, run: Run) -> None:
    """There is neither a violation nor a metric, however far they are from the baseline."""
    found = run(content)
    number = 499 if content else 0
    assert found["message"].startswith(
        f"Completed: Nothing was compared: {number} rows are too few, at least 500 are needed ("
    )
    assert found["constraint_violations"] == {"violations": []}
    assert not found["summary"]["compared"]
    assert values(found["handed"]) == ({"unusable_records_share": 0.0} if content else {})
    assert found["statistics"]["dataset"] == {"item_count": number}


BROKEN = b'{"captureData":\n'
NARROW, IMAGE, EMPTY = (
    record("9"),
    record("iVBO", encoding="BASE64", kind="image/png"),
    {"captureData": {}, "eventMetadata": {"eventId": "e", "inferenceTime": "2026-01-31T14:05:06Z"}},
)


@pytest.mark.parametrize("readable", [0, 900])
@pytest.mark.parametrize("lost", [BROKEN, lines([NARROW]), lines([IMAGE]), lines([EMPTY])])
def test_captured_data_that_cannot_be_read_is_a_violation(lost: bytes, readable: int, run: Run) -> None:
    """It is one also when too few rows are left, or none."""
    found = run(capture(rows(readable)) + lost * 100)
    violation = found["constraint_violations"]["violations"][0]
    assert violation["constraint_check_type"] == "unusable_records_check"
    share = 100 / (100 + readable)
    assert violation["description"].startswith(
        f"{100 * share:.4g}% of the captured data can't be used, at most 5%"
    )
    assert (
        values(found["0"])["unusable_records_share"]
        == values(found["handed"])["unusable_records_share"]
        == share
    )
    assert found["summary"]["status"] == "CompletedWithViolations"
    # The cause comes before the number of rows that it leaves.
    cause = f"Nothing was compared: {violation['description']}; 0 rows are too few, at least 500 are needed ("
    verdict = "Job completed successfully with 1 violation (" if readable else cause
    assert found["message"].startswith(f"CompletedWithViolations: {verdict}")


def test_the_share_that_may_be_unusable_is_the_owners_to_choose(run: Run) -> None:
    """A share that equals the limit does not break it."""
    content = capture(rows(900)) + BROKEN * 100
    assert run(content, max_unusable="0.1")["summary"]["violation_count"] == 0
    assert run(content, max_unusable="0.0999")["summary"]["violation_count"] == 1


def test_files_that_cannot_be_read_count(base: Path, run: Run) -> None:
    """A window in which every file is damaged or of another kind is not one without violations."""
    folder = base / "processing" / "endpointdata"
    (folder / "a.jsonl.gz").write_bytes(gzip.compress(capture(rows(9)))[:20])
    found = run(None)
    assert values(found["0"])["unusable_records_share"] == 1.0
    assert "damaged compressed files: 1" in found["constraint_violations"]["violations"][0]["description"]
    (folder / "a.jsonl.gz").rename(folder / "a.txt")
    found = run(None)
    assert "files that are neither .jsonl nor .gz: 1" in found["message"]
    (folder / "a.txt").rename(folder / "_SUCCESS")
    assert run(None)["summary"]["violation_count"] == 0


def test_columns_with_too_few_values_are_named(run: Run) -> None:
    """Their drift is not known, which the outcome does not hide."""
    table = [(x if n < 400 else "", c) for n, (x, c) in enumerate(rows(1000))]
    found = run(capture(table))
    assert found["summary"]["not_compared"] == ["x"]
    assert "not compared: x)" in found["message"]
    assert found["summary"]["violations"][0]["constraint_check_type"] == "completeness_check"


def test_merged_records_are_read(run: Run) -> None:
    """As the value of the format's name too, which is then the dataset's."""
    merged = [
        json.loads(line) | {"groundTruthData": {"data": "1", "encoding": "CSV"}}
        for line in capture(rows(600)).splitlines()
    ]
    wrapped = lines([{"sagemakerMergeJson": each} for each in merged[:300]])
    found = run(wrapped + lines(merged[300:]), dataset_format='{"sagemakerMergeJson": {}}')
    assert (found["summary"]["rows"], found["summary"]["violation_count"]) == (600, 0)


def test_minimum_is_the_owners_to_choose(run: Run) -> None:
    """A model with few requests may need a lower one."""
    assert run(capture(rows(60, shift=3.0)), minimum_records="50")["summary"]["violation_count"] == 1


def test_tables_are_compared_as_well(base: Path, run: Run) -> None:
    """The input of a batch is read as AWS's analyzer reads it."""
    text = "".join(f"{x},{c}\n" for x, c in rows(800, shift=2.0))
    (base / "processing" / "endpointdata" / "batch.csv").write_text(f"x,c\n{text}")
    found = run(None, dataset_format='{"csv": {"header": true}}')
    assert [each["feature_name"] for each in found["constraint_violations"]["violations"]] == ["x"]


def host(base: Path, name: str, hosts: list[str]) -> None:
    (base / "config").mkdir(exist_ok=True)
    (base / "config" / "resourceconfig.json").write_text(json.dumps({"current_host": name, "hosts": hosts}))


@pytest.mark.parametrize("shift", [0.0, 1.0])
def test_instances_share_the_work_and_a_second_job_merges_it(shift: float, base: Path, run: Run) -> None:
    """The result is that of one instance; one of the three has no files."""
    table, hosts = rows(1500, shift), ["algo-1", "algo-2", "algo-3"]
    output = base / "processing" / "resultdata"
    for name, part in zip(hosts, (table[:900], table[900:], []), strict=True):
        host(base, name, hosts)
        found = run(capture(part))
        assert (
            found["message"] == f"Completed: {name} has profiled {len(part)} rows, which are to be merged.\n"
        )
    assert sorted(path.name for path in output.rglob("*.json")) == [f"{name}.json" for name in hosts]
    output.rename(base / "processing" / "partials")
    host(base, "algo-1", ["algo-1"])
    merged = run(None, partial_source="/opt/ml/processing/partials")
    alone = run(capture(table))
    for name in ("constraint_violations", "summary"):
        assert drop_distances(merged[name]) == drop_distances(alone[name])
    assert values(merged["0"]).keys() == values(alone["0"]).keys()
    assert merged["message"] == alone["message"]


def drop_distances(document: dict[str, Any]) -> dict[str, Any]:
    """Leave out the distances, which differ in their last digits when a sketch keeps a sample."""
    for violation in document["violations"]:
        violation.pop("description")
    return document


def test_baselines_are_shared_too(
    base: Path, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each instance has some of the files, or none."""
    data = base / "processing" / "endpointdata"
    kept = {name: environment[name] for name in ("SAGEMAKER_BASE_DIR", "dataset_source", "output_path")}
    for name, value in kept.items():
        monkeypatch.setenv(name, value)
    for name, text in (("algo-1", "x\n1\n2\n"), ("algo-2", "x\n3\n"), ("algo-3", None)):
        (data / "part.csv").unlink(missing_ok=True)
        if text:
            (data / "part.csv").write_text(text)
        host(base, name, ["algo-1", "algo-2", "algo-3"])
        main()
    host(base, "algo-1", ["algo-1"])
    monkeypatch.setenv("partial_source", environment["output_path"])
    main()
    (feature,) = left(base)["statistics"]["features"]
    assert feature["numerical_statistics"]["sum"] == 6.0


def test_merging_nothing_is_refused(run: Run) -> None:
    """The partial results were written elsewhere."""
    with pytest.raises(UserError, match="has no partial result: each instance leaves one"):
        run(None, partial_source="/opt/ml/processing/nowhere")


def test_processes_share_the_work(base: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Large files are cut, compressed files are not, and the counts add up."""
    monkeypatch.setattr(worker_pool, "_BYTES_PER_WORKER", 10_000)
    monkeypatch.setattr(worker_pool, "_processors", lambda: 3)
    monkeypatch.setattr("container.monitor.capture._SHARD_BYTES", 100_000)
    table = rows(3000)
    (base / "processing" / "endpointdata" / "b.jsonl.gz").write_bytes(
        gzip.compress(capture(table[2000:]) + b"x\n")
    )
    found = run(capture(table[:2000]) + b"{\n")
    assert found["statistics"]["dataset"] == {"item_count": 3000}
    assert found["summary"]["counts"]["broken"] == 2
    numbers = found["statistics"]["features"][0]["numerical_statistics"]
    assert numbers["sum"] == pytest.approx(sum(float(x) for x, _ in table), rel=1e-12)


def test_process_that_ends_badly_ends_the_job(base: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """A result without its rows would be wrong without a sign of it."""
    monkeypatch.setattr(worker_pool, "_BYTES_PER_WORKER", 1000)
    monkeypatch.setattr(worker_pool, "_processors", lambda: 2)
    monkeypatch.setattr(worker_pool, "_WORKER_MODULE", "container.monitor.nothing")
    (base / "processing" / "endpointdata" / "b.jsonl").write_bytes(capture(rows(10)))
    with pytest.raises(UserError, match="a process of the monitor ended with 1"):
        run(capture(rows(1000)))


def test_worker_ends_with_its_parent(base: Path) -> None:
    """A parent that was killed leaves nothing running."""
    (base / "a.jsonl").write_bytes(capture(rows(10)))
    task = {
        "names": ["x", "c"],
        "known_texts": {},
        "window": {"start": "", "end": ""},
        "shards": [[str(base / "a.jsonl"), 0, None]],
    }
    ended = subprocess.run(
        [sys.executable, "-m", "container.monitor.worker"],
        cwd=PROJECT,
        input=json.dumps(task).encode() + b"\n",
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert ended.returncode == 1
    assert b"has gone" in ended.stderr
    assert ended.stdout == b""


def run_process(environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run the command as SageMaker does."""
    return subprocess.run(
        [sys.executable, "-m", "container", "monitor"],
        cwd=PROJECT,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )


def test_command_is_the_containers(base: Path, environment: dict[str, str]) -> None:
    """SageMaker starts a process, and reads its exit code and its files."""
    (base / "processing" / "endpointdata" / "a.jsonl").write_bytes(capture(rows(1000, shift=1.0)))
    done = run_process(environment)
    assert done.stdout == f"monitor: {left(base)['message']}"
    assert left(base)["summary"]["status"] == "CompletedWithViolations"


def test_its_log_has_nothing_but_the_outcome(tmp_path: Path, environment: dict[str, str]) -> None:
    """The library of sketches lists each one that is still there when the process ends."""
    numbers = [str(number) for number in range(1000)]
    baseline_of({"x": numbers}, tmp_path / "processing" / "baseline")
    (tmp_path / "processing" / "endpointdata" / "a.jsonl").write_bytes(
        lines([record(number, event=number, answer="0.5") for number in numbers])
    )
    done = run_process(environment)
    assert done.stderr == ""


def test_processes_start_before_libraries_are_imported() -> None:
    """Protects the setting of Polars' threads, which it reads at its import, and an early start."""
    code = "import sys, container.monitor; sys.exit(not {'numpy', 'polars'}.isdisjoint(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], cwd=PROJECT, check=False).returncode == 0


def test_data_is_compared_without_scikit_learn() -> None:
    """Protects a comparison of data from the second that scikit-learn's import takes."""
    code = "import sys, container.monitor.command; sys.exit('sklearn' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=PROJECT, check=False).returncode == 0
