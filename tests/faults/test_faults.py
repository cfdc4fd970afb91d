"""Faults on the local cloud, with 500 rows: each is reported and cleaned up, and the next run succeeds."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.harness import Rig, until, write_table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

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
        ("a,b,kind,Y\n1,2,red,1\n", ["table.csv", "no column 'y'", "did you mean 'Y'?"]),
        ("", ["table.csv", "empty"]),
    ],
    ids=["ragged", "no target", "empty"],
)
def test_a_corrupt_file_is_reported_with_its_row(rig: Rig, content: str, words: list[str]) -> None:
    """A wrong file is refused before anything starts, and is named once."""
    rig.data.write_text(content, encoding="utf-8")
    for command in (["run"], ["train"]):
        done = rig.local(*command, "--data", str(rig.data), "--target", "y")
        assert done.returncode == 1
        assert len(done.stderr.splitlines()) == 1
        assert all(word in done.stderr for word in words)
        assert rig.cloud() is None


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
    first = "    paths = ContainerPaths.current()\n    if environment"
    sleep = "    import time; time.sleep(15)\n"  # longer than the two commands below
    rig.put("container/prepare.py", first, sleep + first)
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
    """API, endpoint, SageMaker SDK and saved model give equal predictions, and a second endpoint does."""
    done = rig.run()
    assert done.returncode == 0
    artifact = tmp_path / "model.tar.gz"
    artifact.write_bytes(download_model(rig))
    boto3 = rig.local("infer", str(rig.data))
    straight = rig.local("infer", str(rig.data), "--method", "direct")
    saved = rig.local("infer", str(rig.data), "--model-artifact", str(artifact))
    assert boto3.returncode == 0, boto3.stderr
    assert boto3.stdout.count("\n") == 501
    assert "400 of the 500 rows are training rows" in " ".join(boto3.stderr.split())
    assert boto3.stdout == straight.stdout == saved.stdout
    compared = rig.local("infer", "--compare", "--json")
    assert compared.returncode == 0, compared.stderr
    check_comparison(json.loads(compared.stdout))
    check_calls(rig, done.stdout)
    check_deployment(rig, artifact, boto3.stdout)


def check_comparison(found: dict[str, Any]) -> None:
    """Check the predictions of the test split by all methods that this environment has."""
    installed = (Path(os.environ.get("VENV_SDK") or Path(sys.prefix) / "sdk") / "bin" / "python").exists()
    methods = {"direct", "boto3", "api"} | ({"predictor"} if installed else set())
    assert found["latency_ms"].keys() == methods
    assert found["left_out"].keys() == {"predictor"} - methods
    assert found["identical"]
    assert found["metrics"]["rows"] == len(found["label"]) == 100
    assert found["worst"][0]["difference"] == max(found["difference"], key=abs)
    assert not found["warnings"]  # the model has learned from no test row


def check_calls(rig: Rig, output: str) -> None:
    """Run the commands that the end of a run prints, as a person with the cloud's variables does."""
    cloud = rig.cloud()
    environment = {**os.environ, **cloud.environment}
    python = output[output.index("import os") :]
    called = [[str(rig.python), "-c", python]]
    if shutil.which("curl"):
        called.append(["sh", "-c", output[output.index("curl ") : output.index("# or in Python")]])
    for command in called:
        done = subprocess.run(
            command, cwd=rig.root, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        assert len([float(line) for line in done.stdout.splitlines()]) == 3


def check_deployment(rig: Rig, artifact: Path, expected: str) -> None:
    """Deploy the model again at a port of one's own choice, and refuse what can't be deployed."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        own = ("deploy", "--model-artifact", str(artifact), "--endpoint-name", "own", "--port", port)
        refused = rig.local(*own)
    assert (refused.returncode, f"Port {port} of 127.0.0.1 can't be used" in refused.stderr) == (1, True)
    done = rig.local(*own)
    assert done.returncode == 0, done.stderr
    direct = rig.local("infer", str(rig.data), "--method", "direct", "--endpoint-name", "own")
    assert direct.stdout == expected
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/ping") as answer:
        assert answer.status == 200
    for again in (own, own[:-2]):
        refused = rig.local(*again)
        assert "The endpoint own exists and is InService" in refused.stderr
    assert rig.local(*own, "--replace", "--background").returncode == 0
    assert rig.local("infer", str(rig.data), "--endpoint", "own").stdout == expected


def test_trainings_outlive_their_terminals_and_do_not_mix(rig: Rig) -> None:
    """Two trainings at once have their own data and results, and an interrupt stops its own jobs alone.

    A terminal that is closed ends the training in it, and not the one in the background.
    """
    other = rig.root / "data" / "other.csv"
    write_table(other, rows=300)
    foreground = rig.begin_command("train", "--data", str(other), "--target", "y")
    jobs = rig.local(
        "train",
        "--model-type",
        "linear_regression",
        "--data",
        str(rig.data),
        "--target",
        "y",
        "--background",
        "--json",
    )
    assert jobs.returncode == 0, jobs.stderr
    background = json.loads(jobs.stdout)
    sagemaker, steps = rig.cloud().client("sagemaker"), rig.cloud().client("stepfunctions")
    until(lambda: executions(steps) == 2)
    closed = rig.begin_command("train", "--data", str(other), "--target", "y")
    until(lambda: executions(steps) == 3)
    closed.send_signal(signal.SIGHUP)
    assert closed.wait(30) == 128 + signal.SIGHUP
    until(lambda: statuses(steps) == ["ABORTED", "SUCCEEDED", "SUCCEEDED"])
    assert foreground.wait(30) == 0
    listed = sagemaker.list_training_jobs(StatusEquals="Completed")["TrainingJobSummaries"]
    models = {each["TrainingJobName"] for each in listed}
    assert len(models) == 2
    hyperparameters = {
        sagemaker.describe_training_job(TrainingJobName=name)["HyperParameters"]["model"] for name in models
    }
    assert hyperparameters == {"linear_model", "gradient_boosting"}
    scored = json.loads(rig.local("infer", "--json", "--model-artifact", background["artifact"]).stdout)
    assert scored["metrics"]["rows"] == 100
    assert scored["metrics"]["r2"] > 0.9
    stopped = rig.begin_command("train", "--data", str(other), "--target", "y")
    until(lambda: executions(steps) == 4)
    stopped.send_signal(signal.SIGINT)
    assert stopped.wait(30) == 130
    assert statuses(steps) == ["ABORTED", "ABORTED", "SUCCEEDED", "SUCCEEDED"]


def list_executions(steps: Any) -> list[dict[str, Any]]:
    """List the executions of all trainings."""
    machines = [each["stateMachineArn"] for each in steps.list_state_machines()["stateMachines"]]
    return [each for arn in machines for each in steps.list_executions(stateMachineArn=arn)["executions"]]


def statuses(steps: Any) -> list[str]:
    """Return the states of all trainings, in order of the alphabet."""
    return sorted(each["status"] for each in list_executions(steps))


def executions(steps: Any) -> int:
    """Count the trainings."""
    return len(list_executions(steps))


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
