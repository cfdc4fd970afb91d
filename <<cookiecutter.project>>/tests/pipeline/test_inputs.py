"""The inputs of the state machines: the instances of jobs, and the conditions for a model."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from container.data.reading import ReadingSettings
from container.data.split import SplitSettings
from container.runtime import environment
from pipeline import checks
from pipeline.checks import check_consistency
from pipeline.errors import SettingsError
from pipeline.inputs import job, prepare_environment, training_job
from pipeline.parameters import render
from pipeline.paths import IMAGES
from pipeline.reader import read_section, read_settings
from pipeline.settings import Settings, encrypts_volume
from tests.pipeline.conftest import JOB, RUN, refusal


@pytest.mark.skipif(not IMAGES.exists(), reason="a project of tables has no models of images")
def test_images_have_their_own_models_and_monitor(table: dict[str, Any]) -> None:
    """Several instances prepare images, and only the monitor of the container reads them."""
    table["data"] |= {"workload": "image", "image_size": 64}
    table["model"]["name"] = "hog_svm"
    settings = read_section(Settings, table, "")
    check_consistency(settings)
    table["stages"]["prepare"] = JOB | {"instance_count": 3}
    check_consistency(read_section(Settings, table, ""))
    given = prepare_environment(settings.data)
    assert (given["WORKLOAD"], given["IMAGE_SIZE"]) == ("image", "64")
    table["monitor"] = {"engine": "model-monitor"}
    with pytest.raises(SettingsError, match="model-monitor, which reads no pictures"):
        check_consistency(read_section(Settings, table, ""))
    table["model"]["name"] = "gradient_boosting"
    table["monitor"] = {}
    with pytest.raises(SettingsError, match=r"container/models/image has .*hog_svm"):
        check_consistency(read_section(Settings, table, ""))


def test_a_project_of_tables_names_what_it_lacks_for_images(
    table: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Protects a user who changes the workload of a project that was generated for tables."""
    monkeypatch.setattr(checks, "IMAGES", tmp_path / "absent.py")
    table["data"]["workload"] = "image"
    assert "generated for tables" in refusal(table)


@pytest.mark.parametrize(
    ("reason", "rule"),
    [("commit", "not_worse"), ("a person's own words", "not_worse")]
    + [(reason, "better") for reason in ("data", "schedule", "drift")],
)
def test_the_model_of_an_automatic_run_has_to_be_better(project_file: Path, reason: str, rule: str) -> None:
    """A commit is delivered with a model as good as the champion, a retraining only with a better one."""
    settings = read_settings(project_file)
    rendered = render(settings, dataclasses.replace(RUN, reason=reason))
    assert rendered["workflow-input.json"]["Gate"]["Champion"] == rule


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
def test_no_volume_key_for_instances_with_nvme_disks(
    table: dict[str, Any], instance: str, *, encrypts: bool
) -> None:
    """SageMaker refuses a volume key for instance types with local storage."""
    table["stages"]["dev"]["instance_type"] = table["stages"]["train"]["instance_type"] = instance
    stages = read_section(Settings, table, "").stages
    assert encrypts_volume(stages.dev) is encrypts
    assert job(stages.train)["EncryptVolume"] is encrypts


def test_a_training_has_its_number_of_instances(table: dict[str, Any]) -> None:
    """The default is one instance, and other jobs of the workflow always have one."""
    for asked, expected in (({}, 1), ({"instance_count": 3}, 3)):
        table["stages"]["train"] |= asked
        settings = read_section(Settings, table, "")
        assert training_job(settings)["Cluster"]["InstanceCount"] == expected
        assert job(settings.stages.train)["Cluster"]["InstanceCount"] == 1
    table["stages"]["train"]["instance_count"] = 21
    with pytest.raises(SettingsError, match=r"stages\.train\.instance_count"):
        read_section(Settings, table, "")


def test_spot_waits_at_least_as_long_as_it_runs(table: dict[str, Any]) -> None:
    """MaxWaitTimeInSeconds is given with spot only, as SageMaker requires."""
    table["stages"]["train"]["spot"] = True
    train = training_job(read_section(Settings, table, ""))
    stop = train["StoppingCondition"]
    assert train["Spot"] is True
    assert stop["MaxWaitTimeInSeconds"] >= stop["MaxRuntimeInSeconds"]
    table["stages"]["train"]["spot"] = False
    train = training_job(read_section(Settings, table, ""))
    assert "MaxWaitTimeInSeconds" not in train["StoppingCondition"]


@pytest.mark.parametrize(
    ("entry", "value", "named"),
    [
        ("kinds", {"price": "numeric"}, "data.kinds names the target price"),
        ("group", "price", "data.group is price, but that is the target"),
        ("time", "price", "data.time is price, but that is the target"),
        ("time", "day", "data.group and data.time are set"),
        ("missing_words", [f"word {number}" for number in range(40)], "SageMaker takes at most 256"),
        ("kinds", {f"column {number}": "date" for number in range(20)}, "SageMaker takes at most 256"),
        ("kinds", {"zip": "text"}, "numeric, categorical, date, excluded"),
        ("missing_words", [" padded"], "none of them blank"),
    ],
)
def test_entries_of_the_reading_that_no_job_can_take_are_refused(
    table: dict[str, Any], entry: str, value: object, named: str
) -> None:
    """A column with two roles, or a text that SageMaker refuses, is named before anything is built."""
    table["data"] |= {"group": "customer" if value == "day" else "", entry: value}
    assert named in refusal(table)


@pytest.mark.parametrize(
    ("entry", "value"), [("group", "customer"), ("kinds", {"zip": "date"}), ("missing_words", ["No data"])]
)
def test_settings_of_columns_are_refused_for_images(table: dict[str, Any], entry: str, value: object) -> None:
    """Protects from a setting that no job reads."""
    table["data"] |= {"workload": "image", entry: value}
    assert f"data.{entry} is for the columns of tables, not for images" in refusal(table)


def test_how_tables_are_read_reaches_the_job(table: dict[str, Any]) -> None:
    """Protects settings from being lost between project.toml and the container."""
    table["data"] |= {"kinds": {"zip": "categorical"}, "missing_words": ["No data"], "group": "customer"}
    settings = read_section(Settings, table, "")
    check_consistency(settings)
    given = prepare_environment(settings.data)
    reading, split = environment.read(ReadingSettings, given), environment.read(SplitSettings, given)
    assert (reading.kinds, reading.missing_words) == ({"zip": "categorical"}, ("No data",))
    assert split.group == "customer"
