"""The parameters of stacks: each entry of project.toml fills its own, as text."""

import dataclasses
import functools
import operator
from typing import Any

import pytest

from pipeline.parameters import filled_by, render
from pipeline.reader import read_section
from pipeline.settings import Endpoint, Settings
from tests.pipeline.conftest import RUN


@pytest.mark.parametrize(
    ("entry", "value", "parameter", "text"),
    [
        ("stages.prd.synthetic_rate", 7, "deploy-model-prd.json SyntheticRate", "7"),
        ("stages.prd.access_log", True, "deploy-model-prd.json AccessLog", "true"),
        ("stages.prd.answer_tolerance", 0.000001, "verify.json AnswerTolerance", "1e-06"),
        ("stages.dev.capture_percentage", 0, "deploy-model-dev.json CapturePercentage", "0"),
        ("monitor.features", ["age", "income"], "monitor.json WatchedFeatures", "age,income"),
        ("monitor.features", [], "monitor.json WatchedFeatures", ""),
        ("monitor.enabled", False, "monitor.json ScheduleState", "DISABLED"),
        ("monitor.drift_threshold", 1, "monitor.json DriftThreshold", "1"),
        ("governor.schedule_enabled", True, "governor.json ScheduleState", "ENABLED"),
        ("data.workload", "tabular", "governor.json Workload", "tabular"),
    ],
)
def test_an_entry_fills_its_parameter(
    table: dict[str, Any], entry: str, value: Any, parameter: str, text: str
) -> None:
    """CloudFormation takes texts only: numbers, truth values and lists are written as texts."""
    *sections, name = entry.split(".")
    entries = functools.reduce(operator.getitem, sections, table)
    entries[name] = value
    file, name = parameter.split()
    rendered = render(read_section(Settings, table, ""), RUN)
    assert rendered[file]["Parameters"][name] == text


def test_parameters_are_chosen_by_name(table: dict[str, Any]) -> None:
    """Without names a section fills all of its parameters, and with names these, in the order given."""
    dev = read_section(Settings, table, "").stages.dev
    assert list(filled_by(dev)) == ["InstanceType", "InstanceCount", "CapturePercentage"]
    assert list(filled_by(dev, "CapturePercentage", "InstanceType")) == ["CapturePercentage", "InstanceType"]


def test_production_has_every_parameter_of_dev(table: dict[str, Any]) -> None:
    """Both stages deploy an endpoint; the parameters of production come on top."""
    rendered = render(read_section(Settings, table, ""), RUN)
    dev, prd = (rendered[f"deploy-model-{stage}.json"]["Parameters"] for stage in ("dev", "prd"))
    assert {each.metadata["parameter"] for each in dataclasses.fields(Endpoint)} <= dev.keys()
    assert dev.keys() < prd.keys()
