"""The speed of the monitor on a million captured requests and a baseline, beside pandas and evidently.

All engines read the same generated file of JSON lines, each in a process of its own that is timed as a whole.
Rounds alternate, so that a busy machine slows all alike. Writes build/bench.json.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import psutil
from rich.console import Console
from rich.table import Table

from benchmarks.results import ROUNDS, record

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parent.parent
PRODUCT = ROOT / "<<cookiecutter.project>>"
OTHERS = ROOT / "build" / "venvs" / "drift" / "bin" / "python"
RECORDS = int(os.environ.get("RECORDS", "1000000"))
LEARNED = 13_000
CHUNK = 50_000
MEGABYTE = 1_000_000
NAMES = ("income", "age", "rooms", "bedrooms", "population", "occupants", "latitude", "longitude")
POLL_SECONDS = 0.1  # reading the memory takes some milliseconds of a processor


@dataclass(frozen=True)
class Run:
    """Seconds and peak megabytes of a process and its children."""

    seconds: float
    megabytes: float


@dataclass(frozen=True)
class Engine:
    """A program that reads the file, with its measured rounds."""

    name: str
    records: int
    runs: list[Run]

    @property
    def rate(self) -> float:
        """Records a second in the median round."""
        return self.records / statistics.median(run.seconds for run in self.runs)

    @property
    def peak(self) -> float:
        """The greatest number of megabytes of all rounds."""
        return max(run.megabytes for run in self.runs)


def rows(count: int, seed: int) -> list[list[float]]:
    """Draw rows like those of a table of houses: skewed numbers, whole numbers, and coordinates."""
    chance = np.random.default_rng(seed)
    columns = [
        chance.lognormal(1.2, 0.5, count),
        chance.integers(1, 53, count),
        chance.lognormal(1.6, 0.3, count),
        chance.normal(1.1, 0.1, count),
        chance.integers(3, 4000, count),
        chance.lognormal(1.0, 0.3, count),
        chance.normal(35.6, 2.1, count),
        chance.normal(-119.6, 2.0, count),
    ]
    return [list(row) for row in zip(*(column.tolist() for column in columns), strict=True)]


def write_baseline(path: Path) -> None:
    """Write the table that later rows are compared with."""
    lines = [",".join(NAMES), *(",".join(map(repr, row)) for row in rows(LEARNED, 0))]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def write_capture(path: Path, *, named: bool) -> None:
    """Write captured requests of one row each, in CSV or in JSON by name."""
    with path.open("w", encoding="utf-8") as file:
        for start in range(0, RECORDS, CHUNK):
            file.writelines(records(start, min(CHUNK, RECORDS - start), named=named))


def records(start: int, count: int, *, named: bool) -> Iterator[str]:
    """Write records in the format of SageMaker's data capture."""
    kind, encoding = ("application/json", "JSON") if named else ("text/csv", "CSV")
    for number, row in enumerate(rows(count, start + 1), start):
        body = ",".join(map(repr, row))
        if named:
            body = json.dumps({"instances": [dict(zip(NAMES, row, strict=True))]})
        yield (
            f'{{"captureData":{{"endpointInput":{{"observedContentType":"{kind}","mode":"INPUT",'
            f'"data":{json.dumps(body)},"encoding":"{encoding}"}},"endpointOutput":'
            f'{{"observedContentType":"text/csv; charset=utf-8","mode":"OUTPUT","data":"{row[0] / 3!r}",'
            f'"encoding":"CSV"}}}},'
            f'"eventMetadata":{{"eventId":"{number:08x}-0000-4000-8000-000000000000",'
            f'"inferenceTime":"2026-01-31T14:{number // 60 % 60:02}:{number % 60:02}Z"}},'
            '"eventVersion":"0"}\n'
        )


def run(command: list[str | Path], environment: dict[str, str] | None = None) -> Run:
    """Run a process, and measure its time and memory.

    Raises:
        RuntimeError: the process exits with an error.
    """
    start = time.perf_counter()
    with subprocess.Popen(
        command, cwd=PRODUCT, env=os.environ | (environment or {}), stdout=subprocess.DEVNULL
    ) as process:
        watch = Watch(process.pid)
        watch.start()
        code = process.wait()
    seconds = time.perf_counter() - start
    watch.join()
    if code:
        raise RuntimeError(f"{command[0]} ended with {code}")
    return Run(seconds, watch.peak / MEGABYTE)


