"""Protects users of an earlier release: cruft brings this one, which delivers over their stacks."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread
from typing import TYPE_CHECKING, Any

import pytest

from tests.canary.load import Load
from tests.canary.production import Production
from tests.harness import Rig, until, write_table
from tests.template.test_cruft import IDENTITY, commit, cruft

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).resolve().parents[2]
PRODUCT = ROOT / "<<cookiecutter.project>>"
RELEASE = "c3f4fc8e5cc0988072755dc9da1b1adbe4f18797"  # the release before this one
NAME = "update"
MODEL = '''"""A model of the user's own, as the earlier release shows how to write one."""

from container.errors import UserError
from container.models import FloatArray
from container.models.random_forest import Hyperparameters, RandomForest, create as create_forest


class Mine(RandomForest):
    """Refuse what has no rows."""

    def predict(self, features: FloatArray) -> FloatArray:
        if not len(features):
            raise UserError("no rows")
        return super().predict(features)


def create(schema, hyperparameters, seed):
    forest = create_forest(schema, hyperparameters, seed)
    return Mine(forest.estimator, schema)


LOADED = Mine
'''
EDIT = "\n# An edit of the user's.\n"


def git(folder: Path, *arguments: str) -> str:
    """Run git, and return its output."""
    done = subprocess.run(
        ["git", *IDENTITY, *arguments], cwd=folder, check=True, capture_output=True, text=True
    )
    return done.stdout


@pytest.fixture(scope="module")
def repository(tracked: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Clone the template with its history, and commit the working tree."""
    known = subprocess.run(["git", "cat-file", "-e", RELEASE], cwd=ROOT, capture_output=True, check=False)
    if known.returncode:
        pytest.skip(f"this clone lacks the history: {RELEASE} is missing")
    folder = tmp_path_factory.mktemp("repository") / "template"
    git(ROOT, "clone", "--quiet", str(ROOT), str(folder))
    for name in git(folder, "ls-files", "-z").split("\0")[:-1]:
        (folder / name).unlink()
    for name in tracked:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, folder / name)
    git(folder, "add", "--all", "--force")
    git(folder, "commit", "--quiet", "--allow-empty", "--message", "The working tree")
    return folder


@pytest.fixture(scope="module")
def edited(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """Make a project of the earlier release, with a user's edits of models and settings."""
    work = tmp_path_factory.mktemp("work")
    answers = json.dumps({"project": NAME})
    cruft(
        "create", str(repository), "--no-input", "--checkout", RELEASE, "--extra-context", answers, cwd=work
    )
    rig = Rig(work / NAME, Path(sys.executable))
    commit(rig.root, "Made")
    rig.write_model("mine", MODEL)
    forest = rig.root / "container" / "models" / "random_forest.py"
    forest.write_text(forest.read_text(encoding="utf-8") + EDIT, encoding="utf-8")
    rig.set("data", "target", '"y"')
    rig.set("gate", "metric", '"rmse"')
    rig.set("gate", "threshold", "100.0")
    rig.set("stages.train", "instance_type", '"ml.m5.2xlarge"')
    rig.set("gate", "margin", "0.0001")
    rig.set("stages.prepare", "instance_type", '"ml.m5.large"')
    rig.set("stages.prd", "max_capacity", "3")
    write_table(rig.data)
    commit(rig.root, "Mine")
    yield rig
    rig.local("down", "--delete")
    until(lambda: not rig.processes())


def deliver(rig: Rig, *, local: Path) -> None:
    """Deliver a project by the local commands in a folder, which need not be the project's own."""
    command = [sys.executable, "-P", "-m", "local", "run", "--data", str(rig.data), "--target", "y"]
    done = subprocess.run(
        [*command, "--rows", "5", "--approve", "--speed", "60"],
        cwd=rig.root,
        env=os.environ | {"PYTHONPATH": str(local)},
        capture_output=True,
        text=True,
        check=False,
        timeout=400,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@contextmanager
def watching(rig: Rig, parameter: str) -> Iterator[list[dict[str, Any]]]:
    """Collect the values that a parameter takes."""
    over = Event()
    values: list[dict[str, Any]] = []

    def watch() -> None:
        client = rig.cloud().client("ssm")
        while not over.wait(0.2):
            found = client.describe_parameters(
                ParameterFilters=[{"Key": "Name", "Option": "Equals", "Values": [parameter]}]
            )
            if not found["Parameters"]:
                continue
            value = json.loads(client.get_parameter(Name=parameter)["Parameter"]["Value"])
            if values[-1:] != [value]:
                values.append(value)

    thread = Thread(target=watch)
    thread.start()
    try:
        yield values
    finally:
        over.set()
        thread.join()


def test_a_project_of_the_earlier_release_is_updated_and_delivers(edited: Rig) -> None:
    """Edits, champion and watermark stay; the old endpoint answers until the canary has moved all traffic."""
    deliver(edited, local=PRODUCT)
    production = Production(edited)
    old = production.serving()
    watermark = production.client("ssm").get_parameter(Name=f"/{NAME}/data-watermark")["Parameter"]["Value"]

    cruft("update", "--skip-apply-ask", "--allow-untracked-files", cwd=edited.root)
    assert git(edited.root, "diff", "--name-only", "--diff-filter=U") == "", "unmerged files"
    forest = (edited.root / "container" / "models" / "random_forest.py").read_text(encoding="utf-8")
    assert forest.endswith(EDIT)
    assert (edited.root / "container" / "models" / "mine.py").read_text(encoding="utf-8") == MODEL
    assert "max_capacity = 3 " in (edited.root / "project.toml").read_text(encoding="utf-8")
    assert not (edited.root / "local" / "cloud").exists()
    commit(edited.root, "Updated")

    load = Load(production.url(), edited.cloud().key.id, users=2)
    with watching(edited, f"/{NAME}/production") as records, load:
        deliver(edited, local=edited.root)
    new = production.serving()
    assert new != old
    assert [each["PipelineExecutionId"] for each in records] == [old, new]
    assert records[0]["Watermark"] == json.loads(watermark)
    answers = sorted(load.answers, key=lambda one: one.began)
    assert {each.status for each in answers} == {200}
    versions = [each.version for each in answers]
    assert set(versions) == {old, new}
    assert versions[0] == old
    assert versions[-1] == new
