"""The rendering: the same bytes from the same arguments, and one clear sentence for whatever is wrong."""

import ast
import contextlib
import copy
import dataclasses
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline import run_pipeline
from pipeline.run_pipeline import SettingsError
from tests.pipeline.conftest import RUN

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "pipeline" / "run_pipeline.py"
FILES = {
    "workflow.json",
    "workflow-input.json",
    "verify.json",
    "verify-dev.json",
    "verify-prd.json",
    "governor.json",
    "registry.json",
    "deploy-model-dev.json",
    "deploy-model-prd.json",
    "monitor.json",
    "dashboard.json",
}

JOB = {"instance_type": "ml.m5.xlarge", "volume_gb": 30, "max_runtime_seconds": 3600}
WHOLE: dict[str, Any] = {
    "project": {"name": "house", "title": "House", "description": "", "region": "eu-central-1"},
    "data": {
        "prefix": "raw/",
        "target": "price",
        "seed": 1,
        "test_fraction": 0.2,
        "validation_fraction": 0.15,
    },
    "model": {"name": "gradient_boosting", "hyperparameters": {}},
    "gate": {"metric": "auto", "comparison": "auto", "threshold": "naive"},
    "experiments": {"mlflow_tracking_uri": ""},
    "stages": {
        **dict.fromkeys(("prepare", "baseline", "evaluate", "monitor"), JOB),
        "train": {**JOB, "spot": False, "max_wait_seconds": 3600},
        "dev": {"instance_type": "ml.m5.large", "instance_count": 1},
        "prd": {"instance_type": "ml.m5.large", "instance_count": 1},
    },
    "monitor": {"window_seconds": 3600, "features": ["a b"]},
    "governor": {"quiet_seconds": 300},
}


@pytest.fixture
def table() -> dict[str, Any]:
    """Give settings that are all right, to spoil one of them."""
    return copy.deepcopy(WHOLE)


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def refusal(table: dict[str, Any]) -> str:
    """Give the sentence that refuses the settings."""
    with pytest.raises(SettingsError) as raised:
        run_pipeline.check_together(run_pipeline.read_section(run_pipeline.Settings, table, ""))
    return str(raised.value)


def test_same_arguments_give_the_same_bytes(arguments: list[str], tmp_path: Path) -> None:
    """Processes that hash differently, in another folder and time zone, write what the first one wrote."""
    seen = []
    for seed, zone in (("0", "UTC"), ("1", "Asia/Tokyo")):
        environment = {**os.environ, "PYTHONHASHSEED": seed, "TZ": zone}
        subprocess.run([sys.executable, str(SCRIPT), *arguments], check=True, env=environment, cwd=tmp_path)
        seen.append(content(tmp_path / "build"))
    assert seen[0] == seen[1]
    assert seen[0].keys() == FILES


def test_needs_nothing_but_the_standard_library() -> None:
    """The build renders before anything is installed, and without AWS."""
    tree = ast.parse(SCRIPT.read_text(encoding="utf-8"))
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    imported |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert {name.partition(".")[0] for name in imported} <= set(sys.stdlib_module_names)
    assert not imported & {"datetime", "time", "random", "uuid", "socket", "urllib", "http", "subprocess"}