class Watch(threading.Thread):
    """Record the peak memory of a process and its children until the process ends."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self.process = psutil.Process(pid)
        self.peak = 0

    def run(self) -> None:
        """Sum the resident memory, in which shared pages count more than once."""
        while self.process.is_running() and self.process.status() != psutil.STATUS_ZOMBIE:
            try:
                family = [self.process, *self.process.children(recursive=True)]
                self.peak = max(self.peak, sum(each.memory_info().rss for each in family))
            except psutil.NoSuchProcess:
                continue
            time.sleep(POLL_SECONDS)


def monitor(base: Path, source: Path, *, compare: bool) -> Run:
    """Run the container's command on the files of a job."""
    environment = {"SAGEMAKER_BASE_DIR": str(base), "dataset_source": str(source)}
    if compare:
        environment |= {
            "dataset_format": '{"sagemakerCaptureJson": {}}',
            "baseline_statistics": str(base / "baseline/statistics.json"),
            "baseline_constraints": str(base / "baseline/constraints.json"),
        }
    else:
        environment["output_path"] = str(base / "baseline")
    found = run([sys.executable, "-m", "container", "monitor"], environment)
    if compare:
        check(base)
    return found


def check(base: Path) -> None:
    """Check that the comparison was made, since a comparison that failed early would look fast.

    Raises:
        RuntimeError: the comparison is incomplete or has violations.
    """
    summary = json.loads((base / "processing/output/summary.json").read_text(encoding="utf-8"))
    if not summary["compared"] or summary["rows"] % RECORDS or summary["violations"]:
        raise RuntimeError(f"the comparison went wrong: {summary['message']}")


def measure(base: Path) -> list[Engine]:
    """Write the files, and measure the rounds of each engine."""
    table, csv, named, ten = (base / name for name in ("table", "csv", "named", "ten"))
    for folder in (table, csv, named, ten):
        folder.mkdir()
    write_baseline(table / "table.csv")
    write_capture(csv / "a.jsonl", named=False)
    write_capture(named / "a.jsonl", named=True)
    for number in range(10):
        (ten / f"{number}.jsonl").symlink_to(csv / "a.jsonl")
    monitor(base, table, compare=False)
    files: list[str | Path] = [table / "table.csv", csv / "a.jsonl"]
    here = ROOT / "benchmarks"
    beside = {name: [OTHERS, here / f"with_{name}.py", *files] for name in ("pandas", "evidently")}
    runs: dict[str, list[Run]] = {name: [] for name in ("csv", "named", *beside)}
    for _ in range(ROUNDS):
        runs["csv"].append(monitor(base, csv, compare=True))
        runs["named"].append(monitor(base, named, compare=True))
        runs["pandas"].append(run(beside["pandas"]))
    runs["evidently"].append(run(beside["evidently"]))
    return [
        Engine("the monitor, CSV", RECORDS, runs["csv"]),
        Engine("the monitor, JSON by name", RECORDS, runs["named"]),
        Engine("the monitor, CSV, ten times as many", 10 * RECORDS, [monitor(base, ten, compare=True)]),
        Engine("pandas, CSV", RECORDS, runs["pandas"]),
        Engine("evidently, CSV", RECORDS, runs["evidently"]),
    ]


def main() -> None:
    """Measure, print and write the results."""
    (ROOT / "build").mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="bench-drift-", dir=ROOT / "build") as folder:
        engines = measure(Path(folder))
    show(engines)
    found = [asdict(each) | {"rate": each.rate, "megabytes": each.peak} for each in engines]
    record(drift=found)


def show(engines: list[Engine]) -> None:
    """Print medians with their ranges."""
    table = Table("drift", "records", "s", "records/s", "peak MB")
    for each in engines:
        seconds = [run.seconds for run in each.runs]
        spread = f"{statistics.median(seconds):.2f} [{min(seconds):.2f}-{max(seconds):.2f}]"
        table.add_row(each.name, f"{each.records:,}", spread, f"{each.rate:,.0f}", f"{each.peak:,.0f}")
    Console().print(table)


if __name__ == "__main__":
    main()
