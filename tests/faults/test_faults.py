"""Faults on the local cloud, with 500 rows: each is reported and cleaned up, and the next run succeeds."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.harness import Rig, until, write_table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = pytest.mark.e2e
TABLES = {"table.csv", "other.csv"}
# A new model is one file; this one runs a line of code before it is imported.
MODEL = """
from container.models import linear_model

Hyperparameters = linear_model.Hyperparameters
LOADED = linear_model.LOADED


def create(schema, hyperparameters, seed):
    {line}
    return linear_model.create(schema, hyperparameters, seed)
"""


@pytest.fixture
def rig(bake: Callable[..., Path], environment_of: Callable[[Path], Path]) -> Iterator[Rig]:
    root = bake(project="faults")
    made = Rig(root, environment_of(root) / "bin" / "python")
    write_table(made.data)
    yield made
    made.local("down", "--delete")
    until(lambda: not made.processes())


def test_a_crashing_training_is_reported_with_its_reason_and_log(rig: Rig) -> None:
    rig.write_model("crashing", MODEL.format(line='raise ValueError("the loss is not finite")'))
    done = rig.run()
    assert done.returncode == 1
    assert "the loss is not finite" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr
    failed = next(stage for stage in rig.report()["stages"] if "-train-" in stage["name"])
    assert failed["status"] == "Failed"
    assert "the loss is not finite" in failed["reason"]
    assert "ValueError" in (rig.root / failed["log"]).read_text(encoding="utf-8")
    rig.set("model", "name", '"linear_model"')
    assert rig.run().returncode == 0


def test_a_hanging_training_is_stopped_at_its_time_limit(rig: Rig) -> None:
    rig.write_model("hanging", MODEL.format(line="import time; time.sleep(600)"))
    rig.set("stages.train", "max_runtime_seconds", "3")
    done = rig.run()
    assert done.returncode == 1
    failed = next(stage for stage in rig.report()["stages"] if "-train-" in stage["name"])
    assert failed["status"] == "Stopped"
    assert rig.pid_of("train") is None


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("a,b,kind,y\n1,2,red,3\n1,2,red,3,4\n", ["table.csv", "3"]),
        ("a,b,kind\n1,2,red\n", ["table.csv", "y"]),
    ],
    ids=["ragged", "no target"],
)
def test_a_corrupt_file_is_reported_with_its_row(rig: Rig, content: str, words: list[str]) -> None:
    rig.data.write_text(content, encoding="utf-8")
    done = rig.run()
    assert done.returncode == 1
    failed = next(stage for stage in rig.report()["stages"] if "-prep-" in stage["name"])
    assert all(word in failed["reason"] for word in words)


def test_an_empty_file_is_refused(rig: Rig) -> None:
    rig.data.write_text("", encoding="utf-8")
    done = rig.run()
    assert done.returncode == 1
    failed = next(stage for stage in rig.report()["stages"] if "-prep-" in stage["name"])
    assert "no .csv, .csv.gz or .parquet file" in failed["reason"]
    assert "(table.csv: it is empty)" in failed["reason"]


def test_a_killed_cloud_ends_its_jobs_and_the_next_run_works(rig: Rig) -> None:
    rig.write_model("slow", MODEL.format(line="import time; time.sleep(30)"))
    runner = rig.begin("--approve")
    until(lambda: rig.pid_of("train"))
    os.kill(rig.cloud_pid(), signal.SIGKILL)
    output, _ = runner.communicate(timeout=60)
    assert runner.returncode == 1
    assert "Traceback" not in output
    assert "The local cloud ended in the middle of the run" in output
    # The last stage depends on the progress of the runner: the job, or only its action.
    cut_off = [stage for stage in rig.report()["stages"] if stage["reason"] == "the local cloud ended"]
    assert cut_off
    assert {stage["status"] for stage in cut_off} == {"Failed"}
    until(lambda: not rig.processes())
    rig.set("model", "name", '"linear_model"')
    assert rig.run().returncode == 0


def test_the_next_run_uses_the_cloud_of_a_killed_runner(rig: Rig) -> None:
    """The same data are accepted at once, and other data after the remaining execution has read its own."""
    other = rig.root / "data" / "other.csv"
    write_table(other, seed=8)
    runner = rig.begin("--approve")
    until(lambda: rig.pid_of("prepare"))
    refused = rig.run("--data", str(other))
    assert (refused.returncode, "Another run is under way here" in refused.stderr) == (1, True)
    runner.kill()
    runner.communicate()
    refused = rig.run("--data", str(other))
    assert (refused.returncode, "may still read the data" in refused.stderr) == (1, True)
    before = rig.cloud_pid()
    assert rig.run().returncode == 0
    assert rig.cloud_pid() == before


def test_two_runs_at_once_do_not_exchange_their_data(rig: Rig) -> None:
    """One run is refused before it changes anything, and the other is trained on its own file."""
    other = rig.root / "data" / "other.csv"
    write_table(other, seed=8)
    runners = {name: rig.begin("--approve", "--data", str(rig.data.parent / name)) for name in TABLES}
    ended = {
        name: (runner.communicate(timeout=300)[0], runner.returncode) for name, runner in runners.items()
    }
    (succeeded,) = [name for name, (_, code) in ended.items() if code == 0]
    (refused,) = TABLES - {succeeded}
    assert "Another run is under way here: 'run --data" in ended[refused][0]
    s3, bucket = rig.cloud().client("s3"), rig.bucket()
    keys = [each["Key"] for each in s3.list_objects_v2(Bucket=bucket, Prefix="runs/")["Contents"]]
    (manifest,) = [key for key in keys if key.endswith("/manifest.json")]
    assert json.loads(s3.get_object(Bucket=bucket, Key=manifest)["Body"].read())[1:] == [succeeded]


def test_a_killed_job_fails_with_its_signal_and_the_next_run_works(rig: Rig) -> None:
    rig.write_model("slow", MODEL.format(line="import time; time.sleep(30)"))
    runner = rig.begin("--approve")
    os.kill(until(lambda: rig.pid_of("train")), signal.SIGKILL)
    output, _ = runner.communicate(timeout=120)
    assert runner.returncode == 1, output
    rig.set("model", "name", '"linear_model"')
    assert rig.run().returncode == 0


def test_a_killed_endpoint_is_restarted(rig: Rig) -> None:
    assert rig.run().returncode == 0
    os.kill(until(lambda: rig.pid_of("serve")), signal.SIGKILL)
    until(lambda: rig.local("infer", str(rig.data)).returncode == 0)


def test_every_way_to_predict_gives_the_same_bits(rig: Rig, tmp_path: Path) -> None:
    """API, endpoint and saved model give equal predictions."""
    assert rig.run().returncode == 0
    artifact = tmp_path / "model.tar.gz"
    artifact.write_bytes(download_model(rig))
    through_api = rig.local("infer", str(rig.data))
    straight = rig.local("infer", str(rig.data), "--method", "direct")
    saved = rig.local("infer", str(rig.data), "--model-artifact", str(artifact))
    assert through_api.returncode == 0, through_api.stderr
    assert through_api.stdout.count("\n") == 501
    assert through_api.stdout == straight.stdout == saved.stdout


def download_model(rig: Rig) -> bytes:
    """Return the model archive of the dev endpoint, with the project's own modules."""
    program = """
import sys
from pathlib import Path
from delivery import stacks
import localcloud
from local.project import find_project

project = find_project()
cloud = localcloud.find(project.cloud)
dev = stacks.find(cloud, project.stack("deploy-dev"))
served = {each["ParameterKey"]: each["ParameterValue"] for each in dev["Parameters"]}
bucket, _, key = served["ModelDataUrl"].removeprefix("s3://").partition("/")
sys.stdout.buffer.write(cloud.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read())
"""
    done = subprocess.run([str(rig.python), "-c", program], cwd=rig.root, check=True, capture_output=True)
    return done.stdout