def test_arguments_come_from_the_environment_too(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """CodeBuild gives variables, a person gives options; an option wins."""
    assert run_pipeline.main(arguments) == 0
    expected = content(tmp_path / "build")
    for declared in dataclasses.fields(run_pipeline.Run):
        position = arguments.index(run_pipeline.option(declared.name))
        monkeypatch.setenv(declared.metadata["environment"], arguments[position + 1])
        del arguments[position : position + 2]
    assert run_pipeline.main(arguments) == 0
    assert content(tmp_path / "build") == expected
    monkeypatch.setenv("COMMIT_ID", "not this one")
    assert run_pipeline.main([*arguments, "--commit", "3f2a91c"]) == 0
    assert content(tmp_path / "build") == expected


def test_what_is_not_given_is_a_variable_of_the_execution(arguments: list[str], tmp_path: Path) -> None:
    """The pipeline's variables come last: whoever renders by hand gives another reason."""
    position = arguments.index("--data-version")
    del arguments[position : position + 2]
    path = tmp_path / "variables"
    path.write_text(json.dumps([{"name": "DataVersion", "resolvedValue": "v 2"}]), encoding="utf-8")
    assert run_pipeline.main([*arguments, "--variables-file", str(path)]) == 0
    rendered = json.loads(content(tmp_path / "build")["workflow-input.json"])
    assert (rendered["DataVersion"], rendered["Reason"]) == ("v 2", "commit")


@pytest.mark.parametrize("text", ["", "{", "[1]", "[{}]", "3"])
def test_variables_that_are_none_are_refused(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str
) -> None:
    """The file is named, and how it is written."""
    path = tmp_path / "variables"
    path.write_text(text, encoding="utf-8")
    assert run_pipeline.main([*arguments, "--variables-file", str(path)]) == 2
    assert f"--variables-file is {path}" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("option", "value", "words"),
    [
        ("--execution-id", "x" * 37, "1 to 36 letters"),
        ("--execution-id", "", "PIPELINE_EXECUTION_ID"),
        ("--data-version", "  ", "1 to 1,000 characters"),
        ("--commit", "a b", "commit id"),
        ("--kms-key-arn", "alias/x", "ARN of a key"),
        ("--artifact-bucket", "s3://bucket", "name of a bucket"),
    ],
)
def test_refuses_arguments_with_the_way_out(
    arguments: list[str], option: str, value: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A wrong argument is named with its rule, and nothing is written."""
    arguments[arguments.index(option) + 1] = value
    assert run_pipeline.main(arguments) == 2
    said = capsys.readouterr().err
    assert option in said
    assert words in said
    assert said.count("\n") == 1


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has /dev/full")
def test_a_full_disk_is_reported_in_a_sentence(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The build's log, and so the pipeline's reason, has the file; no half of it is left."""
    (tmp_path / "build").mkdir()
    fresh = tmp_path / "build" / "workflow.json.new"
    fresh.symlink_to("/dev/full")
    assert run_pipeline.main(arguments) == 2
    assert capsys.readouterr().err == f"error: No space left on device: {fresh}.\n"
    assert not fresh.is_symlink()
    assert not (tmp_path / "build" / "workflow.json").exists()


def test_check_writes_nothing_and_names_each_change(
    arguments: list[str], project_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`--check` ends 1 and says which entry changes from what to what; 0 when nothing does."""
    assert run_pipeline.main([*arguments, "--check"]) == 1
    assert not (tmp_path / "build").exists()
    assert capsys.readouterr().out.count("is not there") == len(FILES)
    run_pipeline.main(arguments)
    assert run_pipeline.main([*arguments, "--check"]) == 0
    assert capsys.readouterr().out == ""
    before = content(tmp_path / "build")
    text = project_file.read_text(encoding="utf-8")
    project_file.write_text(re.sub(r"(?m)^seed = \d+", "seed = 4711", text), encoding="utf-8")
    assert run_pipeline.main([*arguments, "--check"]) == 1
    assert re.search(r'Prepare.Environment.SEED: "\d+" -> "4711"', capsys.readouterr().out)
    assert content(tmp_path / "build") == before


@pytest.mark.parametrize(
    ("section", "name", "value", "words"),
    [
        ("project", "name", "Upper", ["project.name", '"Upper"', "lower-case", '"house-prices"']),
        ("project", "name", "a" * 17, ["2 to 16"]),
        ("project", "name", "a\n", ["project.name"]),
        ("project", "name", "aws-prices", ["project.name", "without aws, ssm"]),  # Parameter Store refuses it
        ("data", "prefix", "raw", ["data.prefix", "ends in /"]),
        ("data", "prefix", "runs/", ["runs/, models/, capture/"]),
        ("data", "prefix", "house-data/", ["house-", "artifacts", "rename it"]),
        ("data", "target", " ", ["data.target"]),
        ("data", "target", "x" * 257, ["256"]),
        ("data", "task", "ranking", ["auto, regression, classification"]),
        ("data", "seed", True, ["data.seed is true", "whole number"]),
        ("data", "seed", 1.0, ["whole number"]),
        ("data", "test_fraction", 1, ["0.01 to 0.9"]),
        ("data", "test_fraction", 0.9, ["validation_fraction", "lower one"]),
        ("model", "name", "no_such_model", ["no_such_model"]),
        ("model", "nam", "x", ["nothing reads model.nam"]),
        ("gate", "threshold", float("nan"), ["gate.threshold", "number, or naive"]),
        ("gate", "threshold", 0.5, ["name a metric"]),
        ("gate", "comparison", "more", ["auto, greater, less"]),
        ("gate", "margin", -0.1, ["gate.margin", "from 0"]),
        ("gate", "margin", 0.1, ["gate.margin", "name a metric"]),
        ("gate", "on_request", "worse", ["not_worse, better, any"]),
        ("experiments", "mlflow_tracking_uri", "http://me:secret@mlflow", ["without a password"]),
        ("experiments", "mlflow_tracking_uri", "sqlite:///mlflow.db", ["http or https"]),
        ("monitor", "ground_truth_prefix", "truth", ["monitor.ground_truth_prefix", "ends in /"]),
        ("monitor", "ground_truth_prefix", "capture/", ["none of those that the pipeline writes"]),
        ("monitor", "ground_truth_prefix", "it's/", ["monitor.ground_truth_prefix"]),
        ("monitor", "ground_truth_prefix", f"{'t' * 200}/", ["monitor.ground_truth_prefix"]),
        ("monitor", "ground_truth_prefix", "raw/", ["data.prefix raw/", "neither may lie in the other"]),
        ("monitor", "ground_truth_prefix", "raw/truth/", ["neither may lie in the other"]),
        ("monitor", "ground_truth_prefix", "house-truth/", ["house-", "rename it"]),
    ],
)
def test_refuses_settings_with_the_rule(
    table: dict[str, Any], section: str, name: str, value: Any, words: list[str]
) -> None:
    """Each wrong entry of project.toml is named with what it is, what it has to be and what would do."""
    table[section][name] = value
    said = refusal(table)
    assert all(word in said for word in words), said


def test_pictures_are_told_from_tables(table: dict[str, Any]) -> None:
    """The jobs and the governor take the same for data, and only the container's monitor reads pictures."""
    table["data"] |= {"workload": "image", "image_size": 64}
    table["model"]["name"] = "hog_svm"
    settings = run_pipeline.read_section(run_pipeline.Settings, table, "")
    run_pipeline.check_together(settings)
    table["stages"]["prepare"] = JOB | {"instance_count": 3}
    run_pipeline.check_together(run_pipeline.read_section(run_pipeline.Settings, table, ""))
    given = run_pipeline.prepare_environment(settings.data)
    assert (given["WORKLOAD"], given["IMAGE_SIZE"]) == ("image", "64")
    table["monitor"] = {"engine": "model-monitor"}
    with pytest.raises(run_pipeline.SettingsError, match="model-monitor, which reads no pictures"):
        run_pipeline.check_together(run_pipeline.read_section(run_pipeline.Settings, table, ""))
    table["model"]["name"] = "gradient_boosting"
    table["monitor"] = {}
    with pytest.raises(run_pipeline.SettingsError, match=r"container/models/image has .*hog_svm"):
        run_pipeline.check_together(run_pipeline.read_section(run_pipeline.Settings, table, ""))


def test_tables_are_prepared_by_one_instance(table: dict[str, Any]) -> None:
    """Where several are asked for, the way out is said."""
    table["stages"]["prepare"] = JOB | {"instance_count": 3}
    assert "stages.prepare.instance_count is 3, but one instance prepares tables: set it to 1" in refusal(
        table
    )


def test_refuses_windows_too_long_for_ground_truth(table: dict[str, Any]) -> None:
    """Their folders are more than a job reads; without ground truth they are not."""
    table["monitor"] |= {"window_seconds": 86_400, "ground_truth_prefix": "truth/"}
    said = refusal(table)
    assert "monitor.window_seconds is 86400" in said
    assert "10800" in said
    table["monitor"]["ground_truth_prefix"] = ""
    run_pipeline.check_together(run_pipeline.read_section(run_pipeline.Settings, table, ""))


def test_refuses_settings_of_stages(table: dict[str, Any]) -> None:
    """The same holds one section deeper, for sections that miss, and for sections that are none."""
    table["stages"]["train"] |= {"spot": True, "max_wait_seconds": 1}
    assert "max_runtime_seconds" in refusal(table)
    table["stages"]["train"] = {"instance_type": "m5.large"}
    assert "stages.train.instance_type" in refusal(table)
    del table["stages"]["train"]
    assert "add instance_type" in refusal(table)
    table["stages"] = 3
    assert "[stages]" in refusal(table)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({"seed": 1}, "data.seed"),
        ({"model": "x"}, "model.name"),
        ({"depth": [1]}, "model.hyperparameters.depth"),
        ({"depth": float("inf")}, "number"),
        ({"depth": "x" * 2501}, "2,500"),
        ({str(at): at for at in range(99)}, "98"),
    ],
)
def test_refuses_hyperparameters_that_sagemaker_would(table: dict[str, Any], value: Any, words: str) -> None:
    """SageMaker takes 100 short texts, two of which are ours."""
    table["model"]["hyperparameters"] = value
    assert words in refusal(table)


