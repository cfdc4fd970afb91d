"""Teardown knows what the project's own templates and state machines make."""

from __future__ import annotations

import json
import re
from pathlib import Path

from delivery import inventory
from delivery.cloud import Project
from delivery.templates.template import load_template

ROOT = Path(__file__).resolve().parents[2]
PROJECT = Project("house", "eu-central-1", ROOT)


def test_log_groups_are_those_of_the_templates() -> None:
    """Names are whole: a prefix would reach into another project."""
    found = inventory.log_group_names(PROJECT)
    assert {
        "/aws/lambda/house-api",
        "/aws/codebuild/house-build",
        "/aws/vendedlogs/states/house-workflow",
    } <= found
    assert not [name for name in found if "$" in name or name.endswith("-")]


def test_every_stack_of_the_pipeline_is_removed() -> None:
    """One that was added to the pipeline alone would stay, and with it what it costs."""
    text = json.dumps(load_template(PROJECT, "pipeline.yml").content["Resources"]["Pipeline"])
    deployed = set(re.findall(r'"StackName": {"Fn::Sub": "\$\{Project\}-([a-z-]+)"}', text))
    assert deployed == set(inventory.DELIVERED)


def test_the_schedule_of_the_governor_is_removed() -> None:
    """It belongs to no stack, and would start a state machine that is gone."""
    states = json.loads((ROOT / "stacks" / "governor.asl.json").read_text(encoding="utf-8"))["States"]
    assert states["ScheduleRetry"]["Arguments"]["Name"] == f"${{Project}}-{inventory.RETRY}"
