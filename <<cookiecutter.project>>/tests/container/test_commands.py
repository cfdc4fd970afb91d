"""The commands run as SageMaker runs them: processes, files, exit codes."""

import csv
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from container import __main__ as command_line
from container import model_artifact
from container.__main__ import main
from container.data.schema import Feature, Schema, Target

PROJECT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Jobs:
    """Start jobs under one directory, each with a tree of its own."""

    root: Path

    def run(self, command: str, tree: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run one command to its end on the tree of a name."""
        return subprocess.run(
            [sys.executable, "-m", "container", command],
            cwd=PROJECT,
            env=os.environ | {"SAGEMAKER_BASE_DIR": str(self.root / tree)} | environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def prepare(self, table: str, target: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Prepare one table given as text."""
        data = self.root / "prepare/processing/input/data"
        data.mkdir(parents=True, exist_ok=True)
        (data / "table.csv").write_text(table, encoding="utf-8")
        return self.run("prepare", "prepare", TARGET=target, **environment)

    def stage_training(self, **hyperparameters: str) -> Path:
        """Lay out a training job's tree from what `prepare` wrote."""
        base = self.root / "train"
        for channel in ("train", "validation", "schema"):
            _link(self.output("prepare") / channel, base / "input/data" / channel)
        config = base / "input/config"
        config.mkdir(parents=True, exist_ok=True)
        (config / "hyperparameters.json").write_text(json.dumps(hyperparameters))
        return base

    def train(self, **hyperparameters: str) -> subprocess.CompletedProcess[str]:
        """Train on what `prepare` wrote."""
        self.stage_training(**hyperparameters)
        return self.run("train", "train")

    def evaluate(self) -> subprocess.CompletedProcess[str]:
        """Evaluate what `train` wrote on the test split."""
        given = self.root / "evaluate/processing/input"
        for name in ("train", "validation", "test"):
            _link(self.output("prepare") / name, given / name)
        (given / "model").mkdir(exist_ok=True)
        with tarfile.open(given / "model/model.tar.gz", "w:gz") as archive:
            for path in (self.root / "train/model").iterdir():
                archive.add(path, path.name)
        return self.run("evaluate", "evaluate")

    def output(self, tree: str) -> Path:
        """Return where a processing job leaves its outputs."""
        return self.root / tree / "processing/output"


def _link(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if not target.exists():
        target.symlink_to(source, target_is_directory=True)


@pytest.fixture
def jobs(tmp_path: Path) -> Jobs:
    """Return a place to run jobs in."""
    return Jobs(tmp_path)


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Prepare the table of a regression once, for tests of what comes after it."""
    jobs = Jobs(tmp_path_factory.mktemp("prepared"))
    assert jobs.prepare(make_table("regression"), "label").returncode == 0
    return jobs.root / "prepare"


@pytest.fixture
def ready(jobs: Jobs, prepared: Path) -> Jobs:
    """Return a place to run jobs in, where the table of a regression is prepared."""
    _link(prepared, jobs.root / "prepare")
    return jobs


def make_table(kind: str) -> str:
    """Return a small table whose label is of a kind, with every kind of column."""
    random_ = random.Random(7)
    lines = ["size,colour,day,flag,constant,code,label"]
    for number in range(240):
        size, colour = random_.uniform(-3, 3), random_.choice(["red", "green", "blue"])
        score = size + {"red": 2.0, "green": 0.0, "blue": -2.0}[colour]
        label = {
            "regression": repr(score + random_.gauss(0, 0.1)),
            "text": "yes" if score > 0 else "no",
            "integers": str((score > -1) + (score > 1)),
            "boolean": str(score > 0),
        }[kind]
        shown = "?" if number % 17 == 0 else repr(size)
        day = f"2024-{number % 12 + 1:02}-{number % 28 + 1:02}"
        lines.append(f"{shown},{colour},{day},{str(number % 2 == 0).lower()},1,id-{number},{label}")
    return "\n".join(lines) + "\n"


NEEDS_TENSORFLOW = pytest.mark.skipif(
    find_spec("tensorflow") is None, reason="the project was made without TensorFlow"
)
CASES = [
    ("regression", "gradient_boosting", "regression", "regression_metrics", "rmse"),
    ("text", "random_forest", "binary", "binary_classification_metrics", "accuracy"),
    ("integers", "linear_model", "multiclass", "multiclass_classification_metrics", "accuracy"),
    ("boolean", "gradient_boosting", "binary", "binary_classification_metrics", "f1"),
    pytest.param(
        "integers",
        "multilayer_perceptron",
        "multiclass",
        "multiclass_classification_metrics",
        "accuracy",
        marks=NEEDS_TENSORFLOW,
    ),
]


def read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "model", "task", "section", "metric"), CASES)
def test_a_table_becomes_a_model_that_beats_a_guess(  # noqa: PLR0913, PLR0917 - a case has these parts
    jobs: Jobs, kind: str, model: str, task: str, section: str, metric: str
) -> None:
    """Protects the whole path, every file that later stages read, and equal answers across processes."""
    for done in (jobs.prepare(make_table(kind), "label"), jobs.train(model=model, seed="3"), jobs.evaluate()):
        assert done.returncode == 0, done.stderr
    evaluation = jobs.output("evaluate") / "evaluation"
    gate, quality = read(evaluation / "gate.json"), read(evaluation / "evaluation.json")
    assert gate["task"] == task
    better = gate["metrics"][metric] < gate["naive"][metric] if metric == "rmse" else None
    assert better or gate["metrics"][metric] > gate["naive"][metric]
    assert gate["written"][metric] == f"{gate['metrics'][metric]:,.6g}"  # for the text that asks a person
    assert (evaluation / "gate.json").stat().st_size < 4096
    assert quality["dataset"]["item_count"] == gate["rows"]
    assert Schema.from_json(quality["schema"]).target.task == task
    assert {"value", "standard_deviation"} == set(next(iter(quality[section].values())))
    assert ("receiver_operating_characteristic_curve" in quality[section]) == (task == "binary")
    curve = [] if model == "multilayer_perceptron" else ["learning_curve"]
    assert gate["reports"] == ["evaluation", "intervals", "golden", "explanation", *curve]
    _check_intervals(read(evaluation / "intervals.json"), gate)
    assert {path.stem for path in evaluation.glob("*.json")} == {"gate", *gate["reports"]}
    explained = read(evaluation / "explanation.json")["explanations"]["permutation_importance"]["label"]
    assert {*list(explained["global_importances"])[:2]} == {"size", "colour"}
    _check_answers(jobs, evaluation)


def _check_intervals(report: dict[str, Any], gate: dict[str, Any]) -> None:
    """Each metric lies in its interval, and 48 test rows are few."""
    assert report["rows"] == {"train": 156, "validation": 36, "test": 48}
    totals = [
        sum(counts) for counts in zip(*map(dict.values, report.get("classes", {}).values()), strict=True)
    ]
    assert totals in ([], [156, 36, 48])
    for name, ends in report["metrics"].items():
        assert ends["low"] <= gate["metrics"][name] <= ends["high"]
        assert gate["intervals"][name].startswith("95 % interval ")
    assert report["warnings"] == gate["warnings"]
    assert "The test split has 48 rows, fewer than 100" in gate["warnings"][0]


def _check_answers(jobs: Jobs, evaluation: Path) -> None:
    loaded = model_artifact.load(jobs.root / "train/model")
    golden = read(evaluation / "golden.json")
    assert golden["content_type"] == "text/csv"
    assert (golden["precision"] > 0) == (loaded.form == "litert")
    assert 0 < len(golden["requests"]) <= 100
    for request in golden["requests"]:
        cells = next(csv.reader([request["body"]]))
        encoded = [feature.encode(cell) for feature, cell in zip(loaded.schema.features, cells, strict=True)]
        answer = loaded.predict(np.array([encoded]))[0]
        if loaded.schema.target.classes is None:
            assert request["answer"] == answer
        else:
            assert list(request["answer"]["probabilities"].values()) == answer.tolist()
            assert request["label"] in loaded.schema.target.classes
    with (evaluation / "differences.csv").open(newline="") as file:
        assert len(list(csv.DictReader(file))) == read(evaluation / "gate.json")["rows"]


@pytest.mark.slow
@pytest.mark.parametrize(
    "model", ["linear_model", pytest.param("multilayer_perceptron", marks=NEEDS_TENSORFLOW)]
)
def test_the_champion_is_measured_on_the_same_rows(ready: Jobs, model: str) -> None:
    """Protects the comparison that the gate makes: the same model scores the same, to the last bit."""
    ready.train(model=model)
    ready.evaluate()
    assert "champion" not in read(ready.output("evaluate") / "evaluation/gate.json")
    inputs = ready.root / "evaluate/processing/input"
    _link(inputs / "model", inputs / "champion")
    assert ready.evaluate().returncode == 0
    gate = read(ready.output("evaluate") / "evaluation/gate.json")
    differences = gate["champion"].pop("differences")
    same = {"metrics": gate["metrics"], "challenger": gate["metrics"]}
    assert gate["champion"] == same | {"rows": gate["rows"], "left_out": 0}
    assert differences.keys() == gate["metrics"].keys()
    assert differences["rmse"] == (
        "Its rmse less that of the champion on the same 48 rows is 0, 95 % interval 0 to 0, "
        "which contains zero: either may be the better one."
    )


@NEEDS_TENSORFLOW
def test_a_champion_may_be_of_another_framework(ready: Jobs) -> None:
    """Protects projects that go from forests to networks: each artifact says by its files what it is."""
    ready.train(model="linear_model")
    ready.evaluate()
    inputs, before = (
        ready.root / "evaluate/processing/input",
        ready.output("evaluate") / "evaluation/gate.json",
    )
    scores = read(before)["metrics"]
    (inputs / "model").rename(inputs / "champion")
    shutil.rmtree(ready.root / "train")
    ready.train(model="multilayer_perceptron", units="8", epochs="3")
    assert ready.evaluate().returncode == 0
    gate = read(before)
    assert gate["champion"]["metrics"] == scores
    differences = read(ready.output("evaluate") / "evaluation/intervals.json")["differences"]
    assert differences["rmse"]["value"] == gate["metrics"]["rmse"] - scores["rmse"]
    assert gate["metrics"] != scores


def test_training_prints_its_metrics_and_writes_what_it_used(ready: Jobs) -> None:
    """Protects MetricDefinitions, which match these lines, and the record in the artifact.

    A model's former name trains it too, for projects made before it was renamed, and says what to change.
    """
    done = ready.train(model="linear_regression", alpha="0.5")
    assert done.returncode == 0
    assert (
        "warning message='the model 'linear_regression' is now called 'linear_model': "
        "change project.toml before release 2.0'"
    ) in done.stdout.splitlines()
    model = ready.root / "train/model"
    facts = read(model / "model.json")
    assert facts["model"] == "linear_model"
    assert f"validation_rmse={facts['validation']['rmse']!r};" in done.stdout.splitlines()
    assert facts["hyperparameters"] == {"alpha": 0.5, "max_iter": 1000}
    compiled = [] if "not_compiled" in facts else ["model.arrays"]
    expected = ["learned_keys.npy", "learned_rows.npy", *compiled, "model.json", "model.skops", "schema.json"]
    assert sorted(path.name for path in model.iterdir()) == expected


@pytest.mark.parametrize(
    ("hyperparameters", "message"),
    [
        ({"model": "magic"}, "model 'magic' does not exist: choose one of gradient_boosting,"),
        (
            {"depth": "3"},
            "hyperparameter 'depth' is unknown: this model takes model, seed, refit, learning_rate",
        ),
        ({"seed": "-1"}, "hyperparameter 'seed' is '-1'"),
        ({"learning_rate": "-1"}, "the model cannot learn with these settings: "),
    ],
)
def test_a_failure_is_one_line_in_every_place(
    ready: Jobs, hyperparameters: dict[str, str], message: str
) -> None:
    """Protects FailureReason: a line on stderr and in the file, code 1, no traceback, no half a model."""
    done = ready.train(**hyperparameters)
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: {message}")
    assert len(done.stderr.splitlines()) == 1
    assert (ready.root / "train/output/failure").read_text() == done.stderr.removeprefix("error: ")
    assert not list((ready.root / "train").glob("model/*"))


def test_a_model_of_one_host_refuses_several(jobs: Jobs) -> None:
    """Protects from instances that are paid for and each do the same."""
    base = jobs.stage_training(model="random_forest")
    for place in ("schema", "train", "validation"):
        (base / "input/data" / place).unlink()
        (base / "input/data" / place).mkdir()
    Schema(Target("y", "regression"), (Feature("x", "numeric"),)).write(
        base / "input/data/schema/schema.json"
    )
    hosts = {"current_host": "algo-2", "hosts": ["algo-1", "algo-2"], "network_interface_name": "lo"}
    (base / "input/config/resourceconfig.json").write_text(json.dumps(hosts))
    done = jobs.run("train", "train")
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)
    assert (
        "model 'random_forest' learns on one instance, and the job has 2: set instance_count = 1"
        in done.stderr
    )


def test_a_processing_job_leaves_its_exit_message(jobs: Jobs) -> None:
    """Protects ExitMessage, which SageMaker reads from another file than FailureReason."""
    done = jobs.prepare("a,b\n1,2\n3\n", "b")
    line = "table.csv: row 2 (line 3) has 1 cells, and the header has 2\n"
    assert (done.returncode, done.stderr) == (1, f"error: {line}")
    assert (jobs.root / "prepare/output/message").read_text() == line


def test_an_unexpected_fault_is_one_line_and_its_traceback_stays_in_the_log(ready: Jobs) -> None:
    """Protects the reason that a user sees from faults that nobody foresaw."""
    config = ready.stage_training() / "input/config/hyperparameters.json"
    config.unlink()
    config.mkdir()
    done = ready.run("train", "train")
    reason = (ready.root / "train/output/failure").read_text()
    assert done.returncode == 1
    assert reason.startswith("IsADirectoryError: ")
    assert reason.count("\n") == 1
    assert "Traceback" in done.stderr


@pytest.mark.parametrize("arguments", [[], ["fly"], ["train", "now"]])
def test_a_wrong_call_ends_in_2(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    """Protects the difference between a wrong call and a failed job."""
    monkeypatch.setenv("SAGEMAKER_BASE_DIR", str(tmp_path))
    assert main(arguments) == 2
    assert capsys.readouterr().err.startswith(
        "error: expected one of prepare, train, evaluate, serve, monitor"
    )


@pytest.mark.parametrize(
    "fault", [pl.exceptions.PanicException("unwrap on None"), KeyboardInterrupt(), MemoryError()]
)
def test_no_kind_of_exception_ends_a_command_without_a_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: BaseException
) -> None:
    """A panic of polars is not an `Exception`."""

    def fail() -> None:
        raise fault

    monkeypatch.setenv("SAGEMAKER_BASE_DIR", str(tmp_path))
    monkeypatch.setattr(command_line, "drop_privileges", lambda: None)
    monkeypatch.setitem(command_line.COMMANDS, "prepare", fail)
    assert main(["prepare"]) == 1
    reason = (tmp_path / "output/message").read_text()
    assert reason == f"{type(fault).__name__}: {fault}".removesuffix(": ") + "\n"


def test_a_stopped_training_leaves_no_half_of_a_model(ready: Jobs) -> None:
    """Protects StopTrainingJob: SIGTERM ends it at once, with a reason."""
    base = ready.stage_training(n_iter_no_change="100000", max_iter="100000", learning_rate="0.000001")
    process = subprocess.Popen(
        [sys.executable, "-m", "container", "train"],
        cwd=PROJECT,
        env=os.environ | {"SAGEMAKER_BASE_DIR": str(base)},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline().startswith("read ")
    time.sleep(0.5)
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 1
    process.stdout.close()
    assert (base / "output/failure").read_text().startswith("stopped by SIGTERM")
    assert not list(base.glob("model/*"))


def test_prepare_loads_no_scikit_learn() -> None:
    """Protects the start of every job from imports that it does not use."""
    code = "import sys, container.prepare; sys.exit('sklearn' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=PROJECT, check=False).returncode == 0


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has /dev/full")
def test_a_full_disk_is_reported_in_one_line(jobs: Jobs) -> None:
    """The reason is that of the job too, with the way out, and no traceback is before it."""
    report = jobs.output("prepare") / "report/report.json"
    report.parent.mkdir(parents=True)
    report.symlink_to("/dev/full")
    done = jobs.prepare("x,y\n" + "1,2\n3,4\n5,6\n7,2\n8,2\n" * 40, "y")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    failure = (jobs.root / "prepare/output/failure").read_text(encoding="utf-8")
    assert "No space left on device" in failure
    assert failure.endswith("; free some space, or give the job a larger volume\n")


def test_an_archive_that_is_cut_is_refused(jobs: Jobs) -> None:
    """Protects evaluate from a broken upload."""
    given = jobs.root / "evaluate/processing/input/model"
    given.mkdir(parents=True)
    with tarfile.open(given / "model.tar.gz", "w:gz"):
        pass
    done = jobs.run("evaluate", "evaluate")
    assert done.returncode == 1
    assert done.stderr.startswith("error: schema.json is missing")


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can become someone else"
)
def test_root_becomes_the_images_user_for_good(tmp_path: Path) -> None:
    """Protects against data read and requests answered as root; the job's outputs can still be written."""
    tmp_path.chmod(0o755)
    for parent in list(tmp_path.parents)[:-2]:
        parent.chmod(parent.stat().st_mode | 0o055)
    code = (
        "import os; from container.runtime.privileges import drop_privileges; "
        "from container.runtime.paths import ContainerPaths; "
        "drop_privileges(); (ContainerPaths.current().model / 'a').write_text('1'); "
        "(ContainerPaths.current().rebase(os.environ['output_path']) / 'b').write_text('1'); "
        "print(os.getuid(), os.geteuid(), os.getgid(), os.getgroups())"
    )
    environment = os.environ | {"SAGEMAKER_BASE_DIR": str(tmp_path), "CONTAINER_USER": "10001"}
    environment["output_path"] = "/opt/ml/processing/resultdata"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=PROJECT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == "10001 10001 10001 []\n", done.stderr
    assert (tmp_path / "model/a").stat().st_uid == 10001
    assert (tmp_path / "processing/resultdata/b").stat().st_uid == 10001


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can become someone else"
)
@pytest.mark.parametrize("written", ["{outside}", "/opt/ml/../outside"])
def test_no_directory_outside_the_job_is_handed_over(written: str, tmp_path: Path) -> None:
    """Protects the machine from a job's environment: `output_path` is what its creator wrote."""
    (tmp_path / "base").mkdir()
    outside = tmp_path / "outside"
    outside.mkdir()
    environment = {"SAGEMAKER_BASE_DIR": str(tmp_path / "base"), "CONTAINER_USER": "10001"}
    subprocess.run(
        [sys.executable, "-c", "from container.runtime.privileges import drop_privileges; drop_privileges()"],
        cwd=PROJECT,
        env=os.environ | environment | {"output_path": written.format(outside=outside)},
        check=True,
    )
    assert outside.stat().st_uid == 0