def test_hyperparameters_become_texts(table: dict[str, Any]) -> None:
    """SageMaker takes texts only; the container parses them back."""
    table["model"]["hyperparameters"] = {"depth": 3, "rate": 0.1, "early": True, "loss": "absolute_error"}
    model = run_pipeline.read_section(run_pipeline.Settings, table, "").model
    expected = {"depth": "3", "rate": "0.1", "early": "true", "loss": "absolute_error"}
    assert model.hyperparameters == expected


@pytest.mark.parametrize(
    ("reason", "rule"),
    [("commit", "not_worse"), ("a person's own words", "not_worse")]
    + [(reason, "better") for reason in ("data", "schedule", "drift")],
)
def test_what_nobody_asked_for_has_to_be_better(project_file: Path, reason: str, rule: str) -> None:
    """A commit is delivered with a model as good as before, a retraining only with a better one."""
    settings = run_pipeline.read_settings(project_file)
    rendered = run_pipeline.render(settings, dataclasses.replace(RUN, reason=reason))
    assert rendered["workflow-input.json"]["Gate"]["Champion"] == rule


@pytest.mark.parametrize("text", ["[project", "\ufeff\x00", ""])
def test_unreadable_settings_end_in_a_sentence(
    arguments: list[str], project_file: Path, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A broken, empty or missing project.toml is told without a traceback, and named."""
    project_file.write_text(text, encoding="utf-8")
    assert run_pipeline.main(arguments) == 2
    project_file.unlink()
    assert run_pipeline.main(arguments) == 2
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 2
    assert all(str(project_file) in line for line in said)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=4), inner, max_size=2),
    max_leaves=4,
)


@given(data=st.data())
def test_whatever_stands_there_is_read_or_refused(data: st.DataObject) -> None:
    """No value of any entry ends in a traceback, and what is read renders to JSON."""
    table = copy.deepcopy(WHOLE)
    section = data.draw(st.sampled_from(sorted(table)))
    place = table[section]
    if section == "stages":
        place = place[data.draw(st.sampled_from(sorted(place)))]
    place[data.draw(st.sampled_from(sorted(place)))] = data.draw(VALUES)
    with contextlib.suppress(SettingsError):
        settings = run_pipeline.read_section(run_pipeline.Settings, table, "")
        run_pipeline.check_together(settings)
        json.dumps(run_pipeline.training(settings), allow_nan=False)


@pytest.mark.parametrize(
    ("instance", "encrypts"),
    [
        ("ml.m5.xlarge", True),
        ("ml.c6i.large", True),
        ("ml.inf2.xlarge", True),
        ("ml.g4dn.xlarge", False),
        ("ml.g5.2xlarge", False),
        ("ml.m5d.large", False),
        ("ml.p4d.24xlarge", False),
        ("ml.m6gd.large", False),
        ("ml.trn1.2xlarge", False),
    ],
)
def test_no_volume_key_where_the_disks_are_of_the_instance(
    table: dict[str, Any], instance: str, *, encrypts: bool
) -> None:
    """SageMaker refuses a volume key for instance types with local storage."""
    table["stages"]["dev"]["instance_type"] = table["stages"]["train"]["instance_type"] = instance
    stages = run_pipeline.read_section(run_pipeline.Settings, table, "").stages
    assert run_pipeline.encrypts_volume(stages.dev) is encrypts
    assert run_pipeline.job(stages.train)["EncryptVolume"] is encrypts


def test_a_training_takes_the_instances_that_are_asked_for(table: dict[str, Any]) -> None:
    """One without a number; other jobs of the workflow always one."""
    for asked, expected in (({}, 1), ({"instance_count": 3}, 3)):
        table["stages"]["train"] |= asked
        settings = run_pipeline.read_section(run_pipeline.Settings, table, "")
        assert run_pipeline.training(settings)["Cluster"]["InstanceCount"] == expected
        assert run_pipeline.job(settings.stages.train)["Cluster"]["InstanceCount"] == 1
    table["stages"]["train"]["instance_count"] = 21
    with pytest.raises(SettingsError, match=r"stages\.train\.instance_count"):
        run_pipeline.read_section(run_pipeline.Settings, table, "")


def test_spot_waits_at_least_as_long_as_it_runs(table: dict[str, Any]) -> None:
    """MaxWaitTimeInSeconds is there with spot only, as SageMaker wants it."""
    table["stages"]["train"]["spot"] = True
    train = run_pipeline.training(run_pipeline.read_section(run_pipeline.Settings, table, ""))
    stop = train["StoppingCondition"]
    assert train["Spot"] is True
    assert stop["MaxWaitTimeInSeconds"] >= stop["MaxRuntimeInSeconds"]
    table["stages"]["train"]["spot"] = False
    train = run_pipeline.training(run_pipeline.read_section(run_pipeline.Settings, table, ""))
    assert "MaxWaitTimeInSeconds" not in train["StoppingCondition"]


def test_every_deployment_has_a_hash_of_its_own(
    project_file: Path, arguments: list[str], tmp_path: Path
) -> None:
    """Commit, data, execution or a setting alone makes another one, and ten characters of it suit a name."""

    def rendered_hash(*changed: str) -> str:
        assert run_pipeline.main([*arguments, *changed]) == 0
        file = tmp_path / "build" / "deploy-model-prd.json"
        return str(json.loads(file.read_text(encoding="utf-8"))["Parameters"]["DeploymentHash"])

    hashes = [
        rendered_hash(),
        rendered_hash("--commit", "another"),
        rendered_hash("--data-version", "another"),
        rendered_hash("--execution-id", "another"),
    ]
    text = project_file.read_text(encoding="utf-8")
    project_file.write_text(text.replace("synthetic_rate = 60", "synthetic_rate = 61"), encoding="utf-8")
    hashes.append(rendered_hash())
    assert all(re.fullmatch(r"[0-9a-f]{64}", one) for one in hashes)
    assert len({one[:10] for one in hashes}) == len(hashes)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("max_capacity", 0, "stages.prd.max_capacity"),
        ("min_capacity", 2, "scaling keeps 2 to 4"),
        ("deployment_preference", "Canary5Percent1Minute", "Canary10Percent5Minutes"),
        ("authorization", "aws_iam", "AWS_IAM, NONE"),
        ("golden_tolerance", -0.1, "a number from 0"),
        ("answer_tolerance", 0, "a number from 1e-12"),
        ("latency_threshold_ms", 30_000, "29000"),
        ("synthetic_rate", 601, "600"),
    ],
)
def test_refuses_a_production_that_could_not_be(
    table: dict[str, Any], name: str, value: Any, words: str
) -> None:
    """What CloudFormation, SAM or scaling would refuse halfway, or take and never do, is refused before."""
    table["stages"]["prd"][name] = value
    assert words in refusal(table)


def test_the_schedule_is_off_until_it_is_asked_for(table: dict[str, Any]) -> None:
    """A month after its deployment nothing trains by itself, unless someone said so."""
    table["governor"]["schedule"] = "monthly"
    assert "cron(0 12 1 * ? *)" in refusal(table)
    del table["governor"]
    governor = run_pipeline.read_section(run_pipeline.Settings, table, "").governor
    assert (governor.schedule, governor.schedule_enabled) == ("cron(0 12 1 * ? *)", False)


@pytest.mark.parametrize(
    "expression",
    [
        "cron(x)",
        "cron(20 * * * *)",  # of Unix
        "cron(20 * * * * *)",
        "cron(20 * ? * ? *)",
        "cron(60 * * * ? *)",
        "cron(0 24 * * ? *)",
        "cron(0 0 32 * ? *)",
        "cron(0 0 ? 13 MON *)",
        "cron(0 0 ? * 8 *)",
        "cron(0/0 * * * ? *)",
        "cron(20  * * * ? *)",
        "rate(1 hours)",
        "rate(0 minutes)",
        "rate(5 weeks)",
        "at(2030-13-01T00:00:00)",
        "at(tomorrow)",
        " cron(20 * * * ? *)",
        "",
    ],
)
def test_a_schedule_that_scheduler_refuses_is_refused_first(table: dict[str, Any], expression: str) -> None:
    """Otherwise the stack fails, in the middle of a delivery."""
    for section in ("monitor", "governor"):
        spoilt = copy.deepcopy(table)
        spoilt[section]["schedule"] = expression
        said = refusal(spoilt)
        assert f"{section}.schedule is " in said
        assert "six fields" in said
        assert ', such as "cron(' in said


@pytest.mark.parametrize(
    "expression",
    [
        "cron(20 * * * ? *)",
        "cron(0/15 8-18 ? * MON-FRI *)",
        "cron(0,30 0 L * ? 2030-2035)",
        "cron(0 0 15W JAN,JUL ? *)",
        "cron(0 0 ? * 6#3 *)",
        "cron(0 0 ? * FRIL *)",
        "cron(*/5 * LW 1-12/3 ? 2199)",
        "rate(1 hour)",
        "rate(30 minutes)",
        "at(2030-01-31T12:00:00)",
    ],
)
def test_a_schedule_that_scheduler_takes_is_taken(table: dict[str, Any], expression: str) -> None:
    """The governor takes each kind; the monitor, which looks at whole windows, a cron."""
    table["governor"]["schedule"] = expression
    run_pipeline.read_section(run_pipeline.Settings, table, "")
    table["monitor"]["schedule"] = expression
    if not expression.startswith("cron"):
        assert "monitor.schedule is " in refusal(table)
    else:
        run_pipeline.read_section(run_pipeline.Settings, table, "")


@pytest.mark.parametrize(
    "tags", ["project=x", "Owner=a,stage=b", "aws:x=y", "Owner", "=x", "a=b,,c=d", "a=b;c"]
)
def test_tags_that_are_ours_or_none_are_refused(
    arguments: list[str], capsys: pytest.CaptureFixture[str], tags: str
) -> None:
    """Whoever overwrote project or stage would hide what belongs together."""
    assert run_pipeline.main([*arguments, "--tags", tags]) == 2
    assert "--tags is" in capsys.readouterr().err
