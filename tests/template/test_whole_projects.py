"""Whole projects, as a new user runs them: demos on real tables and images, and delivered networks."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.conftest import Bake

ROOT = Path(__file__).resolve().parents[2]
SHARED_DATA = Path(os.environ.get("SHARED_DATA") or ROOT.parent / "shared" / "data")

DEMO = Path("build", "demo", "demo")  # the project that `make demo` generates, in the template

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def clone(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Return a copy of the template in a folder with a space; check at the end that no process is left."""
    folder = tmp_path_factory.mktemp("demo") / "a template"
    shutil.copytree(template, folder)
    yield folder
    assert running(folder) == []


def running(folder: Path) -> list[str]:
    """List the processes that were started from the folder."""
    listing = subprocess.run(["ps", "-A", "-o", "args="], check=True, capture_output=True, text=True)
    return [line for line in listing.stdout.splitlines() if str(folder) in line]


def report(project: Path) -> dict[str, Any]:
    """Read a project's report, and validate it against its schema."""
    content: dict[str, Any] = json.loads((project / ".local" / "report.json").read_text(encoding="utf-8"))
    schema = json.loads((project / "local" / "report.schema.json").read_text(encoding="utf-8"))
    jsonschema.validate(content, schema)
    return content


@pytest.mark.parametrize(
    ("table", "target", "least_r2"),
    [("california_housing.csv", "MedHouseVal", 0.80), ("abalone.csv", "Rings", 0.40)],
)
def test_demo_closes_the_loop_on_real_data(
    clone: Path, outer_environment: dict[str, str], table: str, target: str, least_r2: float
) -> None:
    """The README's command delivers, detects drift, retrains, and moves the traffic by a canary."""
    command = ["make", "demo", f"DATA={SHARED_DATA / table}", f"TARGET={target}"]
    assert subprocess.run(command, cwd=clone, env=outer_environment, check=False).returncode == 0
    found = report(clone / DEMO)
    assert found["metrics"]["r2"] >= least_r2
    assert found["seconds"]["install"] is not None
    assert {stage["status"] for stage in found["stages"]} == {"Succeeded"}
    assert [(one["stage"], one["result"]) for one in found["deployments"]] == [
        ("dev", "Succeeded"),
        ("prd", "Succeeded"),
    ]
    shift = found["deployments"][1]["shift"]
    assert [sorted(step["weights"].values()) for step in shift] == [[0.1, 0.9], [0.0, 1.0]]
    assert found["loop"][0]["event"] == "drift"
    assert found["loop"][0]["reason"].startswith("NoNewData")
    (start,) = [one for one in found["loop"] if one["decision"] == "Started"]
    assert (start["event"], start["execution"]) == ("drift", found["deployments"][1]["version"])
    assert found["predictions"] >= 1
    assert running(clone) == []


@pytest.mark.parametrize(
    ("workload", "hyperparameters", "data", "metric", "least"),
    [
        ("tabular", "", ["california_housing.csv", "--target", "MedHouseVal"], "r2", 0.75),
        ("image", "epochs = 6", [], "accuracy", 0.9),
    ],
    ids=["a table", "scikit-learn's digits"],
)
def test_networks_are_delivered(  # noqa: PLR0913, PLR0917 - a case and its fixtures
    bake: Bake,
    environment_of: Callable[[Path], Path],
    outer_environment: dict[str, str],
    workload: str,
    hyperparameters: str,
    data: list[str],
    metric: str,
    least: float,
) -> None:
    """The first half of `make demo FRAMEWORK=tensorflow`, in the environment of test_own_checks.py."""
    project = bake(framework="tensorflow", workload=workload)
    settings = project / "project.toml"
    text = settings.read_text(encoding="utf-8")
    settings.write_text(text.replace("\n[gate]", f"{hyperparameters}\n\n[gate]"), encoding="utf-8")
    local = [str(environment_of(project) / "bin" / "python"), "-m", "local"]
    given = ["--data", str(SHARED_DATA / data[0]), *data[1:]] if data else []
    try:
        command = [*local, "run", "--approve", "--speed", "60", *given]
        assert subprocess.run(command, cwd=project, env=outer_environment, check=False).returncode == 0
    finally:
        subprocess.run([*local, "down", "--delete"], cwd=project, env=outer_environment, check=False)
    found = report(project)
    assert found["metrics"][metric] >= least
    assert {stage["status"] for stage in found["stages"]} == {"Succeeded"}
    assert found["deployments"][-1]["stage"] == "prd"
    assert running(project) == []


def test_demo_delivers_pictures(clone: Path, outer_environment: dict[str, str]) -> None:
    """The monitor detects darker images, and a model that was trained on them takes over in production."""
    command = ["make", "demo", "WORKLOAD=image", f"DATA={SHARED_DATA / 'bicycles_motorcycles.zip'}"]
    assert subprocess.run(command, cwd=clone, env=outer_environment, check=False).returncode == 0
    found = report(clone / DEMO)
    assert found["metrics"]["accuracy"] >= 0.8
    assert {stage["status"] for stage in found["stages"]} == {"Succeeded"}
    (start,) = [one for one in found["loop"] if one["decision"] == "Started"]
    assert start["execution"] == found["deployments"][-1]["version"]
    assert running(clone) == []


def test_demo_delivers_without_data_of_its_users(clone: Path, outer_environment: dict[str, str]) -> None:
    """A sample that scikit-learn loads or ships is delivered, and DRIFT=no ends the demo there."""
    command = ["make", "demo", "DRIFT=no"]
    assert subprocess.run(command, cwd=clone, env=outer_environment, check=False).returncode == 0
    found = report(clone / DEMO)
    assert {stage["status"] for stage in found["stages"]} == {"Succeeded"}
    assert found["loop"] == []
    assert running(clone) == []


def test_demo_reports_a_wrong_target(clone: Path, outer_environment: dict[str, str], tmp_path: Path) -> None:
    """A wrong target is found before anything starts, is said once, and leaves no process."""
    (tmp_path / "my table.csv").write_text("a,b\n" + "1,2\n3,4\n" * 30, encoding="utf-8")
    command = ["make", "-C", str(clone), "demo", "DATA=my table.csv", "TARGET=c"]
    environment = outer_environment | {"PWD": str(tmp_path)}
    result = subprocess.run(
        command, cwd=tmp_path, env=environment, check=False, capture_output=True, text=True
    )
    assert result.returncode != 0
    assert "Traceback" not in result.stdout + result.stderr
    said = " ".join((result.stdout + result.stderr).split())
    assert said.count("has no column 'c'") == 1, said
    assert not (clone / DEMO / ".local" / "logs" / "cloud.log").exists()
    assert running(clone) == []


def test_interrupted_demo_leaves_nothing_running(clone: Path, outer_environment: dict[str, str]) -> None:
    """The demo is cancelled in the middle of a training."""
    command = ["make", "demo", f"DATA={SHARED_DATA / 'abalone.csv'}", "TARGET=Rings"]
    jobs = clone / DEMO / ".local" / "logs" / "jobs"
    shutil.rmtree(jobs, ignore_errors=True)
    process = subprocess.Popen(command, cwd=clone, env=outer_environment, start_new_session=True)
    deadline = time.monotonic() + 120
    while not list(jobs.rglob("*.log")) and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.05)
    assert list(jobs.rglob("*.log")), "no job began"
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(60) != 0
    assert running(clone) == []
