"""One run of the whole project as rendered: templates, state machine and container fit together."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import jsonschema
import localcloud
import polars as pl
import pytest
from delivery import inventory
from PIL import Image

from local.project import read_project

ROOT = Path(__file__).resolve().parents[2]
LEFT_OUT = shutil.ignore_patterns(".local", ".venv", ".git", "build", "__pycache__", ".*_cache")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Copy the project, so that its own running cloud is not touched."""
    return Path(shutil.copytree(ROOT, tmp_path / "project", ignore=LEFT_OUT))


def run(project: Path, *arguments: str, **environment: str) -> str:
    """Run one of the project's commands, which must succeed, and return its output."""
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=project,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def local(project: Path, *arguments: str) -> str:
    """Run one of the project's local commands."""
    return run(project, "-m", "local", *arguments)


def teardown(project: Path, *arguments: str) -> list[str]:
    """Run the command that removes the project from its local cloud, and return its lines of output."""
    cloud = localcloud.find(read_project(project).cloud)
    assert cloud
    return run(project, "scripts/teardown", *arguments, **cloud.environment).splitlines()


def read(path: Path) -> dict[str, Any]:
    """Read a JSON object."""
    return dict(json.loads(path.read_text(encoding="utf-8")))


def setting(section: str, name: str) -> str:
    """Return a value of project.toml; in the template many values are still placeholders."""
    settings = tomllib.loads((ROOT / "project.toml").read_text(encoding="utf-8"))
    return str(settings[section][name])


@pytest.mark.smoke
@pytest.mark.skipif(setting("data", "workload") != "image", reason="its models look at tables")
def test_images_become_a_model_that_answers(project: Path) -> None:
    """Train on horizontal and vertical stripes, deploy, predict, and find it all in the report."""
    chance = random.Random(1)
    for number in range(200):
        path = project / "pictures" / ("level", "upright")[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        line = bytes(128 + 120 * (place // 4 % 2) - chance.randrange(120) for place in range(32))
        drawn = Image.frombytes("L", (32, 32), line * 32)
        (drawn if number % 2 else drawn.transpose(Image.Transpose.ROTATE_90)).save(path)
    try:
        local(project, "run", "--approve", "--data", "pictures", "--rows", "5")
        predicted = local(project, "infer", "pictures/level/0.png").splitlines()
        compared = json.loads(local(project, "infer", "--compare", "--json"))
        trained = json.loads(local(project, "train", "--data", "pictures", "--json"))
        local(project, "deploy", "--model-artifact", trained["artifact"], "--endpoint-name", "second")
        second = json.loads(local(project, "infer", "--endpoint-name", "second", "--json"))
    finally:
        local(project, "down")
    report = read(project / ".local" / "report.json")
    jsonschema.validate(report, read(project / "local" / "report.schema.json"))
    assert {stage["status"] for stage in report["stages"]} == {"Succeeded"}
    assert report["metrics"]["accuracy"] > 0.9
    evaluation = report["evaluation"]
    assert (evaluation["importances"], evaluation["learning_curve"]) == ({}, [])
    assert evaluation["classes"].keys() == {"level", "upright"}
    assert report["predictions"] >= 5
    assert predicted == ["prediction,file", "level,0.png"]
    assert compared["identical"]
    assert {"direct", "boto3", "api"} <= compared["latency_ms"].keys()
    assert compared["left_out"].keys() <= {"predictor"}
    assert compared["metrics"]["rows"] == len(compared["file"])
    assert trained["metrics"]["accuracy"] == second["metrics"]["accuracy"] > 0.9
    assert second["prediction"] == compared["prediction"]


@pytest.mark.smoke
@pytest.mark.skipif(setting("data", "workload") == "image", reason="its models look at pictures")
def test_data_becomes_a_model_that_answers(project: Path) -> None:
    """Train on a noisy line in files of both kinds, deploy, predict, report, and remove everything."""
    chance = random.Random(1)
    rows = [(chance.gauss(0, 1), chance.choice(["red", "green"])) for _ in range(500)]
    lines = [f"{x},{kind},{3 * x + (kind == 'red') + chance.gauss(0, 0.1)}" for x, kind in rows]
    (project / "table.csv").write_text("\n".join(["x,kind,y", *lines]), encoding="utf-8")
    table = pl.read_csv(project / "table.csv")
    (project / "parts").mkdir()
    table[:150].write_csv(project / "parts" / "a.csv")
    table[150:].write_parquet(project / "parts" / "b.parquet")
    try:
        local(project, "run", "--approve", "--data", "parts", "--target", "y", "--rows", "5")
        predictions = local(project, "infer", "table.csv").splitlines()
        removed, left = teardown(project, "--yes"), teardown(project, "--dry-run")
    finally:
        local(project, "down")
    report: dict[str, Any] = json.loads((project / ".local" / "report.json").read_text(encoding="utf-8"))
    jsonschema.validate(
        report, json.loads((project / "local" / "report.schema.json").read_text(encoding="utf-8"))
    )
    assert {stage["status"] for stage in report["stages"]} == {"Succeeded"}
    assert report["metrics"]["r2"] > 0.9
    assert list(report["evaluation"]["importances"]) == ["x", "kind"]
    counts = [point["rows"] for point in report["evaluation"]["learning_curve"]]
    assert counts == (
        [] if setting("model", "name") == "multilayer_perceptron" else [counts[-1] // 3, counts[-1]]
    )
    assert report["predictions"] >= 5
    assert predictions[0] == "label,prediction,difference"
    assert len(predictions) == 501
    gone = [line for line in removed if line.startswith("stack ") and line.endswith(": removed")]
    kinds = (*inventory.DELIVERED, "pipeline")
    assert all(line.endswith(f"-{kind}: removed") for line, kind in zip(gone, kinds, strict=True))
    (said,) = left
    assert said.startswith("There is nothing of ")
