"""The state machine of a single training, which is a part of the project's own."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from delivery import training
from delivery.cloud import DeliveryError

WORKFLOW = json.loads(
    (Path(__file__).parents[3] / "<<cookiecutter.project>>" / training.WORKFLOW).read_text(encoding="utf-8")
)


def test_a_training_has_the_jobs_of_the_project_and_nothing_of_a_delivery() -> None:
    """Protects the same splits and models as a delivery's, and production's record, registry and topic."""
    machine = training.definition(WORKFLOW)
    states = machine["States"]
    for name in ("PrepareData", "MergePartialResults"):
        assert states[name] == WORKFLOW["States"][name]
    jobs = WORKFLOW["States"]["RunBaselineAndTraining"]["Branches"]
    assert states["RunBaselineAndTraining"]["Branches"] == jobs
    assert states["EvaluateModel"]["Arguments"] == WORKFLOW["States"]["EvaluateModel"]["Arguments"]
    text = json.dumps(machine)
    for service in ("sns:publish", "ssm:", "createModelPackage", "lambda:invoke", "cloudformation:"):
        assert service in json.dumps(WORKFLOW)
        assert service not in text
    assert "ReadProductionRecord" in WORKFLOW["States"]
    assert "ReadProductionRecord" not in states


def test_a_changed_machine_without_a_state_is_named() -> None:
    """Protects people who rename a state from a training that ends at another place."""
    states = {name: state for name, state in WORKFLOW["States"].items() if name != "EvaluateModel"}
    with pytest.raises(DeliveryError, match=r"workflow\.asl\.json has no state EvaluateModel"):
        training.definition({**WORKFLOW, "States": states})


def test_no_two_trainings_share_a_name() -> None:
    """Protects trainings that run at once: names of jobs, data and results begin with it."""
    names = {training.new_name() for _ in range(50)}
    assert len(names) == 50
    assert max(map(len, names)) <= 36  # of the name of a job with the project's longest name
