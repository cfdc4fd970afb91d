"""The settings: each wrong entry is refused in one clear sentence, and every right one is accepted."""

import contextlib
import copy
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.checks import check_consistency
from pipeline.errors import SettingsError
from pipeline.inputs import training_job
from pipeline.reader import read_section
from pipeline.settings import Settings
from tests.pipeline.conftest import COMPLETE, JOB, refusal


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
        ("data", "test_fraction", 0.78, ["less than a tenth of the rows"]),
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
def test_a_wrong_setting_is_refused_with_its_rule(
    table: dict[str, Any], section: str, name: str, value: Any, words: list[str]
) -> None:
    """The message names the entry, its value, its rule and an accepted value."""
    table[section][name] = value
    said = refusal(table)
    assert all(word in said for word in words), said


def test_several_instances_for_tables_are_refused(table: dict[str, Any]) -> None:
    """The message says what to do instead."""
    table["stages"]["prepare"] = JOB | {"instance_count": 3}
    assert "stages.prepare.instance_count is 3, but one instance prepares tables: set it to 1" in refusal(
        table
    )


def test_windows_too_long_for_ground_truth_are_refused(table: dict[str, Any]) -> None:
    """A job could not read all folders of such a window; without ground truth the window is accepted."""
    table["monitor"] |= {"window_seconds": 86_400, "ground_truth_prefix": "truth/"}
    said = refusal(table)
    assert "monitor.window_seconds is 86400" in said
    assert "10800" in said
    table["monitor"]["ground_truth_prefix"] = ""
    check_consistency(read_section(Settings, table, ""))


def test_wrong_settings_of_stages_are_refused(table: dict[str, Any]) -> None:
    """The cases are wrong entries, missing sections and values in place of sections, one level deeper."""
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
        ({str(at): at for at in range(98)}, "97"),
    ],
)
def test_hyperparameters_that_sagemaker_refuses_are_refused(
    table: dict[str, Any], value: Any, words: str
) -> None:
    """SageMaker accepts 100 short texts, three of which the pipeline adds."""
    table["model"]["hyperparameters"] = value
    assert words in refusal(table)


def test_hyperparameters_become_texts(table: dict[str, Any]) -> None:
    """SageMaker accepts texts only; the container parses them."""
    table["model"]["hyperparameters"] = {"depth": 3, "rate": 0.1, "early": True, "loss": "absolute_error"}
    model = read_section(Settings, table, "").model
    expected = {"depth": "3", "rate": "0.1", "early": "true", "loss": "absolute_error"}
    assert model.hyperparameters == expected


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=4), inner, max_size=2),
    max_leaves=4,
)


@given(data=st.data())
def test_any_value_is_accepted_or_refused(data: st.DataObject) -> None:
    """No value of any entry ends in a traceback, and an accepted value renders to JSON."""
    table = copy.deepcopy(COMPLETE)
    section = data.draw(st.sampled_from(sorted(table)))
    place = table[section]
    if section == "stages":
        place = place[data.draw(st.sampled_from(sorted(place)))]
    place[data.draw(st.sampled_from(sorted(place)))] = data.draw(VALUES)
    with contextlib.suppress(SettingsError):
        settings = read_section(Settings, table, "")
        check_consistency(settings)
        json.dumps(training_job(settings), allow_nan=False)


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
def test_numbers_that_production_cannot_have_are_refused(
    table: dict[str, Any], name: str, value: Any, words: str
) -> None:
    """CloudFormation, SAM or scaling would refuse them during a deployment, or ignore them."""
    table["stages"]["prd"][name] = value
    assert words in refusal(table)


def test_the_schedule_is_disabled_by_default(table: dict[str, Any]) -> None:
    """Nothing is trained automatically unless the schedule is enabled."""
    table["governor"]["schedule"] = "monthly"
    assert "cron(0 12 1 * ? *)" in refusal(table)
    del table["governor"]
    governor = read_section(Settings, table, "").governor
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
def test_a_schedule_that_scheduler_refuses_is_refused(table: dict[str, Any], expression: str) -> None:
    """Otherwise the stack would fail in the middle of a delivery."""
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
def test_a_schedule_that_scheduler_accepts_is_accepted(table: dict[str, Any], expression: str) -> None:
    """The governor accepts each kind of schedule; the monitor needs whole windows and accepts only cron."""
    table["governor"]["schedule"] = expression
    read_section(Settings, table, "")
    table["monitor"]["schedule"] = expression
    if not expression.startswith("cron"):
        assert "monitor.schedule is " in refusal(table)
    else:
        read_section(Settings, table, "")
